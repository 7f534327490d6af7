"""Every function by name: what it takes and how it is evaluated. The plan refuses what is not in this table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from collector.head import Match
from collector.labels import NAME, Labels
from collector.promql.dates import DATE_PARTS, date_part
from collector.promql.errors import EvaluationError
from collector.promql.labelling import check_join, check_replace, label_join, label_replace
from collector.promql.mathematics import ELEMENTARY, SHAPED
from collector.promql.nodes import Call, Node, Range, Selector
from collector.promql.regression import predict_linear
from collector.promql.rows import Context, Rows, single
from collector.promql.selectors import sample_times, span
from collector.promql.windows import KEEP_NAME, KERNELS, Kernel, quantile_over_time

Value = Rows | float
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
    return value


def _number(node: Node, context: Context, evaluator: Evaluator) -> float:
    value = evaluator(node, context)
    if isinstance(value, Rows):
        raise EvaluationError("a number is needed, not a vector")
    return value


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
    if low > high:
        return rows.only(np.zeros(rows.frame.size, np.bool_)).with_values(rows.values)
    return rows.with_values(np.maximum(low, np.minimum(high, rows.values)))


def _elementary(name: str) -> Function:
    def evaluate(call: Call, context: Context, evaluator: Evaluator) -> Value:
        rows = _vector(call.arguments[0], context, evaluator)
        with np.errstate(all="ignore"):
            return rows.with_values(ELEMENTARY[name](rows.values))

    return Function(evaluate)


def _date(name: str) -> Function:
    def evaluate(call: Call, context: Context, evaluator: Evaluator) -> Value:
        now = single(context.symbols, context.at)
        rows = _vector(call.arguments[0], context, evaluator) if call.arguments else now
        return rows.with_values(date_part(name, rows.values))

    return Function(evaluate)


def _range(node: Node) -> Range:
    if not isinstance(node, Range):
        raise EvaluationError("a range of samples is needed")
    return node


def _over(name: str, node: Range, kernel: Kernel, context: Context) -> Rows:
    """A function of windows. Known where the series still has a fresh sample: a window running empty proves nothing."""
    found = span(node, context)
    values, some = kernel(found)
    newest = found.rows
    known = some & newest.known & ~np.isnan(values)
    rows = Rows(newest.frame, values, some, known, newest.lost)
    return rows if name in KEEP_NAME else rows.with_values(values)


def _windowed(name: str) -> Function:
    return Function(lambda call, context, _: _over(name, _range(call.arguments[0]), KERNELS[name], context))


def _quantile_over_time(call: Call, context: Context, evaluator: Evaluator) -> Value:
    level = _number(call.arguments[0], context, evaluator)
    return _over(call.name, _range(call.arguments[1]), lambda found: quantile_over_time(found, level), context)


def _predict_linear(call: Call, context: Context, evaluator: Evaluator) -> Value:
    ahead = _number(call.arguments[1], context, evaluator)
    node = _range(call.arguments[0])
    return _over(call.name, node, lambda found: predict_linear(found, context.at, ahead), context)


def _timestamp(call: Call, context: Context, evaluator: Evaluator) -> Value:
    (node,) = call.arguments
    if isinstance(node, Selector):
        rows = sample_times(node, context)
        return rows.with_values(rows.values)
    rows = _vector(node, context, evaluator)
    return rows.with_values(np.full(rows.frame.size, context.at))


def _scalar(call: Call, context: Context, evaluator: Evaluator) -> Value:
    rows = _vector(call.arguments[0], context, evaluator)
    present = np.flatnonzero(rows.present)
    return float(rows.values[present[0]]) if len(present) == 1 else float("nan")


def _absent(call: Call, context: Context, evaluator: Evaluator) -> Value:
    (node,) = call.arguments
    rows = _vector(node, context, evaluator)
    return single(context.symbols, 1.0, _selected_labels(node), present=not rows.present.any())


def _absent_over_time(call: Call, context: Context, _: Evaluator) -> Value:
    node = _range(call.arguments[0])
    empty = not span(node, context).windows.counts.any()
    return single(context.symbols, 1.0, _selected_labels(node.selector), present=empty)


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
    """Rows in order of their values, NaN last; means something only at the top."""
    rows = _vector(call.arguments[0], context, evaluator)
    values = -rows.values if call.name == "sort_desc" else rows.values
    order = np.lexsort((values, np.isnan(values)))
    frame = rows.frame.take(order)
    return Rows(frame, rows.values[order], rows.present[order], rows.known[order], rows.lost[order])


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
    "quantile_over_time": Function(_quantile_over_time),
    "predict_linear": Function(_predict_linear),
    "timestamp": Function(_timestamp),
    "scalar": Function(_scalar),
    "vector": Function(_to_vector),
    "time": Function(lambda _, context, __: context.at),
    "pi": Function(lambda *_: float(np.pi)),
    "absent": Function(_absent),
    "absent_over_time": Function(_absent_over_time),
    "sort": Function(_sort),
    "sort_desc": Function(_sort),
    "label_replace": Function(_relabelling(label_replace), check_replace),
    "label_join": Function(_relabelling(label_join), check_join),
}
