"""Selectors: the newest sample of each series at each step, with the masks of what had data.

Many steps are read at once: series that a selector takes at any of them are one set of rows.
"""

import numpy as np

from collector.head import HeadError, Latest, Select, Selection
from collector.promql.errors import EvaluationError
from collector.promql.nodes import Edge, Range, Selector, Subquery
from collector.promql.rows import Context, Floats, Rows, milli

_LOOK = 100  # one step takes at least as long as work on this many values


def instant(node: Selector, context: Context) -> Rows:
    """The newest sample of each series within the look-back."""
    return _rows(node, context, times=False)


def sample_times(node: Selector, context: Context) -> Rows:
    """The time of the newest sample of each series, for timestamp()."""
    return _rows(node, context, times=True)


def moments(node: Selector | Subquery, context: Context) -> Floats:
    """When a selector looks, for each step: then, or at its fixed time, less its offset."""
    match node.pinned:
        case Edge.START:
            return milli(np.full(len(context.times), context.start - node.offset))
        case Edge.END:
            return milli(np.full(len(context.times), context.end - node.offset))
        case None:
            return milli(context.times - node.offset)
        case at:
            return milli(np.full(len(context.times), at - node.offset))


def choose(node: Selector, select: Select, start: float, end: float) -> Selection:
    """What a selector selects. Raises EvaluationError when it is too much at once."""
    try:
        return select(node.matchers, start, end)
    except HeadError as error:
        raise EvaluationError(str(error)) from None


def widest(node: Selector | Range, select: Select, at: float) -> int:
    """How many series a selector takes."""
    return choose(node.selector if isinstance(node, Range) else node, select, at, at).frame.size


def _rows(node: Selector, context: Context, *, times: bool) -> Rows:
    looks = moments(node, context)
    distinct, step_of = np.unique(looks, return_inverse=True)
    first, last = float(distinct[0]), float(distinct[-1])
    found = choose(node, context.select, first - context.lookback, last)
    context.meter.spend(len(distinct) * _LOOK + found.frame.size * len(looks))
    if len(distinct) == 1:
        one = found.latest()
        rows = _of(found, one.times if times else one.values, one, (1, found.frame.size))
    else:
        many = found.latest_at(distinct, context.lookback)
        rows = _of(found, many.times if times else many.values, many, (len(distinct), found.frame.size))
    return rows if len(distinct) == len(looks) else rows.at(step_of.reshape(-1))


def _of(selection: Selection, shown: Floats, latest: Latest, shape: tuple[int, int]) -> Rows:
    present = latest.present.reshape(shape)
    known = present & ~np.isnan(latest.values.reshape(shape))
    return Rows(selection.frame, shown.reshape(shape), present, known, latest.lost.reshape(shape))
