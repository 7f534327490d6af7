"""A collector of the bench's own for `czuwak bench swarm` without an address: a folder, identities, the ingest part."""

import argparse
import contextlib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from collector import setup
from collector.bench import identities
from collector.errors import CollectorError
from collector.ingest import ca
from collector.store import open_store

STARTING = 30.0

_CONFIG = """\
[ingest]
listen = "127.0.0.1:{0}"
enrollment_listen = "127.0.0.1:{1}"
advertise = "127.0.0.1:{0}"
interval = "{2}s"
"""


def run(args: argparse.Namespace, swarm: Callable[[argparse.Namespace], int]) -> int:
    """The swarm against a collector with SQLite and the default rules that lives as long. Raises CollectorError."""
    with tempfile.TemporaryDirectory(prefix="czuwak-bench-") as name:
        folder = Path(name)
        ports = _free(2)
        text = _CONFIG.format(*ports, f"{args.interval:g}")
        made = setup.initialise(folder / "collector", company="Bench", login="bench", at=time.time(), text=text)
        with contextlib.closing(open_store(made.config.database.url)) as store:
            authority = ca.load(made.config.ca.dir)
            args.identities = identities.make(
                folder / "agents", authority, store, args.first + args.agents, time.time()
            )
        args.collector = f"127.0.0.1:{ports[0]}"
        with _serving(made.config.path, ports[0]):
            return swarm(args)


@contextlib.contextmanager
def _serving(config: Path, port: int) -> Iterator[None]:
    words = [sys.executable, "-I", "-m", "collector.main", "serve", "--config", str(config), "--only", "ingest"]
    with (config.parent / "serve.log").open("wb") as log:
        process = subprocess.Popen(words, stderr=log)  # noqa: S603 - our own command
    try:
        until = time.monotonic() + STARTING
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > until:
                said = (config.parent / "serve.log").read_text(errors="replace")[-500:]
                raise CollectorError(f"the bench's own collector does not start: {said}")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


def _free(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(each.getsockname()[1]) for each in held]


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
