"""Selectors: the newest sample of each series, and windows of samples, with the masks of what had data."""

from dataclasses import dataclass

import numpy as np

from collector.head import HeadError, Latest, Select, Selection, Windows
from collector.promql.errors import EvaluationError
from collector.promql.nodes import Range, Selector
from collector.promql.rows import Context, Floats, Rows


@dataclass(frozen=True, slots=True)
class Span:
    """The windows of a range selector between two times; `rows` holds the newest samples at its end."""

    rows: Rows
    windows: Windows
    start: float
    end: float


def instant(node: Selector, context: Context) -> Rows:
    """The newest sample of each series within the look-back."""
    at = context.at - node.offset
    selection = choose(node, context.select, at - context.lookback, at)
    latest = selection.latest()
    return _rows(selection, latest, latest.values)


def sample_times(node: Selector, context: Context) -> Rows:
    """The time of the newest sample of each series, for timestamp()."""
    at = context.at - node.offset
    selection = choose(node, context.select, at - context.lookback, at)
    latest = selection.latest()
    return _rows(selection, latest, latest.times)


def span(node: Range, context: Context) -> Span:
    """The windows of a range selector. Raises EvaluationError when they are too big."""
    end = context.at - node.selector.offset
    start = end - node.seconds
    newest = instant(node.selector, context)
    try:
        windows = choose(node.selector, context.select, start, end).windows()
    except HeadError as error:
        raise EvaluationError(str(error)) from None
    return Span(newest, windows, start, end)


def choose(node: Selector, select: Select, start: float, end: float) -> Selection:
    """What a selector selects. Raises EvaluationError when it is too much at once."""
    try:
        return select(node.matchers, start, end)
    except HeadError as error:
        raise EvaluationError(str(error)) from None


def _rows(selection: Selection, latest: Latest, values: Floats) -> Rows:
    known = latest.present & ~np.isnan(latest.values)
    return Rows(selection.frame, values, latest.present, known, latest.lost)
