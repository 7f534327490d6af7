"""Every function by name: what it takes and how it is evaluated. The plan refuses what is not in this table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from collector.head import Match
from collector.labels import NAME, Labels
from collector.promql.dates import DATE_PARTS, date_part
from collector.promql.errors import EvaluationError
from collector.promql.histogram import histogram_quantile
from collector.promql.labelling import check_join, check_replace, label_join, label_replace
from collector.promql.mathematics import ELEMENTARY, SHAPED
from collector.promql.nodes import Call, Node, Range, Selector, Subquery, Text
from collector.promql.order import in_order, order_by
from collector.promql.regression import predict_linear
from collector.promql.rows import Context, Floats, Mask, Rows, milli, single
from collector.promql.selectors import moments, sample_times
from collector.promql.spans import Ranged, ranged
from collector.promql.windows import KEEP_NAME, KERNELS, Kernel, quantile_over_time, smoothed

Value = Rows | Floats
Evaluator = Callable[[Node, Context], Value]


def _unchecked(_: Call) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Function:
    """`evaluate` gets the call, the context and the evaluator of arguments; `check` raises ValueError at planning."""

    evaluate: Callable[[Call, Context, Evaluator], Value]
    check: Callable[[Call], None] = _unchecked


def _vector(node: Node, context: Context, evaluator: Evaluator) -> Rows:
    value = evaluator(node, context)
    if not isinstance(value, Rows):
        raise EvaluationError("a vector is needed, not a number")
    context.meter.spend(value.values.size)
    return value


def _number(node: Node, context: Context, evaluator: Evaluator) -> Floats:
    """A column: a number for each step."""
    value = evaluator(node, context)
    if isinstance(value, Rows):
        raise EvaluationError("a number is needed, not a vector")
    return context.column(value)


def _shaped(name: str) -> Function:
    """A vector first, then numbers; the values change, the name goes."""

    def evaluate(call: Call, context: Context, evaluator: Evaluator) -> Value:
        rows = _vector(call.arguments[0], context, evaluator)
        numbers = [_number(node, context, evaluator) for node in call.arguments[1:]]
        with np.errstate(all="ignore"):
            values = SHAPED[name](rows.values, *numbers)
        return rows.with_values(values)

    return Function(evaluate)


def _clamp(call: Call, context: Context, evaluator: Evaluator) -> Value:
    rows = _vector(call.arguments[0], context, evaluator)
    low, high = (_number(node, context, evaluator) for node in call.arguments[1:])
    return rows.only(~(low > high)).with_values(np.maximum(low, np.minimum(high, rows.values)))


def _elementary(name: str) -> Function:
    def evaluate(call: Call, context: Context, evaluator: Evaluator) -> Value:
        rows = _vector(call.arguments[0], context, evaluator)
        with np.errstate(all="ignore"):
            return rows.with_values(ELEMENTARY[name](rows.values))

    return Function(evaluate)


def _date(name: str) -> Function:
    def evaluate(call: Call, context: Context, evaluator: Evaluator) -> Value:
        if call.arguments:
            rows = _vector(call.arguments[0], context, evaluator)
        else:
            rows = single(context.symbols, context.times[:, None])
        return rows.with_values(date_part(name, rows.values))

    return Function(evaluate)


def _over(call: Call, kernel: Kernel, found: Ranged) -> Rows:
    """A function of windows. Known where its series has data now: a window running empty proves nothing."""
    newest = found.rows
    values, some = np.full(newest.values.shape, np.nan), np.zeros(newest.values.shape, np.bool_)
    for span in found.spans:
        numbers, there = kernel(span)
        values[span.steps, span.columns] = numbers.reshape(len(span.ends), span.series)
        some[span.steps, span.columns] = there.reshape(len(span.ends), span.series)
    known = newest.known & ~(some & np.isnan(values))
    if isinstance(_window(call), Range):
        known &= some
    rows = Rows(newest.frame, values, some, known, newest.lost)
    if call.name in KEEP_NAME:
        return rows
    return rows.with_values(values)


def _window(call: Call) -> Range | Subquery:
    for node in call.arguments:
        if isinstance(node, Range | Subquery):
            return node
    raise EvaluationError("a range of samples is needed")


def _ranged(call: Call, context: Context, evaluator: Evaluator) -> Ranged:
    return ranged(_window(call), context, lambda node, inner: _vector(node, inner, evaluator))


def _windowed(name: str) -> Function:
    return Function(lambda call, context, evaluator: _over(call, KERNELS[name], _ranged(call, context, evaluator)))


def _quantile_over_time(call: Call, context: Context, evaluator: Evaluator) -> Value:
    levels = _number(call.arguments[0], context, evaluator)
    found = _ranged(call, context, evaluator)
    return _over(call, lambda span: quantile_over_time(span, span.each(levels)), found)


def _predict_linear(call: Call, context: Context, evaluator: Evaluator) -> Value:
    window = _window(call)
    ends = moments(window.selector if isinstance(window, Range) else window, context)
    ahead = _number(call.arguments[1], context, evaluator) + milli(context.times - ends)[:, None]
    found = _ranged(call, context, evaluator)
    return _over(call, lambda span: predict_linear(span, span.each(ahead)), found)


def _smoothed(call: Call, context: Context, evaluator: Evaluator) -> Value:
    level, trend = (_number(node, context, evaluator) for node in call.arguments[1:])
    found = _ranged(call, context, evaluator)
    return _over(call, lambda span: smoothed(span, span.each(level), span.each(trend)), found)


def _histogram_quantile(call: Call, context: Context, evaluator: Evaluator) -> Value:
    levels = _number(call.arguments[0], context, evaluator)
    return histogram_quantile(levels, _vector(call.arguments[1], context, evaluator))


def _timestamp(call: Call, context: Context, evaluator: Evaluator) -> Value:
    (node,) = call.arguments
    if isinstance(node, Selector):
        rows = sample_times(node, context)
        return rows.with_values(rows.values)
    rows = _vector(node, context, evaluator)
    return rows.with_values(np.broadcast_to(context.times[:, None], rows.values.shape))


def _scalar(call: Call, context: Context, evaluator: Evaluator) -> Value:
    rows = _vector(call.arguments[0], context, evaluator)
    first = np.where(rows.present, rows.values, 0.0).sum(axis=1, keepdims=True)
    return np.where(rows.present.sum(axis=1, keepdims=True) == 1, first, np.nan)


def _absent(call: Call, context: Context, evaluator: Evaluator) -> Value:
    (node,) = call.arguments
    rows = _vector(node, context, evaluator)
    return _missing(node, context, np.asarray(rows.present.any(axis=1, keepdims=True)))


def _absent_over_time(call: Call, context: Context, evaluator: Evaluator) -> Value:
    found = np.zeros((len(context.times), 1), np.bool_)
    for span in _ranged(call, context, evaluator).spans:
        found[span.steps, 0] |= span.windows.counts.reshape(len(span.ends), -1).any(axis=1)
    window = _window(call)
    return _missing(window.selector if isinstance(window, Range) else window, context, found)


def _missing(node: Node, context: Context, found: Mask) -> Rows:
    return single(context.symbols, np.ones(found.shape), _selected_labels(node), ~found)


def _selected_labels(node: Node) -> Labels:
    """The labels a selector asks for with one = each; of anything else, none."""
    found: dict[str, str] = {}
    seen: set[str] = set()
    for matcher in node.matchers if isinstance(node, Selector) else ():
        if matcher.match is Match.EQUAL and matcher.name not in seen:
            found[matcher.name] = matcher.value
            seen.add(matcher.name)
        else:
            found.pop(matcher.name, None)
    return Labels.of(found).without(NAME)


def _sort(call: Call, context: Context, evaluator: Evaluator) -> Value:
    """Rows in order of their values, NaN last; means something only at the top, and only at one time."""
    rows = _vector(call.arguments[0], context, evaluator)
    if rows.steps > 1:
        return rows
    values = -rows.values[0] if call.name == "sort_desc" else rows.values[0]
    return in_order(rows, np.lexsort((values, np.isnan(values))))


def _sort_by_label(call: Call, context: Context, evaluator: Evaluator) -> Value:
    rows = _vector(call.arguments[0], context, evaluator)
    if rows.steps > 1:
        return rows
    names = [node.value for node in call.arguments[1:] if isinstance(node, Text)]
    order = order_by(rows.frame, names)
    return in_order(rows, order[::-1] if call.name == "sort_by_label_desc" else order)


def _first_edge(_: Call, context: Context, __: Evaluator) -> Value:
    return context.column(context.start)


def _last_edge(_: Call, context: Context, __: Evaluator) -> Value:
    return context.column(context.end)


def _extreme(choose: np.ufunc) -> Function:
    return Function(
        lambda call, context, evaluator: choose(*(_number(node, context, evaluator) for node in call.arguments))
    )


def _relabelling(change: Callable[[Call, Rows], Rows]) -> Callable[[Call, Context, Evaluator], Value]:
    return lambda call, context, evaluator: change(call, _vector(call.arguments[0], context, evaluator))


def _to_vector(call: Call, context: Context, evaluator: Evaluator) -> Value:
    return single(context.symbols, _number(call.arguments[0], context, evaluator))


FUNCTIONS: Mapping[str, Function] = {
    **{name: _windowed(name) for name in KERNELS},
    **{name: _elementary(name) for name in ELEMENTARY},
    **{name: _shaped(name) for name in SHAPED},
    **{name: _date(name) for name in DATE_PARTS},
    "clamp": Function(_clamp),
    "double_exponential_smoothing": Function(_smoothed),
    "histogram_quantile": Function(_histogram_quantile),
    "sort_by_label": Function(_sort_by_label),
    "sort_by_label_desc": Function(_sort_by_label),
    "start": Function(_first_edge),
    "end": Function(_last_edge),
    "step": Function(lambda _, context, __: context.column(context.step)),
    "range": Function(lambda _, context, __: context.column(context.end - context.start)),
    "min_of": _extreme(np.minimum),
    "max_of": _extreme(np.maximum),
    "quantile_over_time": Function(_quantile_over_time),
    "predict_linear": Function(_predict_linear),
    "timestamp": Function(_timestamp),
    "scalar": Function(_scalar),
    "vector": Function(_to_vector),
    "time": Function(lambda _, context, __: context.times[:, None]),
    "pi": Function(lambda _, context, __: context.column(np.pi)),
    "absent": Function(_absent),
    "absent_over_time": Function(_absent_over_time),
    "sort": Function(_sort),
    "sort_desc": Function(_sort),
    "label_replace": Function(_relabelling(label_replace), check_replace),
    "label_join": Function(_relabelling(label_join), check_join),
}
