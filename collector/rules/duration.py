"""Prometheus' durations: `1d2h3m`, `250ms`, units in falling order, `0`. Pure."""

import re

from collector.rules.errors import DurationError

_UNITS = {"y": 31_536_000.0, "w": 604_800.0, "d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_SHAPE = re.compile("".join(f"(?:([0-9]{{1,18}}){unit})?" for unit in _UNITS))
_LONGEST = 2**63 / 1e9  # what Prometheus can hold in nanoseconds


def parse_duration(text: str) -> float:
    """Seconds of a duration. Raises DurationError."""
    if text == "0":
        return 0.0
    match = _SHAPE.fullmatch(text)
    if match is None or not text:
        raise DurationError(f"not a duration: {text[:40]!r} (write it as 30s, 5m or 1h30m)")
    seconds = sum(int(n) * size for n, size in zip(match.groups(), _UNITS.values(), strict=True) if n)
    if seconds > _LONGEST:
        raise DurationError(f"duration out of range: {text[:40]!r}")
    return seconds


def format_duration(seconds: float) -> str:
    """The shortest text `parse_duration` reads back to the millisecond."""
    rest = round(seconds * 1000)
    parts = []
    for unit, size in _UNITS.items():
        count, rest = divmod(rest, round(size * 1000))
        parts += [f"{count}{unit}"] if count else []
    return "".join(parts) or "0s"
