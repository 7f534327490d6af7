"""The database's time between two looks at it: what decides deadlines, carried on by a clock that never steps."""

from collections.abc import Callable
from dataclasses import dataclass

STEP = 5.0  # more than this between both clocks is a step of the database's, not slowness
GAP = 30.0  # nobody looked for this long: we were stopped, frozen or starved


@dataclass(frozen=True, slots=True)
class Passed:
    """What happened between two looks: `jump` seconds the database's clock was moved, `gap` that passed."""

    jump: float
    gap: float

    @property
    def jumped(self) -> bool:
        """Whether the clock was moved."""
        return abs(self.jump) > STEP


class DatabaseTime:
    """Of `steady` only differences are used; until the first look it is believed itself."""

    def __init__(self, steady: Callable[[], float]) -> None:
        self._steady = steady
        self._read = self._at = steady()

    def __call__(self) -> float:
        """Now, as the database would say."""
        return self._at + (self._steady() - self._read)

    def read(self) -> float:
        """The steady clock, to be noted beside the database's."""
        return self._steady()

    def set(self, at: float) -> None:
        """The first look."""
        self._read, self._at = self._steady(), at

    def look(self, at: float, read: float | None = None) -> Passed:
        """The database said `at` when the steady clock said `read`."""
        read = self._steady() if read is None else max(read, self._read)
        gap = read - self._read
        jump = at - self._at - gap
        self._read, self._at = read, at
        return Passed(jump, gap)
