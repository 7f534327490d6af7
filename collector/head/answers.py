"""What selections were answered since the last sample came: rules ask for the same series again and again."""

from collections.abc import Callable, Hashable
from typing import TypeVar

T = TypeVar("T")
_MOST = 96 * 1024 * 1024


class Answers:
    """Answers by question, forgotten all together: when a host's samples change, or when they get too big."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._kept: dict[Hashable, object] = {}
        self._bytes = 0

    def forget(self) -> None:
        """Something has changed."""
        if self._kept:
            self._kept.clear()
            self._bytes = 0

    def get(self, question: Hashable, make: Callable[[], tuple[T, int]]) -> T:
        """The answer of before, or what `make` gives with its size in bytes."""
        if question not in self._kept:
            made, size = make()
            if size > self._most // 4:
                return made
            if self._bytes + size > self._most:
                self.forget()
            self._bytes += size
            self._kept[question] = made
        return self._kept[question]  # type: ignore[return-value]  # the question decides the type
