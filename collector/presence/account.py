"""What a Hello says about the time before it: planned, slept, crashed, or nothing that needs words. Pure."""

from dataclasses import dataclass
from enum import StrEnum

LEAST_SLEEP = 30.0  # seconds; less is jitter between two clocks or a nap nobody has to hear of
RECORD_SLACK = 6 * 3600.0  # a record this much older than the last sample is of an earlier absence; clocks may step
WEEK = 7 * 86_400.0
DAY = 86_400.0
DIP = 5.0  # a new crash must be seen as a new one even where the last still shows


class Cause(StrEnum):
    """Why a host was away."""

    NONE = "none"  # the same boot, awake all the time: the network, or its agent
    PLANNED = "planned"
    SLEPT = "slept"
    CRASH = "crash"  # a new boot, and nobody said goodbye before


@dataclass(frozen=True, slots=True)
class Told:
    """What the Hello says. Times are ours, seconds; `record_at` None: the agent's clock gives no sense."""

    boot_id: str
    suspended: float
    reason: str = ""
    clean: bool = False
    record_boot: str = ""
    record_at: float | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What we knew of the host until then."""

    boot_id: str = ""
    suspended: float = 0.0
    last_seen: float | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """`reason` of a planned absence; `seconds` of sleep."""

    cause: Cause
    reason: str = ""
    seconds: float = 0.0


def account(told: Told, known: Known) -> Account:
    """The explanation of the absence that this Hello ends."""
    rebooted = bool(known.boot_id) and bool(told.boot_id) and told.boot_id != known.boot_id
    slept = 0.0 if rebooted else max(0.0, told.suspended - known.suspended)
    if _explains(told, known, rebooted=rebooted):
        return Account(Cause.PLANNED, told.reason, slept if known.boot_id and slept >= LEAST_SLEEP else 0.0)
    if rebooted:
        return Account(Cause.CRASH)
    if known.boot_id and slept >= LEAST_SLEEP:
        return Account(Cause.SLEPT, "", slept)
    return Account(Cause.NONE)


def _explains(told: Told, known: Known, *, rebooted: bool) -> bool:
    if not told.clean or told.reason in ("", "unspecified"):
        return False
    if told.record_at is not None and known.last_seen is not None and told.record_at < known.last_seen - RECORD_SLACK:
        return False  # of an absence that is over: its record could not be removed
    if not told.record_boot or not told.boot_id:
        return True
    # A record made in the new boot says nothing about how the old one ended, and an old one nothing about this boot.
    return (told.record_boot != told.boot_id) == rebooted or not known.boot_id


def reboots_to_tell(crashes: tuple[tuple[float, bool], ...], at: float, *, server: bool) -> int:
    """How many crashes of the last week a rule is to see: (time, told otherwise), while the last is of today.

    A server's crash that its silence or an outage has told already opens nothing; right after a crash the number is 0
    for a moment, so that two crashes of one day are two.
    """
    recent = [when for when, told in crashes if at - WEEK < when <= at and not (server and told)]
    if not recent or not DIP <= at - max(recent) < DAY:
        return 0
    return len(recent)
