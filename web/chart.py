"""The geometry of a chart: series, threshold and the moment of the ticket as coordinates for a template.

Pure: numbers in, numbers and path data out. Text and colour belong to the template and the style sheet.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import eq, ge, gt, le, lt, ne
from types import MappingProxyType

WIDTH, HEIGHT = 720.0, 150.0
RIGHT = 44.0  # room for the scale's numbers
MOST_LINES = 4
_NOTHING = 1e-9  # smaller is drawn as zero
_BAD: Mapping[str, Callable[[float, float], bool]] = MappingProxyType(
    {"<": lt, "<=": le, ">": gt, ">=": ge, "==": eq, "!=": ne}
)


@dataclass(frozen=True, slots=True)
class Series:
    """One line: `at` in Unix seconds ascending, `values` as long; None is a gap."""

    name: str
    at: tuple[float, ...]
    values: tuple[float | None, ...]

    def __post_init__(self) -> None:
        if len(self.at) != len(self.values):
            raise ValueError("a series has as many times as values")


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on an axis: its place in user units and the value or time it stands for."""

    place: float
    value: float


@dataclass(frozen=True, slots=True)
class Drawn:
    """One drawn line: `path` whole, `bad` the pieces beyond the threshold, `area` between them and the threshold."""

    name: str
    path: str
    bad: str
    area: str
    last: float | None


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart ready for the template; `limit` and `mark` are places, None where they do not exist."""

    lines: tuple[Drawn, ...]
    rows: tuple[Tick, ...]
    columns: tuple[Tick, ...]
    limit: float | None
    mark: float | None
    start: float
    end: float


def draw(series: Sequence[Series], *, threshold: float | None, comparison: str, mark: float | None) -> Chart | None:
    """The chart of these series; None where there is nothing to draw. Only the first few lines are drawn."""
    shown = [s for s in series if any(_real(v) for v in s.values)][:MOST_LINES]
    times = [t for s in shown for t in s.at]
    if not shown or max(times) <= min(times):
        return None
    start, end = min(times), max(times)
    values = [v for s in shown for v in s.values if v is not None and math.isfinite(v)]
    if threshold is not None:
        values.append(threshold)
    ticks = scale(min(values), max(values))
    x = _linear(start, end, 0.0, WIDTH)
    y = _linear(ticks[0], ticks[-1], HEIGHT, 0.0)
    return Chart(
        lines=tuple(_line(s, x, y, threshold, comparison) for s in shown),
        rows=tuple(Tick(y(v), v) for v in ticks),
        columns=tuple(Tick(x(t), t) for t in moments(start, end)),
        limit=None if threshold is None else y(threshold),
        mark=None if mark is None or not start <= mark <= end else x(mark),
        start=start,
        end=end,
    )


def scale(low: float, high: float, steps: int = 4) -> tuple[float, ...]:
    """Round numbers that span low..high, about `steps` intervals; a flat range is widened.

    >>> scale(71, 99)
    (70.0, 80.0, 90.0, 100.0)
    """
    size = max(abs(low), abs(high))
    if high - low <= size * 1e-9 or size < _NOTHING:
        room = size * 0.1 if size > _NOTHING else 1.0
        low, high = low - room, high + room
    step = _round_step((high - low) / steps)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return tuple(round(n * step, 12) for n in range(first, last + 1))


def moments(start: float, end: float) -> tuple[float, ...]:
    """Three to six round moments inside start..end (Unix seconds)."""
    for step in (60, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200):
        if (end - start) / step <= 6:
            break
    else:
        step = 86400
    first = math.ceil(start / step)
    return tuple(float(n * step) for n in range(first, math.floor(end / step) + 1))


def is_beyond(value: float, threshold: float, comparison: str) -> bool:
    """Whether the value is on the bad side."""
    bad = _BAD.get(comparison)
    return bad is not None and bad(value, threshold)


def _line(
    series: Series, x: Callable[[float], float], y: Callable[[float], float], threshold: float | None, comparison: str
) -> Drawn:
    runs = _runs(series)
    last = next((v for v in reversed(series.values) if _real(v)), None)
    bad: list[list[tuple[float, float]]] = []
    if threshold is not None and comparison:
        for run in runs:
            bad.extend(_beyond(run, threshold, comparison))
    placed = [[(x(t), y(v)) for t, v in run] for run in bad]
    area = ""
    if threshold is not None:
        base = y(threshold)
        area = " ".join(f"{_path(run)} L{run[-1][0]:.1f} {base:.1f} L{run[0][0]:.1f} {base:.1f}Z" for run in placed)
    return Drawn(
        name=series.name,
        path=" ".join(_path([(x(t), y(v)) for t, v in run]) for run in runs),
        bad=" ".join(_path(run) for run in placed),
        area=area,
        last=last,
    )


def _runs(series: Series) -> list[list[tuple[float, float]]]:
    """The series cut at its gaps."""
    runs: list[list[tuple[float, float]]] = [[]]
    for at, value in zip(series.at, series.values, strict=True):
        if value is not None and _real(value):
            runs[-1].append((at, value))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _beyond(run: list[tuple[float, float]], threshold: float, comparison: str) -> list[list[tuple[float, float]]]:
    """The pieces of one run beyond the threshold, from crossing to crossing."""
    pieces: list[list[tuple[float, float]]] = []
    before: tuple[float, float] | None = None
    inside = False
    for point in run:
        beyond = is_beyond(point[1], threshold, comparison)
        if beyond != inside and before is not None:
            crossing = _crossing(before, point, threshold)
            if beyond:
                pieces.append([crossing])
            else:
                pieces[-1].append(crossing)
        elif beyond and before is None:
            pieces.append([])
        if beyond:
            pieces[-1].append(point)
        before, inside = point, beyond
    return pieces


def _crossing(a: tuple[float, float], b: tuple[float, float], level: float) -> tuple[float, float]:
    part = 0.0 if b[1] == a[1] else (level - a[1]) / (b[1] - a[1])
    return a[0] + (b[0] - a[0]) * min(1.0, max(0.0, part)), level


def _path(points: list[tuple[float, float]]) -> str:
    if len(points) == 1:
        return f"M{points[0][0]:.1f} {points[0][1]:.1f}h.1"
    return "M" + " L".join(f"{px:.1f} {py:.1f}" for px, py in points)


def _linear(low: float, high: float, first: float, last: float) -> Callable[[float], float]:
    return lambda v: round(first + (v - low) / (high - low) * (last - first), 1)


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(n * power for n in (1, 2, 2.5, 5, 10) if n * power >= step * 0.999)


def _real(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
