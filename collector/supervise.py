"""Runs the collector's parts as child processes: starts them, restarts one that dies, stops all together.

Knows nothing of what the parts do. A part that cannot even start takes the whole down with its own message;
one that dies later is started again with a growing pause.
"""

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Container, Sequence
from dataclasses import dataclass

log = logging.getLogger(__name__)

STARTING = 15.0  # seconds in which a death means "cannot start"
PAUSES = (0.5, 1.0, 2.0, 5.0, 15.0, 30.0)
STOPPING = 15.0
LOOK = 0.1
SUPERVISOR = "CZUWAK_SUPERVISOR"  # in the environment of a part: the supervisor's process id
_PR_SET_PDEATHSIG = 1


@dataclass(slots=True)
class _Part:
    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    deaths: int = 0
    again_at: float = 0.0


@dataclass(slots=True)
class _Told:
    """What signals said. No lock: a handler may run while the main thread holds it."""

    stop: bool = False
    hangup: bool = False

    def __call__(self, number: int, _frame: object) -> None:
        """The signals' handler."""
        if number == signal.SIGHUP:
            self.hangup = True
        else:
            self.stop = True


def supervise(parts: Sequence[tuple[str, Sequence[str]]], reloading: Container[str] = ()) -> int:
    """Run `(name, command)` parts until SIGTERM or SIGINT. Gives 0, or 1 if one cannot start.

    SIGHUP is handed on to the parts whose names are in `reloading`; it never reaches another.
    """
    told = _Told()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, told)
    running = [_Part(name, command) for name, command in parts]
    try:
        for part in running:
            _start(part)
        return _watch(running, reloading, told)
    finally:
        _stop(running)


def tethered(command: Sequence[str]) -> list[str]:
    """The command of a child that is not ours: it ends with SIGTERM when we die, however that is. Linux only."""
    if sys.platform != "linux":
        return list(command)
    return [sys.executable, "-I", "-m", __name__, str(os.getpid()), *command]


def die_with_parent() -> None:
    """Called by every part: a supervisor killed without warning must not leave its children behind. Linux only."""
    supervisor = os.environ.get(SUPERVISOR, "")
    if supervisor and sys.platform == "linux":
        _die_with(int(supervisor))


def _die_with(parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before we asked; in a container it may well be process 1
        os.kill(os.getpid(), signal.SIGTERM)


def _watch(parts: list[_Part], reloading: Container[str], told: _Told) -> int:
    while not told.stop:
        time.sleep(LOOK)
        if told.hangup:
            told.hangup = False
            _signal([part for part in parts if part.name in reloading], signal.SIGHUP)
        for part in parts:
            if not _alive(part, time.monotonic()):
                return 1
    return 0


def _alive(part: _Part, now: float) -> bool:
    """False when the part died while starting for the first time."""
    if part.process is None:
        if now >= part.again_at:
            _start(part)
        return True
    code = part.process.poll()
    if code is None:
        return True
    first = part.deaths == 0 and now - part.started_at < STARTING
    log.error("%s ended with code %s", part.name, code, extra={"action": "part-ended", "part": part.name})
    if now - part.started_at > 60:
        part.deaths = 0
    part.process, part.again_at = None, now + PAUSES[min(part.deaths, len(PAUSES) - 1)]
    part.deaths += 1
    return not (first and code > 0)


def _start(part: _Part) -> None:
    # Ignored while the child begins, so that a reload that comes before its handlers are there does not kill it.
    handler = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    part.process = subprocess.Popen(part.command, env={**os.environ, SUPERVISOR: str(os.getpid())})  # noqa: S603 - our own command
    signal.signal(signal.SIGHUP, handler)
    part.started_at = time.monotonic()
    log.info("%s started", part.name, extra={"action": "part-started", "part": part.name, "pid": part.process.pid})


def _signal(parts: list[_Part], number: signal.Signals) -> None:
    for part in parts:
        if part.process is not None and part.process.poll() is None:
            part.process.send_signal(number)


def _stop(parts: list[_Part]) -> None:
    _signal(parts, signal.SIGTERM)
    deadline = time.monotonic() + STOPPING
    for part in parts:
        if part.process is None:
            continue
        try:
            part.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.warning(
                "%s did not stop in time, killed", part.name, extra={"action": "part-killed", "part": part.name}
            )
            part.process.kill()
            part.process.wait()


if __name__ == "__main__":
    _die_with(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - what `tethered` was given; the wish to die outlives it
