"""The real application over a real SQLite database, without live values unless a test serves them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask

from collector.intake import Intake
from collector.store import Store, open_store, upgrade, users
from tests.web import engine, seed
from tests.web.seed import Seeded
from tests.web.visitor import Clock, Visit, Visitor
from web.app import create_app
from web.live import Live
from web.settings import WebSettings

SECRET = b"0123456789abcdef0123456789abcdef"


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
def seeded(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> tuple[Path, Seeded]:
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


@pytest.fixture(scope="session")
def engine_target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a real engine answers, with an hour of load of six computers and a few rules."""
    with engine.answering(tmp_path_factory.mktemp("engine"), engine.groups()) as target:
        yield target


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    return make_app()


@pytest.fixture
def estate(seeded: tuple[Path, Seeded]) -> Seeded:
    """What the seeded database holds."""
    return seeded[1]


@pytest.fixture
def on() -> Visit:
    """A new browser of an application; `base_url` is where it believes to be."""

    def make(app: Flask, base_url: str = "http://localhost") -> Visitor:
        return Visitor(app.test_client(), base_url)

    return make


@pytest.fixture
def browser(app: Flask, store: Store, clock: Clock) -> Visit:
    """A new browser; with a name it has this person's session."""

    def make(name: str = "") -> Visitor:
        made = Visitor(app.test_client())
        if name:
            with store.write() as conn:
                found = users.user_by_login(conn, name)
                assert found is not None
                made.client.set_cookie("czuwak_session", users.new_session(conn, found.id, clock.at, 12 * 3600))
        return made

    return make


@pytest.fixture
def reader(make_app: Callable[..., Flask], on: Visit, engine_target: str) -> Iterator[Callable[[str], Visitor]]:
    """Somebody who has logged in, with an engine behind the pages."""
    app = make_app(live=engine_target)

    def made(name: str) -> Visitor:
        here = on(app)
        here.login(name, seed.PASSWORD)
        return here

    yield made
    app.extensions["czuwak"].live.close()
