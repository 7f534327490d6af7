"""A `store` on both databases: a SQLite file, and a real PostgreSQL started for this test run only."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from collector.store import Store, open_store, upgrade
from collector.store.hosts import add_company


class Postgres:
    """A cluster of its own in a temporary directory, reached by a socket there; nothing survives it."""

    def __init__(self) -> None:
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: float(p.parts[4]))
        self._bin = found[-1].parent if found else Path(shutil.which("initdb") or "initdb").parent
        self.directory = Path(tempfile.mkdtemp(prefix="czuwak-pg-"))
        self._as: list[str] = []
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            owner = pwd.getpwnam("postgres")
            os.chown(self.directory, owner.pw_uid, owner.pw_gid)
            self._as = ["runuser", "-u", "postgres", "--"]
        self._names = count(1)

    def start(self) -> None:
        data = str(self.directory / "data")
        self._run("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N")
        options = f"-c listen_addresses='' -c unix_socket_directories='{self.directory}' -c max_connections=60"
        options += " -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c shared_buffers=32MB"
        log = str(self.directory / "log")
        self._run("pg_ctl", "-D", data, "-l", log, "-o", options, "-w", "-t", "60", "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self.directory / "data"), "-m", "immediate", "-w", "stop")
        shutil.rmtree(self.directory)

    def create(self, template: str = "template0") -> str:
        """The url of a new database."""
        name = f"czuwak_{next(self._names)}"
        with psycopg.connect(host=str(self.directory), user="postgres", dbname="postgres", autocommit=True) as conn:
            conn.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return f"postgresql://postgres@/{name}?host={self.directory}"

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as, str(self._bin / program), *arguments]
        # No pipe: the server would inherit it, and waiting for its end would never end.
        with (self.directory / f"{program}.out").open("wb") as out:
            subprocess.run(command, check=True, cwd=self.directory, stdout=out, stderr=out, timeout=90)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The cluster; ask for it in tests marked server("postgres")."""
    cluster = Postgres()
    cluster.start()
    yield cluster
    cluster.stop()


@pytest.fixture(scope="session")
def postgres_template(postgres: Postgres) -> str:
    """Name of an upgraded database with the company `acme`, to copy from."""
    return make_url(_prepared(postgres.create())).database or ""


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An upgraded SQLite file with the company `acme`, to copy from."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    _prepared(f"sqlite:///{path}")
    return path


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.server("postgres"))])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The url of a database without any table, on both databases."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/czuwak.db"
    cluster: Postgres = request.getfixturevalue("postgres")
    return cluster.create()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.server("postgres"))])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The url of an upgraded database with the company `acme` (Acme), on both databases."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "czuwak.db")
        return f"sqlite:///{tmp_path}/czuwak.db"
    cluster: Postgres = request.getfixturevalue("postgres")
    return cluster.create(request.getfixturevalue("postgres_template"))


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """An open store with the company `acme`, on both databases."""
    opened = open_store(database_url)
    yield opened
    opened.close()


@pytest.fixture
def sqlite_store(sqlite_template: Path, tmp_path: Path) -> Iterator[Callable[[], Store]]:
    """A function that opens a fresh SQLite store with the company `acme` each time it is called."""
    opened: list[Store] = []

    def fresh() -> Store:
        path = shutil.copy(sqlite_template, tmp_path / f"fresh{len(opened)}.db")
        opened.append(open_store(f"sqlite:///{path}"))
        return opened[-1]

    yield fresh
    for each in opened:
        each.close()


def _prepared(url: str) -> str:
    upgrade(url)
    opened = open_store(url)
    with opened.write() as conn:
        add_company(conn, "acme", "Acme", 1.0)
    opened.close()
    return url
