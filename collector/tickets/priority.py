"""Impact x urgency -> priority, by a matrix a company may edit; pure."""

from collections.abc import Mapping
from enum import IntEnum

from collector.tickets.errors import Invalid


class Priority(IntEnum):
    """P1 is the most urgent."""

    P1 = 1
    P2 = 2
    P3 = 3
    P4 = 4


class Level(IntEnum):
    """How much, for impact and for urgency."""

    HIGH = 1
    MEDIUM = 2
    LOW = 3


Matrix = Mapping[tuple[Level, Level], Priority]

_H, _M, _L = Level.HIGH, Level.MEDIUM, Level.LOW

DEFAULT_MATRIX: Matrix = {
    (_H, _H): Priority.P1,
    (_H, _M): Priority.P2,
    (_H, _L): Priority.P3,
    (_M, _H): Priority.P2,
    (_M, _M): Priority.P3,
    (_M, _L): Priority.P4,
    (_L, _H): Priority.P3,
    (_L, _M): Priority.P4,
    (_L, _L): Priority.P4,
}

SEVERITY_URGENCY: Mapping[str, Level] = {"critical": _H, "warning": _M, "info": _L}
_NAMES: Mapping[str, Level] = {"high": _H, "medium": _M, "low": _L}


def priority(impact: Level, urgency: Level, matrix: Matrix = DEFAULT_MATRIX) -> Priority:
    """The matrix' cell."""
    return matrix[(impact, urgency)]


def levels(labels: Mapping[str, str], annotations: Mapping[str, str]) -> tuple[Level, Level]:
    """(impact, urgency) an alert asks for; labels before annotations, `urgency` before `severity`, else medium."""
    said = {**annotations, **labels}
    severity = SEVERITY_URGENCY.get(said.get("severity", "").casefold(), Level.MEDIUM)
    impact = _NAMES.get(said.get("impact", "").casefold(), Level.MEDIUM)
    return impact, _NAMES.get(said.get("urgency", "").casefold(), severity)


def matrix_from(plain: Mapping[str, str]) -> Matrix:
    """A matrix from its stored form {"high/low": "P3", ...}; cells left out keep the default. Raises Invalid."""
    try:
        cells = {tuple(_NAMES[n] for n in cell.split("/")): Priority[p] for cell, p in plain.items()}
    except KeyError as wrong:
        raise Invalid("priority matrix", f"{wrong.args[0]!r} is not known; write cells as high/low = P3") from None
    if not cells.keys() <= DEFAULT_MATRIX.keys():
        raise Invalid("priority matrix", "a cell is impact/urgency, as in high/low = P3")
    return {key: cells.get(key, default) for key, default in DEFAULT_MATRIX.items()}


def matrix_plain(matrix: Matrix) -> dict[str, str]:
    """The stored form of a matrix."""
    return {f"{i.name}/{u.name}".lower(): p.name for (i, u), p in matrix.items()}
