"""Work for the engine's thread, in order. Most of it waits for the next tick; what somebody waits for wakes it.

To wake the thread for each of a fleet's batches costs more than the batch.
"""

import threading
from collections import deque
from collections.abc import Callable

MANY = 500

Work = Callable[[], None]


class Inbox:
    """`put` from any thread, the rest from one."""

    def __init__(self) -> None:
        self._work: deque[Work] = deque()
        self._wake = threading.Event()

    def __len__(self) -> int:
        return len(self._work)

    def put(self, work: Work, *, urgent: bool = False) -> None:
        """One piece behind all others."""
        self._work.append(work)
        if urgent or len(self._work) == MANY:
            self._wake.set()

    def wait(self, seconds: float) -> None:
        """Until there is urgent or much work, at most so long."""
        if len(self._work) < MANY:
            self._wake.wait(seconds)
        self._wake.clear()

    def take(self) -> Work | None:
        """The oldest piece."""
        return self._work.popleft() if self._work else None

    def hurry(self) -> None:
        """The next `wait` is over at once."""
        self._wake.set()
