"""A PostgreSQL of one's own in a folder: on a loopback port and a socket, killed and started again at will.

Unlike the tests' shared cluster it waits for its log before it says that something is committed, as a real one does;
only the kernel's own crash is not prepared for (fsync off).
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from tests.conftest import find
from tests.e2e.plant import ports


class Postgres:
    """`with Postgres() as cluster:`; `url()` of its one database, over the socket or over any loopback port."""

    def __init__(self) -> None:
        initdb = find("initdb")
        assert initdb is not None, "PostgreSQL is missing: make servers"
        self._bin = initdb.parent
        self.folder = Path(tempfile.mkdtemp(prefix="cz-pg-"))
        self.port = ports(("postgres",))["postgres"]
        self._as: list[str] = []
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            owner = pwd.getpwnam("postgres")
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
            self._as = ["runuser", "-u", "postgres", "--"]

    def __enter__(self) -> Self:
        self._run("initdb", "-D", self._data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N")
        self.start()
        with psycopg.connect(self.url(database="postgres"), autocommit=True) as conn:
            conn.execute("CREATE DATABASE czuwak")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self.running:
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def running(self) -> bool:
        """Whether its own file says so."""
        return (self.folder / "data" / "postmaster.pid").exists()

    def url(self, port: int | None = None, database: str = "czuwak") -> str:
        """By the socket, or by a loopback port: its own or a proxy's."""
        where = f"127.0.0.1:{port}" if port else ""
        return f"postgresql://postgres@{where}/{database}" + ("" if port else f"?host={self.folder}&port={self.port}")

    def start(self) -> None:
        """Back with all that was committed."""
        options = f"-c listen_addresses=127.0.0.1 -c port={self.port} -c unix_socket_directories='{self.folder}'"
        options += " -c max_connections=100 -c fsync=off -c full_page_writes=off -c shared_buffers=64MB"
        self._run("pg_ctl", "-D", self._data, "-l", str(self.folder / "log"), "-o", options, "-w", "-t", "60", "start")

    def stop(self, mode: str = "immediate") -> None:
        """Immediate: as if all its processes were killed."""
        self._run("pg_ctl", "-D", self._data, "-m", mode, "-w", "stop")

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def _run(self, program: str, *arguments: str) -> None:
        # No pipe: the server would inherit it, and waiting for its end would never end.
        with (self.folder / f"{program}.out").open("wb") as out:
            command = [*self._as, str(self._bin / program), *arguments]
            subprocess.run(command, check=True, cwd=self.folder, stdout=out, stderr=out, timeout=90)
