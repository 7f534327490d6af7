"""A YAML document as plain items that know where they stand. No YAML library here."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache


class Kind(StrEnum):
    """What a value is; the words stand in messages."""

    MAP = "a mapping"
    LIST = "a list"
    TEXT = "a text"
    INT = "a whole number"
    FLOAT = "a number"
    BOOL = "true or false"
    NULL = "nothing"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value begins in its source; line and column count from 0. `style` is YAML's: | > ' " or plain."""

    source: str
    line: int
    column: int
    style: str = ""

    def of_character(self, value: str, offset: int) -> tuple[int, int]:
        """Line and column, from 1, of the character at `offset` of the scalar `value`.

        Walks value and source together over what is not white space, so folding, indentation and quoting
        need no rules of their own; an escape in double quotes can put it some characters off.
        """
        wanted = sum(not c.isspace() for c in value[:offset])
        visible = [c for c in value if not c.isspace()]
        line, column = self.line, self.column + (1 if self.style in ("'", '"') else 0)
        if self.style in ("|", ">"):
            line, column = line + 1, 0
        return _walk(_lines(self.source), line, column, visible[: wanted + 1])


@dataclass(frozen=True, slots=True)
class Item:
    """One value: a scalar's `text`, a mapping's `pairs` or a list's `items`."""

    kind: Kind
    place: Place
    text: str = ""
    pairs: tuple[tuple["Item", "Item"], ...] = ()
    items: tuple["Item", ...] = ()

    @property
    def line(self) -> int:
        """From 1."""
        return self.place.line + 1

    @property
    def column(self) -> int:
        """From 1."""
        return self.place.column + 1


@lru_cache(maxsize=2)
def _lines(source: str) -> tuple[str, ...]:
    """A large file with many remarks is split once."""
    return tuple(source.splitlines())


def _walk(lines: Sequence[str], line: int, column: int, visible: list[str]) -> tuple[int, int]:
    last = (line + 1, column + 1)
    found = 0
    while line < len(lines) and found < len(visible):
        for at in range(column, len(lines[line])):
            if found < len(visible) and lines[line][at] == visible[found]:
                last, found = (line + 1, at + 1), found + 1
        line, column = line + 1, 0
    return last
