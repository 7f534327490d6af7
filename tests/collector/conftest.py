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
from collector.store.schema import _script
from collector.store.tables import metadata


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
        self._prepared = ""

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

    def create(self) -> str:
        """The url of a new database."""
        name = f"czuwak_{next(self._names)}"
        with self._connect("postgres") as conn:
            conn.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        return f"postgresql://postgres@/{name}?host={self.directory}"

    def fresh(self) -> str:
        """The url of one upgraded database with the company `acme`, emptied of all else; much faster than a new one."""
        if not self._prepared:
            self._prepared = _prepared(self.create())
        names = ", ".join(f'"{table}"' for table in metadata.tables)
        with self._connect(make_url(self._prepared).database or "") as conn:
            conn.execute(f"TRUNCATE {names} RESTART IDENTITY")
            conn.execute("ALTER SEQUENCE ticket_number_seq RESTART")
            conn.execute("UPDATE alembic_version SET version_num = %s", (_head(),))
            conn.execute("INSERT INTO company (slug, name, created_at, revision) VALUES ('acme', 'Acme', 1, 0)")
        return self._prepared

    def _connect(self, database: str) -> psycopg.Connection:
        return psycopg.connect(host=str(self.directory), user="postgres", dbname=database, autocommit=True)

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
    return cluster.fresh()


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


def _head() -> str:
    head = _script().get_current_head()
    assert head is not None
    return head


def _prepared(url: str) -> str:
    upgrade(url)
    opened = open_store(url)
    with opened.write() as conn:
        add_company(conn, "acme", "Acme", 1.0)
    opened.close()
    return url
