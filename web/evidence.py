"""A ticket's frozen evidence as a chart, extended with live values where they are to be had.

Evidence is stored data of any age: what does not have its shape is left out, never an error.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from collector.tickets.ticket import Ticket
from web import chart
from web.live import Line, Live, Unavailable

_STEP = 15.0
_REMEMBERED = 3600.0  # seconds the collector's head keeps
_MOST_POINTS = 240
_TABLE_ROWS = 24
_IDENTITY = frozenset({"__name__", "instance", "host", "company", "site", "class", "job", "alertname", "severity"})
_Frozen = tuple[Mapping[str, str], chart.Series]


@dataclass(frozen=True, slots=True)
class View:
    """What the card "what is seen" shows; `now` and `now_at` are the newest value known, live or frozen."""

    expression: str
    threshold: float | None
    comparison: str
    unit: str
    chart: chart.Chart | None
    rows: tuple[tuple[float, tuple[float | None, ...]], ...]  # the table alternative: time and a value per line
    names: tuple[str, ...]
    live: bool  # the chart reaches until now
    latest: float | None
    latest_at: float | None


def view(ticket: Ticket, live: Live, now: float) -> View | None:
    """The evidence of a ticket; None where it has none."""
    if not ticket.evidence:
        return None
    expression = _text(ticket.evidence.get("expression"))
    threshold = _real(ticket.evidence.get("threshold"))
    comparison = _text(ticket.evidence.get("comparison"))
    frozen = _frozen(ticket.evidence.get("lines"))
    shown, is_live = _extended(ticket, frozen, live, now)
    drawn = chart.draw(shown, threshold=threshold, comparison=comparison, mark=ticket.created_at)
    latest, latest_at = _latest(shown)
    return View(
        expression=expression,
        threshold=threshold,
        comparison=comparison,
        unit=unit_of(expression, threshold),
        chart=drawn,
        rows=_rows(shown),
        names=tuple(s.name for s in shown[: chart.MOST_LINES]),
        live=is_live,
        latest=latest if latest is not None else ticket.value,
        latest_at=latest_at,
    )


def unit_of(expression: str, threshold: float | None) -> str:
    """What the values of an expression are, as far as its text tells: a hint for how numbers are shown."""
    if "* 100" in expression or "100 *" in expression or "_percent" in expression:
        return ""
    share = threshold is not None and 0 < threshold <= 1
    if share and ("/" in expression or "rate(" in expression or "_ratio" in expression):
        return "ratio"
    if "_bytes" in expression and "/" not in expression:
        return "bytes/s" if "rate(" in expression else "bytes"
    if "time()" in expression or ("_seconds" in expression and "rate(" not in expression and "/" not in expression):
        return "seconds"
    return ""


def _extended(ticket: Ticket, frozen: Sequence[_Frozen], live: Live, now: float) -> tuple[list[chart.Series], bool]:
    """The frozen series with what came after them, as long as the collector still remembers it."""
    plain = [series for _, series in frozen]
    expression = _text((ticket.evidence or {}).get("series"))  # evidence of an older version does not name it
    end = max((s.at[-1] for s in plain), default=0.0)
    if not expression or not ticket.open or not 0 < now - end < _REMEMBERED:
        return plain, False
    step = max(_STEP, (now - end) / _MOST_POINTS)
    answer = live.range(expression, end + step, now, step)
    if isinstance(answer, Unavailable):
        return plain, False
    return [_joined(labels, series, answer) for labels, series in frozen], True


def _joined(labels: Mapping[str, str], series: chart.Series, lines: Sequence[Line]) -> chart.Series:
    more = next((line for line in lines if dict(line.labels) == labels), None)
    if more is None:
        return series
    values = tuple(v if math.isfinite(v) else None for v in more.values)
    return chart.Series(series.name, series.at + more.at, series.values + values)


def _frozen(lines: object) -> list[_Frozen]:
    given = lines if isinstance(lines, Sequence) else ()
    return [series for line in given if isinstance(line, Mapping) and (series := _series(line))]


def _series(line: Mapping[str, object]) -> _Frozen | None:
    at, values, given = line.get("at"), line.get("values"), line.get("labels")
    if not isinstance(at, Sequence) or not isinstance(values, Sequence) or len(at) != len(values):
        return None
    times = [_real(t) for t in at]
    if not times or any(t is None for t in times):
        return None
    labels = {str(k): str(v) for k, v in given.items()} if isinstance(given, Mapping) else {}
    series = chart.Series(_name(labels), tuple(t for t in times if t is not None), tuple(_real(v) for v in values))
    return labels, series


def _name(labels: Mapping[str, str]) -> str:
    """What tells one line of a chart from another: the labels that do not say where it was measured."""
    return ", ".join(f"{k}={v}" for k, v in sorted(labels.items()) if k not in _IDENTITY)


def _latest(shown: Sequence[chart.Series]) -> tuple[float | None, float | None]:
    for series in shown[:1]:
        for at, value in zip(reversed(series.at), reversed(series.values), strict=True):
            if value is not None:
                return value, at
    return None, None


def _rows(shown: Sequence[chart.Series]) -> tuple[tuple[float, tuple[float | None, ...]], ...]:
    """At most some rows, evenly spread, of the drawn lines; the first line's times lead."""
    drawn = shown[: chart.MOST_LINES]
    if not drawn:
        return ()
    every = max(1, math.ceil(len(drawn[0].at) / _TABLE_ROWS))
    found = [dict(zip(s.at, s.values, strict=True)) for s in drawn]
    return tuple((at, tuple(f.get(at) for f in found)) for at in drawn[0].at[::every])


def _real(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
