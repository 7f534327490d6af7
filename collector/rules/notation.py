"""The notation of promtool's test files: a series as `name{a="b"}` and its values as `1+2x3 _ stale`. Pure."""

import re
from collections.abc import Iterator

from collector.head import STALE
from collector.labels import NAME, Labels
from collector.rules.errors import RuleError

MOST_POINTS = 200_000

_NUMBER = r"[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|[iI]nf|[nN]a[nN])"
_POINTS = re.compile(rf"({_NUMBER})(?:([-+])({_NUMBER.removeprefix('[-+]?')}))?(?:x(\d+))?")
_GAP = re.compile(r"(_|stale)(?:x(\d+))?")
_NAME = re.compile(r"\s*([a-zA-Z_:][a-zA-Z0-9_:]*)?\s*(?:\{(.*)\})?\s*", re.DOTALL)
_LABEL = re.compile(
    r"""\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)\s*(,|$)\s*"""
)
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def read_series(text: str) -> Labels:
    """Labels of a series in Prometheus' notation. Raises RuleError."""
    match = _NAME.fullmatch(text)
    if match is None:
        raise RuleError(f"not a series: {text[:80]!r}")
    labels = {NAME: match[1] or ""}
    inner, position = match[2] or "", 0
    while position < len(inner.rstrip()):
        label = _LABEL.match(inner, position)
        if label is None:
            raise RuleError(f"not a series: {text[:80]!r}")
        labels[label[1]] = _unquoted(label[2])
        position = label.end()
    return Labels.of(labels)


def read_values(text: str) -> list[float | None]:
    """One entry per interval: a number, the stale marker or None for no sample. Raises RuleError."""
    points: list[float | None] = []
    for word in text.split():
        points += _points(word)
        if len(points) > MOST_POINTS:
            raise RuleError(f"more than {MOST_POINTS} values in one series")
    return points


def _points(word: str) -> Iterator[float | None]:
    gap = _GAP.fullmatch(word)
    if gap:
        return _repeat(STALE if gap[1] == "stale" else None, _count(gap[2] or "1"))
    match = _POINTS.fullmatch(word)
    if match is None or (match[2] and not match[4]):
        kind = "native histograms are not supported" if word.startswith("{{") else "not values"
        raise RuleError(f"{kind}: {word[:40]!r}")
    start = float(match[1])
    if not match[4]:
        return iter([start])
    slope = float(match[3] or "0") * (-1 if match[2] == "-" else 1)
    return _line(start, slope, _count(match[4]))


def _line(start: float, slope: float, count: int) -> Iterator[float | None]:
    value = start
    for _ in range(count + 1):
        yield value
        value += slope  # added up, as promtool does, for the same rounding


def _repeat(value: float | None, count: int) -> Iterator[float | None]:
    return (value for _ in range(count))


def _count(text: str) -> int:
    if len(text) > 6:
        raise RuleError(f"more than {MOST_POINTS} values in one series")
    return int(text)


def _unquoted(text: str) -> str:
    if text[0] == "`":
        return text[1:-1]
    return _ESCAPE.sub(lambda match: _ESCAPES.get(match[1], match[1]), text[1:-1])
