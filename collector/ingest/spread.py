"""Long work in small steps: what each of ten thousand hosts needs now and then would hold up an evaluation at once."""

from collections.abc import Callable, Iterator
from itertools import islice


class Spread:
    """Begins every `period` seconds; each `step` does as much as makes it done by then.

    `begin` gives about how many steps there are, and the steps. One that raises ends the round; the next comes in time.
    """

    def __init__(self, period: float, begin: Callable[[float], tuple[int, Iterator[object]]]) -> None:
        self._period = period
        self._begin = begin
        self._began = self._until = -float("inf")
        self._done = self._count = 0
        self._steps: Iterator[object] = iter(())

    def step(self, now: float) -> None:
        """What is due by `now`; time never goes back."""
        if now >= self._until:
            for _ in self._steps:
                pass
            self._began, self._until, self._done = now, now + self._period, 0
            self._count, self._steps = self._begin(now)
        due = int(self._count * (now - self._began) / self._period)
        self._done += sum(1 for _ in islice(self._steps, due - self._done))
