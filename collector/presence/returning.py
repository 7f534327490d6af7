"""Whether a fleet is still coming back to a collector that was away: until it is here, a silence may be ours. Pure."""

import math
from collections import deque

WINDOW = 10.0  # seconds
SHARE = 0.01  # of those who are back already, within the window: then more are to come


class Returning:
    """Times in seconds of one clock."""

    def __init__(self) -> None:
        self.until = -math.inf  # when it was last so
        self._came: deque[float] = deque()
        self._back = 0

    def began(self) -> None:
        """We have lost sight of some: from now on they come back."""
        self._came.clear()
        self._back = 0

    def came(self, at: float) -> None:
        """One that we had lost sight of is back."""
        self._came.append(at)
        self._back += 1

    def look(self, at: float) -> None:
        """Takes notice of how many came lately."""
        while self._came and self._came[0] <= at - WINDOW:
            self._came.popleft()
        if self._came and len(self._came) >= SHARE * self._back:
            self.until = at

    def jumped(self, seconds: float) -> None:
        """The clock was moved."""
        self._came = deque(at + seconds for at in self._came)
        self.until += seconds
