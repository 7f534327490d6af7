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
from collector.store import Store, open_store, upgrade
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

    def get(self, path: str, **more: object) -> TestResponse:
        return self.client.get(path, **more)  # type: ignore[arg-type]

    def send(self, path: str, form: dict[str, object], *, page: str | None = None) -> TestResponse:
        """Posts a form with the token of `page` (the login page for a stranger)."""
        text = self.client.get(page or "/help/keys", follow_redirects=True).text
        found = re.search(r'name="csrf_token" value="([^"]+)"', text)
        assert found is not None
        return self.client.post(path, data={"csrf_token": found[1], **form})

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


@pytest.fixture
def store(tmp_path: Path, empty_database: Path) -> Iterator[Store]:
    path = tmp_path / "czuwak.db"
    path.write_bytes(empty_database.read_bytes())
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


@pytest.fixture
def estate(store: Store, intake: Intake) -> object:
    return seed.estate(store, intake)


@pytest.fixture
def browser(app: Flask) -> Callable[..., Browser]:
    """A new browser; with a name it is logged in."""

    def make(name: str = "") -> Browser:
        made = Browser(app.test_client())
        if name:
            assert made.login(name).status_code == 303
        return made

    return make
