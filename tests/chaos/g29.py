"""G29: many computers enrol at once while replies are lost and the collector is killed: one identity for each."""

import asyncio
import contextlib
import json
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from agent import enroll
from agent.errors import EnrollError
from tests.chaos.outcome import fewer, held, violated
from tests.e2e.plant import Plant, listens, planted, until

GOAL = "1,000 parallel enrolments with lost replies and crashes: exactly 1,000 identities"
SITES = 50  # addresses the computers come from: the collector limits how many enrol from one


@dataclass
class Count:
    """What happened on the way."""

    tries: int = 0
    lost: int = 0  # the collector had made the identity, its reply did not arrive
    done: int = 0
    given_up: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, **more: int) -> None:
        with self.lock:
            for name, number in more.items():
                setattr(self, name, getattr(self, name) + number)


def run(budget_seconds: float, folder: Path, hosts: int = 1000, kills: int = 5, at_once: int = 32) -> list[str]:
    """Everybody enrols until it has an identity; then the identities are counted on both sides."""
    count = Count()
    with planted(folder / "c", "groups: []\n", parts=("ingest", "web")) as site, ways(site) as doors:
        words = ("--uses", str(hosts), "--class", "server", "--json", "--config", str(site.config))
        token = json.loads(site.command("token", "create", *words))["token"]
        began = time.monotonic()
        killed = 0
        with ThreadPoolExecutor(at_once) as crowd:
            args = (site, token, count, began + budget_seconds - 30)
            asked = [crowd.submit(one, number, doors[number % SITES], *args) for number in range(hosts)]
            while not all(each.done() for each in asked):
                if killed < kills and count.done >= (killed + 1) * hosts // (kills + 1):
                    site.kill("ingest", signal.SIGKILL)
                    site.serve("ingest")
                    killed += 1
                time.sleep(0.05)
        took = time.monotonic() - began
        for each in asked:
            each.result()
        until("agents are served", lambda: listens(site.ports["enroll"]))
        return verdict(site, count, hosts, kills, killed, took)


def one(number: int, door: int, site: Plant, token: str, count: Count, end: float) -> None:
    """One computer: the command a person would type, again and again until it succeeds."""
    folder = site.folder / "agents" / str(number)
    request = enroll.Request(
        collector=f"127.0.0.1:{door}",
        token=token,
        directory=folder,
        ca_file=site.folder / "ca" / "ca.pem",
        hostname=f"pc-{number}",
        machine_fingerprint=f"board-{number}",
    )
    dice = random.Random(number)  # noqa: S311 - a repeatable run
    lost = 0
    while time.monotonic() < end:
        count.add(tries=1)
        try:
            enroll.enroll(request)
        except EnrollError:
            lost = lost or _made(site, folder)
            time.sleep(dice.uniform(0.1, 2.0))
        else:
            count.add(done=1, lost=lost)
            return
    count.add(given_up=1)


def _made(site: Plant, folder: Path) -> int:
    """Whether the collector had committed what the computer did not hear of."""
    with contextlib.suppress(OSError, ValueError, KeyError, sqlite3.Error):
        pending = json.loads((folder / enroll.PENDING).read_text())["enrollment_id"]
        return len(site.rows("select 1 from enrollment where id = ?", pending))
    return 0


def verdict(site: Plant, count: Count, hosts: int, kills: int, killed: int, took: float) -> list[str]:
    """What both sides hold."""
    told = [json.loads(path.read_text())["agent_id"] for path in (site.folder / "agents").glob("*/identity.json")]
    known = [row[0] for row in site.rows("select id from host")]
    ((used,),) = site.rows("select sum(used) from join_token")
    ((certificates,),) = site.rows("select count(*) from certificate")
    same = sorted(told) == sorted(known) and len(set(known)) == hosts == used == certificates
    line = f"{len(set(known))} identities for {hosts} computers, {used} uses of the token, {certificates} certificates"
    lines = [
        line if same else violated(f"{line}; {len(set(told))} computers know theirs"),
        f"{count.tries} tries in {took:.0f} s, {killed} kills of the collector",
        f"{count.lost} computers did not hear of the identity that was made for them and got the same one again",
        held("replies were lost after the commit", count.lost > 0),
    ]
    smaller = [fewer(f"{hosts} computers and {killed} kills")] if hosts < 1000 or killed < kills else []
    return [*lines, *smaller]


@contextmanager
def ways(site: Plant) -> Iterator[list[int]]:
    """Ports that lead to the enrolment listener, each from an address of its own, and lose some replies."""
    loop = asyncio.new_event_loop()
    dice = random.Random(29)  # noqa: S311 - a repeatable run
    doors: list[int] = []
    servers: list[asyncio.Server] = []
    opened = threading.Event()

    async def serve() -> None:
        for number in range(SITES):
            source = f"127.0.1.{number + 1}"

            async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, source: str = source) -> None:
                await _carry(reader, writer, site.ports["enroll"], source, lossy=dice.random() < 0.3)

            server = await asyncio.start_server(carry, "127.0.0.1", 0)
            servers.append(server)
            doors.append(int(server.sockets[0].getsockname()[1]))
        opened.set()

    async def end() -> None:
        for server in servers:
            server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def work() -> None:
        asyncio.set_event_loop(loop)
        loop.create_task(serve())  # noqa: RUF006 - the loop runs until everything is over
        loop.run_forever()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert opened.wait(10)
    try:
        yield doors
    finally:
        asyncio.run_coroutine_threadsafe(end(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _carry(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, source: str, *, lossy: bool
) -> None:
    """Both directions. A lossy one breaks off when the reply, the first large answer after the handshake, begins."""
    with contextlib.closing(writer), contextlib.suppress(OSError):
        back, forth = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
        with contextlib.closing(forth):
            await asyncio.gather(_pump(reader, forth, None), _pump(back, writer, 3200 if lossy else None))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, most: int | None) -> None:
    passed = 0
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            passed += len(data)
            if most is not None and passed > most:
                break
            writer.write(data)
            await writer.drain()
    writer.close()
