"""The event loop wakes for several events at once instead of for each: a fleet's batches come one by one all the time.

A wake-up for a single batch finds every cache cold and costs more than the batch itself. So whoever wakes the loop soon
after it was awake is served a moment later, together with what else comes until then; after a calm at once.
"""

import asyncio
import selectors
import socket
import time
from collections.abc import Callable
from typing import Any

PAUSE = 0.02  # seconds; batches wait for the next second's evaluation anyway, a person's query hardly notices


class Gathering(selectors.DefaultSelector):
    """For `Loop`. While events are left it asks without any pause: no work is put off for it."""

    def __init__(
        self,
        pause: float = PAUSE,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__()
        self._pause, self._now, self._sleep = pause, now, sleep
        self._woken = -pause

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready; when it had to be waited for, also what became ready in the pause."""
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        ready = super().select(timeout)
        if ready:
            left = self._woken + self._pause - self._now()
            if left > 0:
                self._sleep(left)
                ready = super().select(0)
            self._woken = self._now()
        return ready


class Loop(asyncio.SelectorEventLoop):
    """Gathers, and is woken by gRPC once for all its events.

    gRPC writes a byte for each event; a wake-up reads one byte and serves all events there are. What it left unread
    would wake the loop again and again for nothing.
    """

    def __init__(self) -> None:
        super().__init__(Gathering())

    def add_reader(self, fd: Any, callback: Callable[..., Any], *args: Any) -> None:  # type: ignore[override]
        """As asyncio's; of gRPC's own wake-ups all but the last byte are read before it reads that one."""
        if not isinstance(fd, socket.socket) or not is_of_grpc(callback):
            super().add_reader(fd, callback, *args)
            return

        def served() -> None:
            leave_one(fd)
            callback(*args)

        super().add_reader(fd, served)


def is_of_grpc(callback: Callable[..., Any]) -> bool:
    """Whether gRPC serves its events by it: a method of its queue, its argument bound."""
    return type(getattr(getattr(callback, "func", callback), "__self__", None)).__name__ == "PollerCompletionQueue"


def leave_one(end: socket.socket) -> None:
    """Reads what is there but for one byte; never waits."""
    more = len(end.recv(4096, socket.MSG_PEEK | socket.MSG_DONTWAIT)) - 1
    if more > 0:
        end.recv(more, socket.MSG_DONTWAIT)
