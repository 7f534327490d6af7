"""Our own time line: Unix seconds that never go back, whatever is done to the wall clock."""

from collections.abc import Callable
from dataclasses import dataclass, field

_STEP = 0.5  # seconds; less is left to the slewing of the operating system's own clock discipline


@dataclass(slots=True)
class SteadyClock:
    """Callable from any one thread at a time; reads race harmlessly.

    Follows the wall clock forward at once. While the wall clock is behind, it runs at half speed until both agree.
    """

    wall: Callable[[], float]
    monotonic: Callable[[], float]
    _at: float = field(init=False)
    _read: float = field(init=False)

    def __post_init__(self) -> None:
        self._at, self._read = self.wall(), self.monotonic()

    def __call__(self) -> float:
        """Now."""
        read, wall = self.monotonic(), self.wall()
        passed = max(0.0, read - self._read)
        running = self._at + passed
        if wall > running + _STEP:
            now = wall
        elif wall < running - _STEP:
            now = self._at + passed / 2
        else:
            now = running
        self._at, self._read = max(now, self._at), max(read, self._read)
        return self._at
