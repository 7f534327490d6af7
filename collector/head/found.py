"""Selections whose series have been looked up, so that the next evaluation need not."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from collector.head.frame import Frame
from collector.head.matcher import Matcher
from collector.head.place import Place

_KEPT = 1024


@dataclass(slots=True)
class Found:
    """A selection's series, and where they were when that was last looked up."""

    version: int
    frame: Frame
    rows: NDArray[np.int32]
    layout: int
    place: Place


class Selections:
    """What was found by its matchers; of one that is replaced nothing stays behind."""

    def __init__(self) -> None:
        self._found: dict[tuple[Matcher, ...], Found] = {}

    def get(self, key: tuple[Matcher, ...]) -> Found | None:
        """What was found last."""
        return self._found.get(key)

    def put(self, key: tuple[Matcher, ...], found: Found) -> Found:
        """Takes the place of what was found before; of too many all go."""
        old = [self._found.pop(key)] if key in self._found else []
        if len(self._found) >= _KEPT:
            old += self._found.values()
            self._found.clear()
        for each in old:
            each.frame.forget()
        self._found[key] = found
        return found
