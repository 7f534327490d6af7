"""`czuwak demo`: the real collector, web and agent on this machine, one real fault, one real ticket.

Takes the road of production: init, serve, token, enrol, run. Everything lives in one temporary directory and ends
with it.
"""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import webbrowser
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from collector import setup, supervise
from collector.errors import DemoError
from collector.ingest import ca
from collector.store import api_tokens, open_store, tokens, users

WORKER = "czuwak-demo-worker"
INTERVAL = 2.0
PATIENCE = 60.0
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_COLLECTOR = """\
[database]
url = "sqlite:///czuwak.db"
[ingest]
listen = "127.0.0.1:{ingest}"
enrollment_listen = "127.0.0.1:{enroll}"
advertise = "127.0.0.1:{ingest}"
interval = "{interval}s"
offline_after = "{silence}s"
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


class Stop:
    """Turns the first signal into KeyboardInterrupt and ignores the rest, so that cleaning up is never cut short.

    While it is held, the interrupt waits: a child must be noted before anything can fly over it. Signals are not
    ignored until then: a child that begins meanwhile would inherit that, and could not be asked to end.
    """

    def __init__(self) -> None:
        self._held = self._asked = False

    def __call__(self, *_: object) -> None:
        """The signal's handler."""
        self._asked = True
        if not self._held:
            self.ignore()
            raise KeyboardInterrupt

    def ignore(self) -> None:
        """No signal is heard from now on."""
        for number in ENDINGS:
            signal.signal(number, signal.SIG_IGN)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Signals wait until the block has ended."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._asked:
            self.ignore()
            raise KeyboardInterrupt


@dataclass(slots=True)
class Demo:
    """A running demonstration: where it lives and what it started."""

    folder: Path
    ports: dict[str, int]
    say: Callable[..., None]
    stop: Stop
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)
    needed: list[subprocess.Popen[bytes]] = field(default_factory=list)
    bearer: str = ""
    silence: float = 90.0  # of a host, before it counts as away
    database: str = ""

    @property
    def url(self) -> str:
        """Of the pages."""
        return f"http://127.0.0.1:{self.ports['web']}"

    @property
    def worker(self) -> str:
        """Name of the watched process; two demonstrations at once do not take each other's for their own."""
        return f"{WORKER}-{self.folder.name.rpartition('-')[2]}"


@dataclass(frozen=True, slots=True)
class Tale:
    """Another story, and the silence it needs."""

    tell: Callable[[Demo], None]
    silence: float


def run(*, once: bool, port: int, browser: bool, tale: Tale | None = None) -> int:
    """The demonstration; `once` unattended with exit code 0 or 1, else until Ctrl-C. `tale` instead of the usual."""
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
        with started(port, say, 90.0 if tale is None else tale.silence) as demo:
            (story if tale is None else tale.tell)(demo)
            if not once:
                stay(demo, browser)
    except DemoError as error:
        say("failed", error=str(error))
        return 1
    except KeyboardInterrupt:
        say("stopped")
        return int(once)
    return 0


@contextlib.contextmanager
def started(port: int, say: Callable[..., None], silence: float = 90.0) -> Iterator[Demo]:
    """A collector and an enrolled agent, running; all stopped and removed at the end, whatever happens."""
    stop = Stop()
    before = {number: signal.getsignal(number) for number in ENDINGS}
    demo = None
    try:
        with stop.held():
            for number in ENDINGS:
                signal.signal(number, stop)
            ports = _ports(port)
            demo = Demo(_folder(), ports, say, stop, silence=silence)
        _prepare(demo)
        yield demo
    finally:
        stop.ignore()
        if demo is not None:
            _clear(demo)
        for number, handler in before.items():
            signal.signal(number, handler)


def story(demo: Demo) -> None:
    """The loop: a watched process is killed, one ticket opens; it returns, the ticket recovers; no second one."""
    worker = _worker(demo)
    until("the agent sees the watched process", lambda: _running(demo) == 1, demo=demo)
    demo.say("watched process runs", pid=worker.pid)
    end(worker, signal.SIGKILL)
    demo.say(
        "watched process killed", rule="WatchedProcessDown", file=str(Path("collector/rules/defaults/process.yml"))
    )
    ticket = until("a ticket opens", lambda: next(iter(_tickets(demo)), None), demo=demo)
    demo.say("ticket opened", number=ticket["number"], title=ticket["title"], priority=ticket["priority"])
    _worker(demo)
    demo.say("watched process started again")
    ticket = until(
        "the ticket recovers", lambda: next((t for t in _tickets(demo) if t["recovered_at"]), None), demo=demo
    )
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
    print(f"Another fault: pkill -f {demo.worker}    Stop everything and remove it: Ctrl-C", flush=True)
    if browser:
        webbrowser.open(link)
    until("Ctrl-C is pressed", lambda: None, float("inf"), demo, pause=0.5)


def _prepare(demo: Demo) -> None:
    folder = demo.folder
    text = _COLLECTOR.format(interval=INTERVAL, silence=demo.silence, **demo.ports)
    prepared = setup.initialise(folder, company="Demo", login="demo", at=time.time(), text=text, environ={})
    demo.database = prepared.config.database.url
    demo.say("collector prepared", directory=str(folder))
    demo.needed.append(_start(demo, "collector.main", "serve", "--config", str(prepared.config.path)))
    until("the collector is ready", lambda: _get(f"{demo.url}/-/ready") and _listens(demo.ports["enroll"]), demo=demo)
    demo.say("collector ready", url=demo.url)
    join = _tokens(demo, prepared.config.database.url)
    (folder / "join").write_text(join)
    (folder / "agent.toml").write_text(
        _AGENT.format(interval=INTERVAL, worker=demo.worker, folder=folder, **demo.ports)
    )
    _enrol(demo, ca.load(prepared.config.ca.dir).fingerprint)
    start_agent(demo)
    demo.say("agent enrolled and started", metrics=f"http://127.0.0.1:{demo.ports['page']}/metrics")


def start_agent(demo: Demo) -> None:
    """The enrolled agent runs, from now on as a part that is needed."""
    demo.needed.append(_start(demo, "agent.main", "run", "--config", str(demo.folder / "agent.toml")))


def _tokens(demo: Demo, database: str) -> str:
    """The join token's secret; the one that reads tickets stays with the demo."""
    at = time.time()
    with contextlib.closing(open_store(database)) as store, store.write() as conn:
        _, join = tokens.create_token(
            conn, company="demo", site="here", class_="server", pattern="*", uses=1, expires_at=at + 600, at=at
        )
        _, demo.bearer = api_tokens.create(conn, "demo", ("tickets:read",), at=at)
    return join


def _enrol(demo: Demo, fingerprint: str) -> None:
    folder, where = demo.folder, f"127.0.0.1:{demo.ports['enroll']}"
    said = folder / "enroll.log"
    with said.open("wb") as log:
        child = _start(
            demo, "agent.main", "enroll", "--config", str(folder / "agent.toml"), "--collector", where,
            "--token-file", str(folder / "join"), "--ca-fingerprint", fingerprint, log=log,
        )  # fmt: skip
    until("the agent enrols", lambda: child.poll() is not None, demo=demo)
    if child.returncode:
        raise DemoError(f"the agent could not enrol: {said.read_text(errors='replace').strip()}")


def _worker(demo: Demo) -> subprocess.Popen[bytes]:
    return spawn(demo, [sys.executable, "-I", "-c", "import time; time.sleep(86400)", demo.worker])


def _running(demo: Demo) -> float | None:
    page = _get(f"http://127.0.0.1:{demo.ports['page']}/metrics") or ""
    for line in page.splitlines():
        if line.startswith("czuwak_process_running{") and demo.worker in line:
            return float(line.rpartition(" ")[2])
    return None


def open_tickets(demo: Demo) -> list[dict[str, Any]]:
    """All tickets there are, open or not."""
    page = _get(f"{demo.url}/api/v1/tickets?view=every&limit=100", demo.bearer)
    found: list[dict[str, Any]] = json.loads(page)["tickets"] if page else []
    return found


def _tickets(demo: Demo) -> list[dict[str, Any]]:
    """All tickets that concern the watched process; this machine may have honest troubles of its own."""
    return [t for t in open_tickets(demo) if t["labels"].get("name") == demo.worker]


def _login(demo: Demo) -> str:
    database = f"sqlite:///{demo.folder}/czuwak.db"
    with contextlib.closing(open_store(database)) as store, store.write() as conn:
        user = users.user_by_login(conn, "demo")
        if user is None:
            raise DemoError("the demo's user is gone")
        return users.new_session(conn, user.id, time.time(), 3600)


def _get(url: str, bearer: str = "") -> str | None:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {bearer}"} if bearer else {})  # noqa: S310
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback never goes through a proxy
    try:
        with opener.open(request, timeout=5) as answer:
            return str(answer.read().decode())
    except (OSError, http.client.HTTPException):
        return None


def _listens(port: int) -> bool:
    """Whether somebody does; web and ingest begin at the same time, and either may be first."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def until(
    what: str, probe: Callable[[], Any], patience: float = PATIENCE, demo: Demo | None = None, pause: float = 0.2
) -> Any:
    """What the probe gives once it gives something; DemoError after `patience` or when a needed part has ended."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        found = probe()
        if found:
            return found
        if demo is not None and any(child.poll() is not None for child in demo.needed):
            raise DemoError(f"a part of the demonstration ended by itself, its message is above; waited for: {what}")
        time.sleep(pause)
    raise DemoError(f"waited {patience:.0f} s and it did not happen: {what}")


def _start(demo: Demo, *words: str, log: IO[bytes] | None = None) -> subprocess.Popen[bytes]:
    return spawn(demo, command(*words), log)


def spawn(demo: Demo, command: list[str], log: IO[bytes] | None = None) -> subprocess.Popen[bytes]:
    """A child of the demonstration, noted before anything can interrupt."""
    # A session of its own: Ctrl-C in the terminal is for us alone, and we end the children in order.
    with demo.stop.held():
        child = subprocess.Popen(  # noqa: S603 - our own
            supervise.tethered(command),
            env=_environ(),
            stdout=log or subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
        )
        demo.children.append(child)
    return child


def _environ() -> dict[str, str]:
    """Ours, without what would configure another collector, and without a proxy between our own children."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("CZUWAK_")}
    loopback = ",".join(filter(None, ("127.0.0.1,localhost", ours.get("no_proxy", ours.get("NO_PROXY", "")))))
    return {**ours, "CZUWAK_LOG": "WARNING", "no_proxy": loopback, "NO_PROXY": loopback}


def command(module: str, *words: str) -> list[str]:
    """The words that run one of our commands in the same Python."""
    return [sys.executable, "-I", "-m", module, *words]


def end(child: subprocess.Popen[bytes], number: signal.Signals = signal.SIGTERM) -> None:
    """Ask it to end, and end it, with what it began itself, if it does not."""
    if child.poll() is None:
        child.send_signal(number)
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _clear(demo: Demo) -> None:
    """The agent and the worker first, the collector they speak to last."""
    for child in reversed(demo.children):
        end(child)
    shutil.rmtree(demo.folder, ignore_errors=True)


def _folder() -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix="czuwak-demo-"))
    except OSError as error:
        raise DemoError(
            f"no folder can be made for temporary files: {error.strerror}; name one you may write to with TMPDIR=DIR"
        ) from None


def _ports(web: int) -> dict[str, int]:
    """Free ports on loopback; all are held open while choosing, so that they differ."""
    wanted = {"web": web, "ingest": 0, "enroll": 0, "page": 0}
    try:
        with contextlib.ExitStack() as stack:
            held = {n: stack.enter_context(socket.create_server(("127.0.0.1", p))) for n, p in wanted.items()}
            return {name: int(s.getsockname()[1]) for name, s in held.items()}
    except OSError as error:
        raise DemoError(f"port {web} cannot be used: {error.strerror}; choose another, or none, with --port") from None
