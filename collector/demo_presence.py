"""`czuwak demo --scenario presence`: an agent killed, stopped, asleep, and one whose goodbye was lost."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

from collector.demo import Demo, command, end, open_tickets, spawn, start_agent, until
from collector.errors import DemoError
from collector.store import hosts, open_store, tickets
from collector.store.hosts import Host

SILENCE = 5.0  # instead of 90 s
RULE = "HostSilent"
_RECORD = (
    "import sys; from pathlib import Path; from agent import away;"
    "raise SystemExit(not away.record(Path(sys.argv[1]), away.REASONS['shutdown']))"
)


def story(demo: Demo) -> None:
    """Four absences of one server. Raises DemoError where one of them is not told as it should be."""
    demo.say("times are shortened", silence_seconds=SILENCE, instead_of=90)
    _reached(demo, "the host is online", lambda host: host.presence == "online")
    _killed(demo)
    _stopped(demo)
    _asleep(demo)
    _lost_goodbye(demo)
    demo.say("done", tickets=len(_silent(demo)))


def _killed(demo: Demo) -> None:
    end(demo.needed.pop(), signal.SIGKILL)
    demo.say("agent killed", rule=RULE)
    ticket = until("a ticket opens", lambda: next(iter(_silent(demo)), None), demo=demo)
    demo.say("ticket opened", number=ticket["number"], title=ticket["title"])
    start_agent(demo)
    until("the ticket recovers", lambda: any(t["recovered_at"] for t in _silent(demo)), demo=demo)
    demo.say("agent back, ticket recovered", number=ticket["number"])


def _stopped(demo: Demo) -> None:
    before = _occurrences(demo)
    end(demo.needed.pop())
    host = _reached(demo, "the stop is known as planned", lambda host: host.presence == "away_planned")
    demo.say("agent stopped in order", presence=host.presence, reason=host.presence_reason)
    _quiet(demo, before)
    demo.say("no ticket", waited_seconds=2 * SILENCE)
    start_agent(demo)
    _reached(demo, "the host is back", lambda host: host.presence == "online")


def _asleep(demo: Demo) -> None:
    before, agent = _occurrences(demo), demo.needed.pop()
    _agent(demo, "goodbye", "--reason", "sleep")
    agent.send_signal(signal.SIGSTOP)
    try:
        host = _reached(demo, "the sleep is known", lambda host: host.presence == "away_planned")
        demo.say("goodbye said as the sleep hook does, agent frozen", reason=host.presence_reason)
        _quiet(demo, before)
        demo.say("no ticket", waited_seconds=2 * SILENCE)
    finally:
        agent.send_signal(signal.SIGCONT)
    demo.needed.append(agent)
    _agent(demo, "resume")
    _reached(demo, "the host is awake", lambda host: host.presence == "online")
    told = [event for event in _events(demo) if event.get("reason") == "sleep"]
    if not told:
        raise DemoError("the host's timeline does not explain its sleep")
    demo.say("awake, the gap is explained on the host's timeline", line=told[0])


def _lost_goodbye(demo: Demo) -> None:
    before = _occurrences(demo)
    end(demo.needed.pop(), signal.SIGKILL)
    folder = str(demo.folder / "agent")
    _ran(demo, [*command("agent.main")[:1], "-I", "-c", _RECORD, folder])
    demo.say("machine shut down: its record is on disk, its goodbye was lost")
    until("the silence has its ticket", lambda: _occurrences(demo) > before, demo=demo)
    demo.say("ticket opened", number=_silent(demo)[0]["number"])
    start_agent(demo)
    number = until("the ticket is closed by the late notice", lambda: _closed_late(demo), demo=demo)
    demo.say("ticket closed: planned, late notice", number=number)
    _reached(demo, "the host is online", lambda host: host.presence == "online")
    _quiet(demo, _occurrences(demo))
    if not _closed_late(demo):
        raise DemoError("the closed ticket was opened again")


def _quiet(demo: Demo, before: int) -> None:
    """Twice the silence that would open a ticket, and none."""
    time.sleep(2 * SILENCE)
    if _occurrences(demo) != before:
        raise DemoError("a planned absence has opened a ticket")


def _silent(demo: Demo) -> list[dict[str, Any]]:
    return [t for t in open_tickets(demo) if t["labels"].get("alertname") == RULE]


def _occurrences(demo: Demo) -> int:
    return sum(int(ticket["occurrences"]) for ticket in _silent(demo))


def _closed_late(demo: Demo) -> str:
    """The number of the ticket that a late notice closed; empty where none is closed so."""
    for told in _silent(demo):
        with contextlib.closing(open_store(demo.database)) as store, store.read() as conn:
            ticket = tickets.find(conn, str(told["number"]), None)
            last = tickets.timeline(conn, ticket.id)[-1] if ticket is not None else None
        if last is not None and last.data.get("reason") == "late_notice":
            return str(told["number"])
    return ""


def _host(demo: Demo) -> Host:
    with contextlib.closing(open_store(demo.database)) as store, store.read() as conn:
        return hosts.hosts(conn, scope=None)[0]


def _events(demo: Demo) -> list[dict[str, object]]:
    with contextlib.closing(open_store(demo.database)) as store, store.read() as conn:
        return [dict(event.detail) for event in hosts.host_events(conn, hosts.hosts(conn, scope=None)[0].id)]


def _reached(demo: Demo, what: str, wanted: Callable[[Host], bool]) -> Host:
    def probe() -> Host | None:
        host = _host(demo)
        return host if wanted(host) else None

    found = until(what, probe, demo=demo)
    assert isinstance(found, Host)  # noqa: S101 - what the probe gives
    return found


def _agent(demo: Demo, *words: str) -> None:
    _ran(demo, command("agent.main", *words, "--config", str(demo.folder / "agent.toml")))


def _ran(demo: Demo, words: list[str]) -> None:
    child: subprocess.Popen[bytes] = spawn(demo, words)
    until(" ".join(words[3:]), lambda: child.poll() is not None, demo=demo)
    if child.returncode:
        raise DemoError(f"this failed with exit code {child.returncode}: {' '.join(words[3:])}")
