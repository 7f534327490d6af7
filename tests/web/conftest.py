"""The real application over a real SQLite database, without live values unless a test serves them."""

import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from collector.intake import Intake
from collector.store import Store, open_store, upgrade, users
from web.app import create_app
from web.live import Live
from web.settings import WebSettings

SECRET = b"0123456789abcdef0123456789abcdef"


def _load_seed() -> ModuleType:
    """Tests are no package, so their shared data is loaded by path, once."""
    spec = importlib.util.spec_from_file_location("web_seed", Path(__file__).with_name("seed.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["web_seed"] = module
    spec.loader.exec_module(module)
    return module


seed = _load_seed()


@dataclass
class Clock:
    """The time of the application; a test moves it."""

    at: float

    def __call__(self) -> float:
        return self.at


@dataclass
class Browser:
    """A test client that reads a form's token as a browser does."""

    client: FlaskClient
    base_url: str = "http://localhost"

    def get(self, path: str, **headers: str) -> TestResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.get(path, headers=named, base_url=self.base_url, buffered=True)

    def send(self, path: str, form: dict[str, object], *, page: str | None = None) -> TestResponse:
        """Posts a form with the token of `page` (the login page for a stranger)."""
        text = self.client.get(page or "/help/keys", follow_redirects=True, base_url=self.base_url).text
        found = re.search(r'name="csrf_token" value="([^"]+)"', text)
        assert found is not None
        referer = {"Referer": f"{self.base_url}/"}
        data = {"csrf_token": found[1], **form}
        return self.client.post(path, data=data, base_url=self.base_url, headers=referer)

    def login(self, name: str, password: str = seed.PASSWORD) -> TestResponse:
        return self.send("/login", {"login": name, "password": password}, page="/login")


@pytest.fixture
def clock() -> Clock:
    return Clock(seed.NOW)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database to copy: the migrations run once."""
    path = tmp_path_factory.mktemp("web") / "empty.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def seeded(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> tuple[Path, object]:
    """A database with the whole estate to copy, and what is in it."""
    path = tmp_path_factory.mktemp("web") / "seeded.db"
    path.write_bytes(empty_database.read_bytes())
    opened = open_store(f"sqlite:///{path}")
    made = seed.estate(opened, Intake(opened))
    opened.close()
    return path, made


@pytest.fixture
def store(tmp_path: Path, empty_database: Path, request: pytest.FixtureRequest) -> Iterator[Store]:
    """A store of its own for each test; seeded where the test asks for the estate."""
    filled = "estate" in request.fixturenames
    source = request.getfixturevalue("seeded")[0] if filled else empty_database
    path = tmp_path / "czuwak.db"
    path.write_bytes(source.read_bytes())
    opened = open_store(f"sqlite:///{path}")
    yield opened
    opened.close()


@pytest.fixture
def intake(store: Store) -> Intake:
    return Intake(store)


@pytest.fixture
def make_app(store: Store, intake: Intake, clock: Clock) -> Callable[..., Flask]:
    """Makes the application; `live` is a target, other arguments are settings."""

    def make(*, live: str = "", **settings: object) -> Flask:
        given: dict[str, object] = {"secret_key": SECRET, "now": clock, "version": "0.1.0", **settings}
        return create_app(store, intake, Live(live), WebSettings(**given))  # type: ignore[arg-type]

    return make


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    return make_app()


@pytest.fixture(name="seed")
def _seed() -> ModuleType:
    return seed


@pytest.fixture
def estate(seeded: tuple[Path, object]) -> object:
    """What the seeded database holds."""
    return seeded[1]


@pytest.fixture
def on() -> Callable[..., Browser]:
    """A new browser of an application; `base_url` is where it believes to be."""

    def make(app: Flask, base_url: str = "http://localhost") -> Browser:
        return Browser(app.test_client(), base_url)

    return make


@pytest.fixture
def browser(app: Flask, store: Store, clock: Clock) -> Callable[..., Browser]:
    """A new browser; with a name it has this person's session."""

    def make(name: str = "") -> Browser:
        made = Browser(app.test_client())
        if name:
            with store.write() as conn:
                found = users.user_by_login(conn, name)
                assert found is not None
                made.client.set_cookie("czuwak_session", users.new_session(conn, found.id, clock.at, 12 * 3600))
        return made

    return make
