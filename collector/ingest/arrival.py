"""What a Hello says about the time before it, written in the transaction that opens its session."""

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


def arrived(conn: Connection, before: hosts.Host, gen: int, hello: pb.Hello, at: float) -> Arrival:
    """The explanation, and its lines on the host's timeline; `before` is the row until then."""
    told = told_by(hello, at)
    if (told.boot_id, told.suspended) != (before.boot_id, before.suspended):
        presence.note_boot(conn, before.id, gen, told.boot_id, told.suspended)
    why = account(told, Known(before.boot_id, before.suspended, before.last_seen))
    silent = before.presence == Presence.AWAY_UNEXPLAINED
    crash_told = silent or before.presence_reason in OUTAGES
    if why.cause is Cause.CRASH:
        detail = {"since": before.last_seen, "told": crash_told}
        hosts.add_host_event(conn, before.id, at, presence.CRASHED, detail)
    elif why.seconds:
        hosts.add_host_event(conn, before.id, at, "slept", {"seconds": why.seconds})
    late = why.cause is Cause.PLANNED and silent
    if late:
        explained = {"reason": why.reason, "since": before.presence_since}
        hosts.add_host_event(conn, before.id, at, "absence_explained", explained)
    return Arrival(why, late, crash_told)


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
