"""`czuwak demo`: the real collector, web and agent on this machine, one real fault, one real ticket.

Takes the road of production: init, serve, token, enrol, run. Everything lives in one temporary directory and ends
with it.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from collector import setup
from collector.errors import DemoError
from collector.ingest import ca
from collector.store import api_tokens, open_store, tokens, users

WORKER = "czuwak-demo-worker"
INTERVAL = 2.0
PATIENCE = 60.0

_COLLECTOR = """\
[database]
url = "sqlite:///czuwak.db"
[ingest]
listen = "127.0.0.1:{ingest}"
enrollment_listen = "127.0.0.1:{enroll}"
advertise = "127.0.0.1:{ingest}"
interval = "{interval}s"
[web]
listen = "127.0.0.1:{web}"
[tickets]
settle = "10m"
"""

_AGENT = """\
interval = {interval}
[agent]
state_dir = "{folder}/agent"
[collector]
address = "127.0.0.1:{ingest}"
[identity]
dir = "{folder}/identity"
[exposition]
listen = "127.0.0.1:{page}"
[[probes.processes]]
name = "{worker}"
match = "{worker}"
"""


@dataclass(slots=True)
class Demo:
    """A running demonstration: where it lives and what it started."""

    folder: Path
    ports: dict[str, int]
    say: Callable[..., None]
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)
    bearer: str = ""

    @property
    def url(self) -> str:
        """Of the pages."""
        return f"http://127.0.0.1:{self.ports['web']}"


def run(*, once: bool, port: int, browser: bool) -> int:
    """The demonstration; `once` unattended with exit code 0 or 1, else until Ctrl-C."""
    began = time.monotonic()

    def say(step: str, **more: object) -> None:
        if once:
            print(json.dumps({"step": step, "seconds": round(time.monotonic() - began, 1), **more}), flush=True)
        else:
            print(
                f"{time.monotonic() - began:5.1f} s  {step}  " + "  ".join(f"{k}: {v}" for k, v in more.items()),
                flush=True,
            )

    try:
        with started(port, say) as demo:
            story(demo)
            if not once:
                stay(demo, browser)
    except DemoError as error:
        say("failed", error=str(error))
        return 1
    except KeyboardInterrupt:
        pass
    return 0


@contextlib.contextmanager
def started(port: int, say: Callable[..., None]) -> Iterator[Demo]:
    """A collector and an enrolled agent, running; all stopped and removed at the end, whatever happens."""
    folder = Path(tempfile.mkdtemp(prefix="czuwak-demo-"))
    demo = Demo(folder, _ports(port), say)
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        _prepare(demo)
        yield demo
    finally:
        signal.signal(signal.SIGTERM, previous)
        for child in reversed(demo.children):
            _end(child)
        shutil.rmtree(folder, ignore_errors=True)


def story(demo: Demo) -> None:
    """The loop: a watched process is killed, one ticket opens; it returns, the ticket recovers; no second one."""
    worker = _worker(demo)
    _until("the agent sees the watched process", lambda: _running(demo) == 1)
    demo.say("watched process runs", pid=worker.pid)
    _end(worker, signal.SIGKILL)
    demo.say(
        "watched process killed", rule="WatchedProcessDown", file=str(Path("collector/rules/defaults/process.yml"))
    )
    ticket = _until("a ticket opens", lambda: next(iter(_tickets(demo)), None))
    demo.say("ticket opened", number=ticket["number"], title=ticket["title"], priority=ticket["priority"])
    _worker(demo)
    demo.say("watched process started again")
    ticket = _until("the ticket recovers", lambda: next((t for t in _tickets(demo) if t["recovered_at"]), None))
    demo.say("ticket recovered", number=ticket["number"], status=ticket["status"])
    time.sleep(3 * INTERVAL)
    numbers = [t["number"] for t in _tickets(demo)]
    if numbers != [ticket["number"]]:
        raise DemoError(f"one ticket was expected, there are {', '.join(numbers) or 'none'}")
    demo.say("done", tickets=len(numbers))


def stay(demo: Demo, browser: bool) -> None:
    """Say how to log in and wait for Ctrl-C; the worker can be killed by hand again and again."""
    link = f"{demo.url}/login/once/{_login(demo)}"
    print(f"\nOpen {link}  (good once)\nPages: {demo.url}   agent: http://127.0.0.1:{demo.ports['page']}/metrics")
    print(f"Another fault: pkill -f {WORKER}    Stop everything and remove it: Ctrl-C", flush=True)
    if browser:
        webbrowser.open(link)
    while all(child.poll() is None for child in demo.children[:2]):
        time.sleep(0.5)
    raise DemoError("a part of the demonstration ended by itself; its message is above")


def _prepare(demo: Demo) -> None:
    folder = demo.folder
    text = _COLLECTOR.format(interval=INTERVAL, **demo.ports)
    prepared = setup.initialise(folder, company="Demo", login="demo", at=time.time(), text=text)
    demo.say("collector prepared", directory=str(folder))
    _start(demo, "collector.main", "serve", "--config", str(prepared.config.path))
    _until("the collector is ready", lambda: _get(f"{demo.url}/-/ready") is not None)
    demo.say("collector ready", url=demo.url)
    store = open_store(prepared.config.database.url)
    at = time.time()
    with store.write() as conn:
        _, join = tokens.create_token(
            conn, company="demo", site="here", class_="server", pattern="*", uses=1, expires_at=at + 600, at=at
        )
        _, demo.bearer = api_tokens.create(conn, "demo", ("tickets:read",), at=at)
    store.close()
    (folder / "join").write_text(join)
    (folder / "agent.toml").write_text(_AGENT.format(interval=INTERVAL, worker=WORKER, folder=folder, **demo.ports))
    fingerprint = ca.load(prepared.config.ca.dir).fingerprint
    enrol = _command(
        "agent.main",
        "enroll",
        "--config",
        str(folder / "agent.toml"),
        "--collector",
        f"127.0.0.1:{demo.ports['enroll']}",
        "--token-file",
        str(folder / "join"),
        "--ca-fingerprint",
        fingerprint,
    )
    done = subprocess.run(enrol, capture_output=True, text=True, check=False, timeout=PATIENCE)  # noqa: S603 - our own
    if done.returncode:
        raise DemoError(f"the agent could not enrol: {done.stderr.strip()}")
    _start(demo, "agent.main", "run", "--config", str(folder / "agent.toml"))
    demo.say("agent enrolled and started", metrics=f"http://127.0.0.1:{demo.ports['page']}/metrics")


def _worker(demo: Demo) -> subprocess.Popen[bytes]:
    child = subprocess.Popen([sys.executable, "-I", "-c", "import time; time.sleep(86400)", WORKER])  # noqa: S603 - our own
    demo.children.append(child)
    return child


def _running(demo: Demo) -> float | None:
    page = _get(f"http://127.0.0.1:{demo.ports['page']}/metrics") or ""
    for line in page.splitlines():
        if line.startswith("czuwak_process_running{") and WORKER in line:
            return float(line.rpartition(" ")[2])
    return None


def _tickets(demo: Demo) -> list[dict[str, Any]]:
    """All tickets that concern the watched process; this machine may have honest troubles of its own."""
    page = _get(f"{demo.url}/api/v1/tickets?view=every&limit=100", demo.bearer)
    found: list[dict[str, Any]] = json.loads(page)["tickets"] if page else []
    return [t for t in found if t["labels"].get("name") == WORKER]


def _login(demo: Demo) -> str:
    store = open_store(f"sqlite:///{demo.folder}/czuwak.db")
    try:
        with store.write() as conn:
            user = users.user_by_login(conn, "demo")
            if user is None:
                raise DemoError("the demo's user is gone")
            return users.new_session(conn, user.id, time.time(), 3600)
    finally:
        store.close()


def _get(url: str, bearer: str = "") -> str | None:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {bearer}"} if bearer else {})  # noqa: S310
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback never goes through a proxy
    try:
        with opener.open(request, timeout=5) as answer:
            return str(answer.read().decode())
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return None


def _until(what: str, probe: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = probe()
        if found:
            return found
        time.sleep(0.2)
    raise DemoError(f"waited {PATIENCE:.0f} s and it did not happen: {what}")


def _start(demo: Demo, *words: str) -> None:
    demo.children.append(subprocess.Popen(_command(*words), env={**os.environ, "CZUWAK_LOG": "WARNING"}))  # noqa: S603 - our own


def _command(module: str, *words: str) -> list[str]:
    return [sys.executable, "-I", "-m", module, *words]


def _end(child: subprocess.Popen[bytes], number: signal.Signals = signal.SIGTERM) -> None:
    if child.poll() is None:
        child.send_signal(number)
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
    child.wait()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _ports(web: int) -> dict[str, int]:
    """Free ports on loopback; all are held open while choosing, so that they differ."""
    with contextlib.ExitStack() as stack:
        held = {
            n: stack.enter_context(socket.create_server(("127.0.0.1", 0))) for n in ("ingest", "enroll", "page", "web")
        }
        chosen = {name: int(s.getsockname()[1]) for name, s in held.items()}
    return {**chosen, "web": web or chosen["web"]}
