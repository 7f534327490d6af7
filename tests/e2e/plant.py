"""A real collector and real agents, driven by their commands as a user would."""

import json
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PATIENCE = 60.0
BIN = Path(sys.executable).parent
SCOPES = ("tickets:read", "tickets:write", "hosts:read", "hosts:write")

COLLECTOR = """\
[ingest]
listen = "127.0.0.1:{ingest}"
enrollment_listen = "127.0.0.1:{enroll}"
advertise = "127.0.0.1:{ingest}"
interval = "{interval:g}s"
offline_after = "{offline:g}s"
[web]
listen = "127.0.0.1:{web}"
[rules]
files = {rules}
unknown_after = "4s"
"""


@dataclass
class Plant:
    """One collector in a folder of its own, its agents, and a bearer token to look at it from outside."""

    folder: Path
    ports: dict[str, int]
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    bearer: str = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['web']}"

    @property
    def config(self) -> Path:
        return self.folder / "czuwak.toml"

    def command(self, *words: str, program: str = "czuwak") -> str:
        done = subprocess.run([BIN / program, *words], capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == 0, f"{program} {words}: {done.stderr}"
        return done.stdout

    def serve(self, part: str = "ingest,web,worker") -> None:
        with self.log.open("ab") as log:
            words = ["serve", "--config", str(self.config), "--only", part]
            self.processes[part] = subprocess.Popen([BIN / "czuwak", *words], stderr=log)

    @property
    def log(self) -> Path:
        """What the collector said; printed when the test ends, for pytest to show if it failed."""
        return self.folder / "serve.log"

    def lines(self, action: str) -> list[dict[str, Any]]:
        """The collector's log lines of one action."""
        rows = [json.loads(row) for row in self.log.read_text().splitlines() if row.startswith("{")]
        return [row for row in rows if row.get("action") == action]

    def pids(self) -> dict[str, int]:
        """Process of each part that the supervisor started last."""
        return {row["part"]: int(row["pid"]) for row in self.lines("part-started")}

    def ready(self) -> None:
        until("the pages are ready", lambda: self.get("/-/ready") is not None)
        until("agents are served", lambda: listens(self.ports["ingest"]) and listens(self.ports["enroll"]))

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        process = self.processes.pop(name)
        process.send_signal(number)
        process.wait(60)

    def enrol(self, name: str, **agent: str) -> None:
        """Enrol and start an agent under `name`; lines of its configuration by section, `collector` instead of ours."""
        folder = self.folder / name
        folder.mkdir()
        join = json.loads(self.command("token", "create", "--config", str(self.config), "--json", "--class", "server"))
        (folder / "join").write_text(join["token"])
        said = {"collector": f'address = "127.0.0.1:{self.ports["ingest"]}"'} | agent
        sections = "".join(f"[{section}]\n{lines}\n" for section, lines in said.items())
        (folder / "agent.toml").write_text(
            f'interval = 1\n[agent]\nstate_dir = "{folder}/state"\n'
            f'[identity]\ndir = "{folder}/identity"\n'
            f'[exposition]\nlisten = "127.0.0.1:{self.ports["page"]}"\n{sections}'
        )
        self.command(
            "enroll", "--config", str(folder / "agent.toml"), "--collector", f"127.0.0.1:{self.ports['enroll']}",
            "--token-file", str(folder / "join"), "--ca-fingerprint", join["ca_fingerprint"], program="czuwak-agent",
        )  # fmt: skip
        self.agent(name)

    def agent(self, name: str) -> None:
        self.processes[name] = subprocess.Popen(
            [BIN / "czuwak-agent", "run", "--config", self.folder / name / "agent.toml"]
        )

    def page(self) -> str:
        return fetch(f"http://127.0.0.1:{self.ports['page']}/metrics") or ""

    def get(self, path: str) -> str | None:
        return fetch(self.url + path, self.bearer)

    def tickets(self, rule: str) -> list[dict[str, Any]]:
        page = self.get("/api/v1/tickets?view=every&limit=100")
        return [t for t in json.loads(page)["tickets"] if t["rule"] == rule] if page else []

    def ticket(
        self, rule: str, seen: Callable[[dict[str, Any]], bool] = lambda _: True, patience: float = PATIENCE
    ) -> dict[str, Any]:
        """The one ticket of a rule, once it looks as wanted."""
        what = f"a ticket of {rule}"
        found: dict[str, Any] = until(what, lambda: next((t for t in self.tickets(rule) if seen(t)), None), patience)
        return found

    def timeline(self, number: str) -> list[str]:
        """Kinds of a ticket's events, in order."""
        return [
            row[0]
            for row in self.rows(
                "select kind from ticket_event where ticket_id = (select id from ticket where number = ?) order by id",
                number,
            )
        ]

    def rows(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        """A look into the collector's database from outside."""
        with closing(sqlite3.connect(f"file:{self.folder}/czuwak.db?mode=ro", uri=True, timeout=5)) as conn:
            return conn.execute(query, values).fetchall()

    def close(self) -> None:
        for process in reversed(self.processes.values()):
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self.log.exists():
            print(self.log.read_text(), file=sys.stderr)


def configuration(files: str, taken: dict[str, int], interval: float = 1.0) -> str:
    """A collector's file: rule files, ports, and how often agents say something."""
    return COLLECTOR.format(rules=files, interval=interval, offline=6 * interval, **taken)


@contextmanager
def planted(
    folder: Path,
    rules: str = "",
    parts: Sequence[str] = ("ingest,web,worker",),
    files: str = "",
    more: str = "",
    interval: float = 1.0,
) -> Iterator[Plant]:
    """A collector set up and started in `folder`; `rules` is the text of a rule file, or else the default pack.

    `more` is added to its configuration; agents say something every `interval` seconds.
    """
    site = Plant(folder, ports(("ingest", "enroll", "web", "page")))
    folder.mkdir(exist_ok=True)
    (folder / "rules.yml").write_text(rules)
    files = files or ('["rules.yml"]' if rules else '["default"]')
    site.config.write_text(configuration(files, site.ports, interval) + more)
    site.command("init", str(folder), "--company", "Test")
    scopes = [word for scope in SCOPES for word in ("--scope", scope)]
    made = site.command("token", "api", "test", *scopes, "--config", str(site.config), "--json")
    site.bearer = json.loads(made)["token"]
    try:
        for part in parts:
            site.serve(part)
        site.ready()
        yield site
    finally:
        site.close()


def fetch(url: str, bearer: str = "") -> str | None:
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - our own loopback address
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5) as answer:
            return str(answer.read().decode())
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return None


def until(what: str, probe: Callable[[], Any], patience: float = PATIENCE) -> Any:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        found = probe()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"waited {patience:.0f} s for it: {what}")


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def ports(names: Sequence[str]) -> dict[str, int]:
    with ExitStack() as stack:
        held = {n: stack.enter_context(socket.create_server(("127.0.0.1", 0))) for n in names}
        return {n: int(s.getsockname()[1]) for n, s in held.items()}
