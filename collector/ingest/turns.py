"""Who goes first while rules are judged: the event loop waits, and no thread keeps the interpreter for long.

numpy gives the interpreter away at each of the ten thousand steps of judging a large fleet, and a busy event loop would
keep it for 5 ms each time: seconds of waiting for tenths of a second of work. Batches lose nothing by waiting, for they
are judged with the next evaluation.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_TURN = 1e-4  # seconds that a thread waits for the interpreter, Python's 0.005 otherwise; always it would be too costly
_LONGEST = 0.25  # seconds: what keeps connections alive is never put off for longer


class Turns:
    """One thread judges, another one gives way."""

    def __init__(self) -> None:
        self._free = threading.Event()
        self._free.set()

    @contextmanager
    def first(self) -> Iterator[None]:
        """While rules are judged."""
        before = sys.getswitchinterval()
        sys.setswitchinterval(_TURN)
        self._free.clear()
        try:
            yield
        finally:
            self._free.set()
            sys.setswitchinterval(before)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Within that, while a database is waited for."""
        self._free.set()
        try:
            yield
        finally:
            self._free.clear()

    def give_way(self) -> None:
        """Waits while rules are judged, a quarter of a second at most."""
        if not self._free.is_set():
            self._free.wait(_LONGEST)
