"""When the running agent renews its certificate: at half life, looked at about hourly, by a child process.

The child alone imports cryptography. What went wrong is logged once per change and kept for `status`.
"""

import logging
import random
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from agent import files
from agent.identity import FACTS, Facts, renewal_due
from agent.text import plain

LOG = logging.getLogger(__name__)

STATE_FILE = "renewal.json"
LOOK_SECONDS = 3600.0
RETRY_SECONDS = 600.0
SOONEST_SECONDS = 2.0
CHILD_SECONDS = 60.0
_SHARE = 20.0  # of what is left of the life: how far two looks at a short-lived certificate are apart at most


class State(msgspec.Struct, frozen=True):
    """Why the last attempt failed, empty when it did not; and when that was, Unix seconds."""

    problem: str = ""
    at: float = 0.0


Child = Callable[[], str]  # one attempt; what went wrong, empty when nothing did


class Keeper:
    """One thread that looks, renews and tells `renewed`. `command` is the child's command line."""

    def __init__(
        self,
        directory: Path,
        state_dir: Path,
        child: Child,
        renewed: Callable[[], None],
        *,
        wall: Callable[[], float] = time.time,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._directory = directory
        self._state = state_dir / STATE_FILE
        self._child = child
        self._renewed = renewed
        self._wall = wall
        self._jitter = jitter
        self._problem = state(state_dir).problem
        self._wake = threading.Event()
        self._refused = False

    def start(self) -> None:
        """Look for the first time in a moment, then again and again."""
        threading.Thread(target=self._run, name="renewal", daemon=True).start()

    def refused(self) -> None:
        """The collector did not take our certificate, most likely because it has ended: look now."""
        self._refused = True
        self._wake.set()

    def look(self) -> float:
        """Renew if it is time; seconds until the next look."""
        facts = read_facts(self._directory)
        if facts is None:
            return LOOK_SECONDS
        refused, self._refused = self._refused, False
        if refused or renewal_due(facts, self._wall()):
            self._attempt()
            self._refused = refused and bool(self._problem)
            facts = read_facts(self._directory) or facts
        return self._pause(facts)

    def _run(self) -> None:
        # Not at once: ten thousand agents may have been started together.
        self._sleep(min(self._jitter(0.0, 30.0), self._pause(read_facts(self._directory) or Facts("", "", ""))))
        while True:
            self._sleep(self.look())

    def _sleep(self, seconds: float) -> None:
        if self._wake.wait(seconds):
            self._wake.clear()
            # A collector that refuses everybody, and certificates that cannot be renewed, must not make a storm.
            time.sleep(self._jitter(SOONEST_SECONDS, 5 * SOONEST_SECONDS))

    def _attempt(self) -> None:
        problem = self._child()
        if problem and problem != self._problem:
            LOG.warning("The certificate was not renewed: %s", problem, extra={"action": "renewal_failed"})
        elif not problem:
            LOG.info("The certificate is renewed", extra={"action": "renewed"})
            self._renewed()
        if problem != self._problem:
            self._keep(problem)
        self._problem = problem

    def _keep(self, problem: str) -> None:
        try:
            files.write(self._state, msgspec.json.encode(State(problem, self._wall())))
        except OSError as error:
            LOG.debug("No renewal state: %s", error, extra={"action": "state_not_written"})

    def _pause(self, facts: Facts) -> float:
        left = max(0.0, facts.not_after - self._wall())
        usual = RETRY_SECONDS if self._problem else LOOK_SECONDS
        # A life of minutes, in tests, is looked at more often; one that is over not more often than usual.
        usual = min(usual, left / _SHARE) if left else usual
        return max(SOONEST_SECONDS, usual * self._jitter(0.75, 1.25))


def child(command: Sequence[str]) -> Child:
    """One attempt by a process of its own; its last line is what went wrong."""

    def attempt() -> str:
        try:
            done = subprocess.run(  # noqa: S603 - our own command
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=CHILD_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"`czuwak-agent renew` did not end by itself: {plain(str(error))}"
        if done.returncode == 0:
            return ""
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        return plain(lines[-1].removeprefix("czuwak-agent: ")) if lines else f"it ended with {done.returncode}"

    return attempt


def read_facts(directory: Path) -> Facts | None:
    """What identity.json says now; None where there is none."""
    try:
        return msgspec.json.decode((directory / FACTS).read_bytes(), type=Facts)
    except (OSError, msgspec.MsgspecError):
        return None


def state(state_dir: Path) -> State:
    """What the running agent last noted."""
    try:
        return msgspec.json.decode((state_dir / STATE_FILE).read_bytes(), type=State)
    except (OSError, msgspec.MsgspecError):
        return State()
