"""What every part's tests share: the `server` marker, free loopback ports and the checkout's root."""

import logging
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# name of the marker's argument -> (program looked for, Debian package that holds it)
PROGRAMS = {
    "postgres": ("initdb", "postgresql"),
    "chromium": ("chromium", "chromium"),
    "prometheus": ("prometheus", "prometheus"),
    "promtool": ("promtool", "prometheus"),
    "alertmanager": ("prometheus-alertmanager", "prometheus-alertmanager"),
    "node_exporter": ("prometheus-node-exporter", "prometheus-node-exporter"),
    "npm": ("npm", "npm"),
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose real server is missing; fail it there under CI=true."""
    for marker in item.iter_markers("server"):
        for name in marker.args:
            message = missing(name)
            if message and os.environ.get("CI") == "true":
                pytest.fail(message, pytrace=False)
            if message:
                pytest.skip(message)


def missing(name: str) -> str | None:
    """How to install the named server, or None where it is here. KeyError for a name nobody knows."""
    program, package = PROGRAMS[name]
    if find(program) is not None:
        return None
    return f"{program} is missing: `make test` installs it, or `apt-get install {package}`"


def find(program: str) -> Path | None:
    """The program's path. Debian keeps PostgreSQL's own programs off the PATH, in a folder per version."""
    here = shutil.which(program)
    if here is not None:
        return Path(here)
    versions = Path("/usr/lib/postgresql").glob(f"*/bin/{program}")
    return max(versions, key=lambda path: float(path.parent.parent.name), default=None)


@pytest.fixture(autouse=True)
def _loggers_as_they_were() -> Iterator[None]:
    """A command sets the root logger up for its process; the next test's caplog must still hear warnings."""
    loggers = [logging.getLogger(name) for name in (None, "agent", "collector")]
    levels, handlers = [one.level for one in loggers], loggers[0].handlers[:]
    yield
    for one, level in zip(loggers, levels, strict=True):
        one.setLevel(level)
    loggers[0].handlers[:] = handlers


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The checkout's top folder."""
    return ROOT


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """A function that gives a loopback TCP port nobody listens on; never the same one twice."""
    given: set[int] = set()

    def port() -> int:
        while True:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                number: int = probe.getsockname()[1]
            if number not in given:
                given.add(number)
                return number

    return port
