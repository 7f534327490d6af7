"""What Hellos say about the time before them, written in the transaction that opens their sessions."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from collector.presence.account import Account, Cause, Known, Told, account
from collector.presence.states import OUTAGES, Presence
from collector.store import Connection, hosts, presence
from czuwak.v1 import ingest_pb2 as pb

_NS = 1_000_000_000
_MAX_SUSPENDED = 10 * 366 * 86_400.0


@dataclass(frozen=True, slots=True)
class Arrival:
    """`late`: its silence may have a ticket that this explains. `crash_told`: something else has told the crash."""

    account: Account
    late: bool = False
    crash_told: bool = False


NOTHING_TOLD = Arrival(Account(Cause.NONE))


def arrived(conn: Connection, opened: Iterable[tuple[hosts.Host, int, pb.Hello]], at: float) -> tuple[Arrival, ...]:
    """The explanations, and their lines on the hosts' timelines; each is of a host as its row was, and its session."""
    found: list[Arrival] = []
    boots: list[presence.Boot] = []
    lines: list[hosts.Line] = []
    for before, gen, hello in opened:
        told = told_by(hello, at)
        if (told.boot_id, told.suspended) != (before.boot_id, before.suspended):
            boots.append(presence.Boot(before.id, gen, told.boot_id, told.suspended))
        arrival = _explained(before, told)
        lines += _lines(before, arrival, at)
        found.append(arrival)
    presence.note_boots(conn, boots)
    hosts.add_host_events(conn, lines)
    return tuple(found)


def _explained(before: hosts.Host, told: Told) -> Arrival:
    why = account(told, Known(before.boot_id, before.suspended, before.last_seen))
    silent = before.presence == Presence.AWAY_UNEXPLAINED
    return Arrival(why, why.cause is Cause.PLANNED and silent, silent or before.presence_reason in OUTAGES)


def _lines(before: hosts.Host, arrival: Arrival, at: float) -> Iterator[hosts.Line]:
    why = arrival.account
    if why.cause is Cause.CRASH:
        yield hosts.Line(before.id, at, presence.CRASHED, {"since": before.last_seen, "told": arrival.crash_told})
    elif why.seconds:
        yield hosts.Line(before.id, at, "slept", {"seconds": why.seconds})
    if arrival.late:
        yield hosts.Line(before.id, at, "absence_explained", {"reason": why.reason, "since": before.presence_since})


def told_by(hello: pb.Hello, at: float) -> Told:
    """The part of a Hello that explains; every value of it is the agent's word and bounded here."""
    record = hello.last_absence
    known = record.reason in pb.GoingAwayReason.values()
    name = pb.GoingAwayReason.Name(record.reason).removeprefix("GOING_AWAY_REASON_").lower() if known else ""
    age = (hello.wall_ns - record.wall_ns) / _NS
    believable = record.wall_ns > 0 and age >= 0
    return Told(
        boot_id=hello.boot_id[:64],
        suspended=min(max(0.0, (hello.boottime_ns - hello.monotonic_ns) / _NS), _MAX_SUSPENDED),
        reason=name,
        clean=record.clean,
        record_boot=record.boot_id[:64],
        record_at=at - age if believable else None,
    )
