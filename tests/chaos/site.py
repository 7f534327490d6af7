"""A collector to be hurt: its own folder, database and rules, each part a process of its own, a swarm against it."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import grpc
from prometheus_client.parser import text_string_to_metric_families

from collector.bench import identities
from collector.ingest import ca
from collector.store import open_store
from czuwak.v1 import query_pb2
from czuwak.v1.query_pb2_grpc import QueryServiceStub
from tests.chaos import ledger
from tests.e2e.plant import BIN, Plant, listens, ports, until

RULES = """\
groups:
  - name: bench
    rules:
      - alert: BenchLevel
        expr: bench_level > 90
        labels: {severity: warning}
        annotations: {summary: "over {{ $value }}"}
      - alert: BenchHeld
        expr: bench_level > 90
        for: 5s
        labels: {severity: warning}
        annotations: {summary: "long over {{ $value }}"}
"""
T = TypeVar("T")
HELD = 8.0  # what an episode lasts at the live edge before BenchHeld owes its ticket: `for`, a round, an evaluation

_CONFIG = """\
[database]
url = "{url}"
[ingest]
listen = "127.0.0.1:{ingest}"
enrollment_listen = "127.0.0.1:{enroll}"
advertise = "127.0.0.1:{ingest}"
interval = "{interval:g}s"
offline_after = "{offline:g}s"
[web]
listen = "127.0.0.1:{web}"
[rules]
files = {files}
"""


@dataclass
class Swarm:
    """A running `czuwak bench swarm` in a process group of its own."""

    process: "subprocess.Popen[str]"

    def give_way(self) -> None:
        """Behind whoever else wants a processor from now on: it stands for other computers.

        Not while it connects: as the last in the row it would miss its handshakes' deadlines.
        """
        os.setpriority(os.PRIO_PGRP, self.process.pid, 10)
        with contextlib.suppress(OSError):  # where the scheduler takes each session as one
            Path(f"/proc/{self.process.pid}/autogroup").write_text("10")

    def finish(self, patience: float = 120.0) -> dict[str, Any]:
        """End in order: no more crossings, every turn acknowledged; what it counted."""
        self.process.terminate()
        return self.wait(patience)

    def wait(self, patience: float) -> dict[str, Any]:
        """What it counted, once it ends by itself."""
        out, _ = self.process.communicate(timeout=patience)
        assert self.process.returncode == 0, "the swarm failed"
        return dict(json.loads(out))

    def vanish(self) -> None:
        """All its agents are gone without a word."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()


@dataclass
class Site(Plant):
    """A Plant with any database and with identities for a swarm."""

    url_of_database: str = ""
    agents: int = 0
    swarms: list[Swarm] = field(default_factory=list)

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.ports['ingest']}"

    @property
    def book(self) -> Path:
        return self.folder / "ledger"

    def start(self, part: str = "ingest") -> float:
        """Start a part; seconds until it listens."""
        began = time.monotonic()
        self.serve(part)
        port = self.ports[part]
        while not listens(port):
            code = self.processes[part].poll()
            assert code is None, f"{part} ended with {code} at its start"
            assert time.monotonic() - began < 120, f"{part} does not listen"
            time.sleep(0.02)
        return time.monotonic() - began

    def enrolled(self, count: int) -> None:
        """Hosts and certificates for a swarm."""
        self.agents = count
        with contextlib.closing(open_store(self.url_of_database)) as store:
            identities.make(self.folder / "swarm", ca.load(self.folder / "ca"), store, count, time.time())

    def swarm(self, *words: str, agents: int | None = None, target: str = "") -> Swarm:
        """Start one over the identities; more options of the command in `words`."""
        command = [str(BIN / "czuwak"), "bench", "swarm", "--collector", target or self.target]
        command += ["--identities", str(self.folder / "swarm"), "--agents", str(agents or self.agents)]
        command += ["--ledger", str(self.book), "--seconds", "86400", *words]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        self.swarms.append(Swarm(process))
        return self.swarms[-1]

    def verdicts(self, *, held: bool = True) -> dict[str, ledger.Verdict]:
        """The ledger against the tickets, for each of the rules."""
        pages = tuple(self.book.iterdir())
        found = {"BenchLevel": ledger.verdict(pages, self.url_of_database, "BenchLevel")}
        if held:
            found["BenchHeld"] = ledger.verdict(pages, self.url_of_database, "BenchHeld", hold=HELD)
        return found

    def settled(self, *, held: bool = True, patience: float = 20.0) -> dict[str, ledger.Verdict]:
        """The verdicts once they are clean, or what they are when the patience ends."""
        with contextlib.suppress(AssertionError):
            until("the database is settled", lambda: all(v.clean for v in self.verdicts(held=held).values()), patience)
        return self.verdicts(held=held)

    def owed(self) -> ledger.Owed:
        """All that the swarms wrote down."""
        return ledger.read(tuple(self.book.iterdir()))

    def metric(self, name: str, **labels: str) -> float:
        """The sum of one of the ingest process' own metrics, read at its local socket."""
        text = self._ask(lambda stub: stub.Metrics(query_pb2.MetricsRequest(), timeout=20)).text_format.decode()
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def streams(self) -> int:
        """Agents connected now; none while a herd leaves the collector no time for an answer."""
        try:
            return int(self.metric("czuwak_collector_streams"))
        except grpc.RpcError:
            return 0

    def missed(self) -> int:
        """Evaluations that came too late, of all rules; asked again while a herd leaves no time for an answer."""
        found: tuple[int] = until("the rules are told", self._missed, 60.0)
        return found[0]

    def _missed(self) -> tuple[int] | None:
        try:
            answer = self._ask(lambda stub: stub.ListRules(query_pb2.ListRulesRequest(), timeout=20))
        except grpc.RpcError:
            return None
        return (sum(int(group.missed) for group in answer.groups),)

    def tickets_by_rule(self) -> dict[str, int]:
        """How many tickets each rule has, whatever their state."""
        return ledger.tickets_by_rule(self.url_of_database)

    def _ask(self, question: Callable[[QueryServiceStub], T]) -> T:
        with grpc.insecure_channel(f"unix:{self.folder}/run/query.sock") as channel:
            return question(QueryServiceStub(channel))

    def close(self) -> None:
        for swarm in self.swarms:
            if swarm.process.poll() is None:
                swarm.vanish()
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.contextmanager
def sited(
    folder: Path,
    *,
    url: str = "",
    agents: int = 0,
    interval: float = 1.0,
    offline: float = 90.0,
    rules: str = RULES,
    files: str = '["rules.yml"]',
    parts: Sequence[str] = ("ingest",),
    more: str = "",
) -> Iterator[Site]:
    """A collector set up in `folder` and started, with identities for a swarm of `agents`."""
    folder.mkdir(parents=True, exist_ok=True)
    url = url or f"sqlite:///{folder}/czuwak.db"
    site = Site(folder, ports(("ingest", "enroll", "web")), url_of_database=url)
    (folder / "rules.yml").write_text(rules)
    text = _CONFIG.format(url=url, files=files, interval=interval, offline=offline, **site.ports)
    site.config.write_text(text + more)
    site.command("init", str(folder), "--company", "Test")
    try:
        if agents:
            site.enrolled(agents)
        for part in parts:
            if part == "worker":
                site.serve(part)
            else:
                site.start(part)
        yield site
    finally:
        site.close()


def served(site: Site, since: float, agents: int, patience: float) -> int:
    """Wait until a new crossing of so many agents was acknowledged, the fresh event after the faults; how many were."""
    with contextlib.suppress(AssertionError):
        until("everybody is served a fresh event", lambda: len(site.owed().fresh(since)) >= agents, patience)
    return len(site.owed().fresh(since))
