"""An expression over the last hour as a chart: what a rule would see, before there is a rule.

For those who see every company: an expression reaches all hosts.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flask import Blueprint, abort, g, render_template, request

from collector.labels import Labels
from web import chart
from web.evidence import unit_of
from web.live import Line, Unavailable
from web.settings import parts

WINDOW = 3600.0  # seconds
STEP = 30.0
LONGEST = 4096  # characters, as the collector accepts
_MOST_ROWS = 50
_LONGEST_NAME = 500  # characters
_COLUMN = re.compile(r"column (\d{1,6}): (.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong with a text; `line` is the one it is in and `caret` points below it, both empty if unknown."""

    message: str
    line: str = ""
    caret: str = ""
    column: int = 0


@dataclass(frozen=True, slots=True)
class Preview:
    """The drawn lines and the newest value of every series; `threshold` and `comparison` are what `_chart` asks for."""

    chart: chart.Chart | None
    unit: str
    rows: tuple[tuple[str, float | None], ...]
    total: int
    drawn: int
    threshold: float | None = None
    comparison: str = ""


def blueprint() -> Blueprint:
    """The page of an expression."""
    pages = Blueprint("preview", __name__)
    pages.add_url_rule("/explore", "show", show)
    return pages


def show() -> str | tuple[str, int]:
    """The form, and what it asks for."""
    if g.scope is not None:
        abort(403)
    expression = request.args.get("q", "").replace("\r\n", "\n").strip()
    found, mistake, status = (None, None, 200) if not expression else _asked(expression)
    page = render_template(
        "explore.html",
        view="rules",
        expression=expression,
        found=found,
        mistake=mistake,
        unavailable=status == 503,
        longest=LONGEST,
    )
    return page, status


def mistake(text: str, message: str, column: int) -> Mistake:
    """A mistake with the line of the text it is in; `column` counts characters of the whole text from 1."""
    at = min(max(column, 1) - 1, len(text))
    start = text.rfind("\n", 0, at) + 1
    line = text[start:].split("\n", 1)[0]
    return Mistake(message, line, re.sub(r"[^\t]", " ", text[start:at]) + "^", column)


def preview(lines: Sequence[Line], expression: str) -> Preview:
    """The chart and the table of an answer."""
    named = [(name_of(line.labels), line) for line in lines]
    series = [chart.Series(name, line.at, tuple(map(_real, line.values))) for name, line in named]
    rows = tuple((one.name, next((v for v in reversed(one.values) if v is not None), None)) for one in series)
    drawn = chart.draw(series, threshold=None, comparison="", mark=None)
    return Preview(drawn, unit_of(expression, None), rows[:_MOST_ROWS], len(rows), len(drawn.lines) if drawn else 0)


def name_of(labels: Mapping[str, str]) -> str:
    """A series in Prometheus' notation, cut where it is very long."""
    name = str(Labels.of(labels))
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"


def _asked(expression: str) -> tuple[Preview | None, Mistake | None, int]:
    here = parts()
    answer = here.live.range(expression, here.now() - WINDOW + STEP, here.now(), STEP, typed=True)
    if not isinstance(answer, Unavailable):
        return preview(answer, expression), None, 200
    if not answer.said:
        return None, None, 503
    told = _COLUMN.fullmatch(answer.said)
    return None, mistake(expression, told[2], int(told[1])) if told else Mistake(answer.said), 400


def _real(value: float) -> float | None:
    return value if math.isfinite(value) else None
