"""Which collector the next stream goes to: all of them in turn, from one picked by chance so that agents spread."""

import random
from collections.abc import Callable, Sequence

from agent.text import joined


class Turns:
    """Addresses of collectors on one database. `pick` gives a number below its argument."""

    def __init__(self, addresses: Sequence[tuple[str, int]], pick: Callable[[int], int] = random.randrange) -> None:
        self._targets = [joined(address) for address in addresses]
        self._next = pick(len(self._targets))
        self.current = self._targets[self._next]

    def advance(self) -> str:
        """The next one to connect to, as HOST:PORT; it is `current` from now on."""
        self.current = self._targets[self._next]
        self._next = (self._next + 1) % len(self._targets)
        return self.current

    def __str__(self) -> str:
        return " or ".join(self._targets)
