"""A real collector and real agents, driven by their commands as a user would."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 60.0
BIN = Path(sys.executable).parent

COLLECTOR = """\
[ingest]
listen = "127.0.0.1:{ingest}"
enrollment_listen = "127.0.0.1:{enroll}"
advertise = "127.0.0.1:{ingest}"
interval = "1s"
offline_after = "6s"
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
        self.processes[part] = subprocess.Popen([BIN / "czuwak", "serve", "--config", self.config, "--only", part])

    def ready(self) -> None:
        until("the collector is ready", lambda: self.get("/-/ready") is not None)

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        process = self.processes.pop(name)
        process.send_signal(number)
        process.wait(20)

    def enrol(self, name: str, **agent: str) -> None:
        """Enrol and start an agent under `name`; extra lines of its configuration by section."""
        folder = self.folder / name
        folder.mkdir()
        join = json.loads(self.command("token", "create", "--config", str(self.config), "--json", "--class", "server"))
        (folder / "join").write_text(join["token"])
        sections = "".join(f"[{section}]\n{lines}\n" for section, lines in agent.items())
        (folder / "agent.toml").write_text(
            f'interval = 1\n[agent]\nstate_dir = "{folder}/state"\n[collector]\naddress = "127.0.0.1:{self.ports["ingest"]}"\n'
            f'[identity]\ndir = "{folder}/identity"\n[exposition]\nlisten = "127.0.0.1:{self.ports["page"]}"\n{sections}'
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
        page = self.get("/api/v1/tickets?view=everything&limit=100")
        return [t for t in json.loads(page)["tickets"] if t["rule_name"] == rule] if page else []

    def ticket(self, rule: str, seen: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
        """The one ticket of a rule, once it looks as wanted."""
        return until(f"a ticket of {rule}", lambda: next((t for t in self.tickets(rule) if seen(t)), None))

    def timeline(self, number: str) -> list[dict[str, Any]]:
        page = self.get(f"/api/v1/tickets/{number}")
        assert page is not None
        events: list[dict[str, Any]] = json.loads(page)["timeline"]
        return events

    def close(self) -> None:
        for process in reversed(self.processes.values()):
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def fetch(url: str, bearer: str = "") -> str | None:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {bearer}"} if bearer else {})
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


def ports(names: Sequence[str]) -> dict[str, int]:
    with ExitStack() as stack:
        held = {n: stack.enter_context(socket.create_server(("127.0.0.1", 0))) for n in names}
        return {n: int(s.getsockname()[1]) for n, s in held.items()}


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Callable[..., Plant]]:
    """A function that sets up and starts a collector; `rules` is the text of a rule file, or the default pack."""
    made: list[Plant] = []

    def start(rules: str = "", parts: Sequence[str] = ("ingest,web,worker",)) -> Plant:
        new = Plant(tmp_path / "collector", ports(("ingest", "enroll", "web", "page")))
        made.append(new)
        new.folder.mkdir()
        (new.folder / "rules.yml").write_text(rules)
        files = '["rules.yml"]' if rules else '["default"]'
        new.config.write_text(COLLECTOR.format(rules=files, **new.ports))
        new.command("init", str(new.folder), "--company", "Test")
        new.bearer = json.loads(
            new.command("token", "api", "test", "--scope", "tickets:read", "--scope", "hosts:read", "--config",
                        str(new.config), "--json")
        )["token"]  # fmt: skip
        for part in parts:
            new.serve(part)
        new.ready()
        return new

    os.environ.pop("CZUWAK_SUPERVISED", None)
    yield start
    for each in made:
        each.close()
