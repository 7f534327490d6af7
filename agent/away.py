"""Away for a while by the agent's own word: the record first, then the goodbye, then silence until it is back.

Back is when somebody says so, when the time told is over, when the machine has slept, or when it did not go after all.
"""

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agent import presence
from agent.report import Told
from czuwak.v1 import ingest_pb2 as pb

LOG = logging.getLogger(__name__)

REASONS = {
    "sleep": pb.GOING_AWAY_REASON_SLEEP,
    "hibernate": pb.GOING_AWAY_REASON_HIBERNATE,
    "shutdown": pb.GOING_AWAY_REASON_SHUTDOWN,
    "reboot": pb.GOING_AWAY_REASON_REBOOT,
    "user_pause": pb.GOING_AWAY_REASON_USER_PAUSE,
    "agent_upgrade": pb.GOING_AWAY_REASON_AGENT_UPGRADE,
}
# A machine that said it goes and is still awake after this has changed its mind.
PATIENCE = {pb.GOING_AWAY_REASON_SLEEP: 60.0, pb.GOING_AWAY_REASON_HIBERNATE: 120.0}
DEFAULT_PATIENCE = 600.0
LONGEST_BACK = 366 * 86400
_SLEPT_NS = 1_000_000_000


class Streams(Protocol):
    """What is needed of the uplink."""

    def rest(self, reason: pb.GoingAwayReason.ValueType, back: int = 0) -> Told:
        """Say goodbye and end the stream; what becomes of it."""

    def resume(self) -> None:
        """Connect again."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """`awake` stops in sleep; `suspended_ns` is how long this boot has slept."""

    wall: Callable[[], float] = time.time
    awake: Callable[[], float] = time.monotonic
    suspended_ns: Callable[[], int] = presence.suspended_ns


@dataclass(frozen=True, slots=True)
class _Rest:
    reason: pb.GoingAwayReason.ValueType
    until_wall: float | None  # of a pause; None: until somebody says so
    until_awake: float | None  # of everything else
    suspended_ns: int

    @property
    def pause(self) -> bool:
        return self.reason == pb.GOING_AWAY_REASON_USER_PAUSE


class Away:
    """One per running agent; any thread may call. `before` is what else must be on disk before the goodbye."""

    def __init__(
        self,
        state_dir: Path,
        streams: Streams,
        hurry: Callable[[], None],
        *,
        before: Callable[[], None] = lambda: None,
        clocks: Clocks | None = None,
    ) -> None:
        self._state_dir = state_dir
        self._streams = streams
        self._hurry = hurry
        self._before = before
        self._clocks = clocks or Clocks()
        self._lock = threading.Lock()
        self._rest: _Rest | None = None

    @property
    def paused(self) -> bool:
        """Whether a person asked for this silence: the agent's own stop is then nothing new to tell."""
        rest = self._rest
        return rest is not None and rest.pause

    def restore(self) -> pb.GoingAway | None:
        """At the start: the pause that somebody asked for, as of now, where it goes on; it outlives the process."""
        told = presence.read_absence(self._state_dir)
        if told is None or told.reason != pb.GOING_AWAY_REASON_USER_PAUSE:
            return None
        until = told.wall_ns / 1e9 + told.expected_back_seconds if told.expected_back_seconds else None
        now = self._clocks.wall()
        if until is not None and not told.wall_ns / 1e9 <= now < until:
            return None
        self._rest = _Rest(told.reason, until, None, self._clocks.suspended_ns())
        LOG.info("The pause goes on", extra={"action": "pause_restored"})
        left = 0 if until is None else math.ceil(until - now)
        return pb.GoingAway(reason=told.reason, expected_back_seconds=left)

    def goodbye(self, reason: pb.GoingAwayReason.ValueType, back: int = 0) -> tuple[Told, bool]:
        """Record, spool, goodbye, in this order; whether there is a record, too. Safe to repeat."""
        back = min(max(0, back), LONGEST_BACK)
        clocks = self._clocks
        with self._lock:
            written = record(self._state_dir, reason, back, clocks.wall)
            self._before()
            patience = max(PATIENCE.get(reason, DEFAULT_PATIENCE), float(back))
            pause = reason == pb.GOING_AWAY_REASON_USER_PAUSE
            self._rest = _Rest(
                reason,
                clocks.wall() + back if pause and back else None,
                None if pause else clocks.awake() + patience,
                clocks.suspended_ns(),
            )
            told = self._streams.rest(reason, back)
        name = pb.GoingAwayReason.Name(reason)
        LOG.info("Goodbye: %s, %s", name, told.name, extra={"action": "goodbye", "back": back})
        return told, written

    def resume(self) -> bool:
        """Stream again, with one round at once; False where there was no rest."""
        with self._lock:
            rested, self._rest = self._rest is not None, None
            if rested:
                self._streams.resume()
        if rested:
            self._hurry()
            LOG.info("Streaming goes on", extra={"action": "resumed"})
        return rested

    def streams(self) -> bool:
        """Asked before each round is handed over: whether it may be. Ends a rest whose time is over."""
        rest = self._rest
        if rest is None:
            return True
        return self._over(rest) and self.resume()

    def _over(self, rest: _Rest) -> bool:
        if rest.pause:
            return rest.until_wall is not None and self._clocks.wall() >= rest.until_wall
        slept = self._clocks.suspended_ns() - rest.suspended_ns >= _SLEPT_NS
        return slept or (rest.until_awake is not None and self._clocks.awake() >= rest.until_awake)


def record(
    state_dir: Path, reason: pb.GoingAwayReason.ValueType, back: int = 0, wall: Callable[[], float] = time.time
) -> bool:
    """Write the absence record of this moment, synced; False where the disk refuses, which is logged."""
    absence = pb.Absence(
        reason=reason,
        wall_ns=int(wall() * 1e9),
        boot_id=presence.boot_id(),
        clean=True,
        expected_back_seconds=back,
    )
    try:
        presence.write_absence(state_dir, absence)
    except OSError as error:
        LOG.warning("No absence record: %s: %s", state_dir, error, extra={"action": "absence_not_written"})
        return False
    return True
