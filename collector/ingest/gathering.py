"""The event loop wakes for several events at once instead of for each: a fleet's batches come one by one all the time.

A wake-up for a single batch finds every cache cold and costs more than the batch itself. So whoever wakes the loop soon
after it was awake is served a moment later, together with what else comes until then; after a calm at once.
"""

import selectors
import time
from collections.abc import Callable

PAUSE = 0.02  # seconds; batches wait for the next second's evaluation anyway, a person's query hardly notices


class Gathering(selectors.DefaultSelector):
    """For `asyncio.SelectorEventLoop`. While events are left it asks without any pause: no work is put off for it."""

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
