"""When the next round is due: on a grid without drift, one at a time, and never a burst after sleep."""

import threading
import time
from collections.abc import Callable

# A wait this long at most: after the machine slept the first round comes within it.
NAP_SECONDS = 5.0


def boottime() -> float:
    """Seconds of the clock that goes on in sleep."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def next_due(due: float, now: float, interval: float) -> float:
    """The first moment of the grid `due + n * interval` after `now`; what was missed stays missed."""
    return due + max(1, int((now - due) // interval) + 1) * interval


class Pace:
    """Waits from round to round. The interval may be changed, and the waiting ended, from any thread."""

    def __init__(self, interval: float, clock: Callable[[], float] = boottime) -> None:
        self._clock = clock
        self._interval = interval
        self._base = clock()
        self._woken = threading.Event()
        self._over = self._hurried = False

    @property
    def over(self) -> bool:
        """Whether `end` was called."""
        return self._over

    def end(self) -> None:
        """No further round."""
        self._over = True
        self._woken.set()

    def set(self, interval: float) -> None:
        """Take rounds this often, counted from the last one."""
        self._interval = interval
        self._woken.set()

    def hurry(self) -> None:
        """Take a round at once and count from it on."""
        self._hurried = True
        self._woken.set()

    def wait(self) -> None:
        """Until the next round is due or `end` is called."""
        began = self._clock()
        while not self._over:
            # Computed anew each time: the interval may have changed while we waited.
            due = next_due(self._base, began, self._interval)
            now = self._clock()
            if self._hurried or due <= now:
                self._base, self._hurried = min(due, now), False
                return
            left = due - now
            self._woken.wait(min(left, NAP_SECONDS))
            self._woken.clear()
