"""Plan to answer: pure over one `select` and one or many times at once. Scalars are columns, vectors are Rows."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from collector.head import Select, Symbols
from collector.labels import Labels
from collector.promql import binary, membership
from collector.promql.aggregate import aggregate
from collector.promql.call import FUNCTIONS
from collector.promql.counting import count_values
from collector.promql.errors import EvaluationError
from collector.promql.nodes import Aggregate, Binary, Call, Negate, Node, Number, Plan, Range, Selector, Subquery, Text
from collector.promql.rows import Context, Floats, Meter, Result, Rows, milli, result_of, single
from collector.promql.selectors import choose, instant, widest
from collector.promql.survey import nodes

MAX_STEPS = 11_000  # of a range evaluation, as in Prometheus
BUDGET = 500_000_000  # values that one evaluation may work on
_BLOCK = 2_000_000  # samples worked on together in a range evaluation
_FAR = 1e12  # seconds
_INTERVAL = 15.0  # seconds between samples, guessed, where only memory depends on it


@dataclass(frozen=True, slots=True)
class Line:
    """One series of a range evaluation; `at` in Unix seconds, as long as `values`."""

    labels: Labels
    at: tuple[float, ...]
    values: tuple[float, ...]


def evaluate(plan: Plan, select: Select, at: float, *, lookback: float = 300.0, budget: int = BUDGET) -> Result:
    """The expression's vector at one time, and what had data. Raises EvaluationError.

    A scalar expression gives one value without labels. `budget` bounds the work: every value read, computed or put
    into a window counts.
    """
    _refuse_far(at)
    times = milli(np.array([at], np.float64))
    return result_of(_root(plan, _context(plan, select, times, 0.0, lookback, budget)))


def evaluate_range(
    plan: Plan,
    select: Select,
    start: float,
    end: float,
    step: float,
    *,
    lookback: float = 300.0,
    budget: int = BUDGET,
) -> list[Line]:
    """One line per series for the times start, start+step, .. end. Raises EvaluationError beyond 11,000 steps."""
    times = _times(start, end, step)
    drawn: dict[Labels, tuple[list[float], list[float]]] = {}
    for context, rows in _blocks(plan, select, times, step, lookback, budget):
        columns = np.flatnonzero(rows.present.any(axis=0)).tolist()
        for labels, column in zip(rows.frame.labels(columns), columns, strict=True):
            steps = rows.present[:, column]
            at, values = drawn.setdefault(labels, ([], []))
            at += context.times[steps].tolist()
            values += rows.values[steps, column].tolist()
    return [_line(labels, at, values) for labels, (at, values) in drawn.items()]


def evaluate_steps(
    plan: Plan,
    select: Select,
    start: float,
    end: float,
    step: float,
    *,
    lookback: float = 300.0,
    budget: int = BUDGET,
) -> Iterator[tuple[float, Result]]:
    """(time, result) at start, start+step, .. end, worked out many steps at a time. Raises EvaluationError."""
    for context, rows in _blocks(plan, select, _times(start, end, step), step, lookback, budget):
        for number, at in enumerate(context.times.tolist()):
            yield at, result_of(rows, number)


def _times(start: float, end: float, step: float) -> Floats:
    _refuse_far(start, end)
    steps = int(min((end - start) / step, 1e9) + 1e-9) + 1 if step > 0 and end >= start else 0
    if not 0 < steps <= MAX_STEPS:
        raise EvaluationError(f"from {start} to {end} by {step} is not 1 to {MAX_STEPS} steps")
    return np.asarray(start + step * np.arange(steps), np.float64)


def _refuse_far(*times: float) -> None:
    if not all(abs(at) < _FAR for at in times):
        raise EvaluationError(f"{times[0]} is not a time")


def _line(labels: Labels, at: list[float], values: list[float]) -> Line:
    """A series whose labels two rows share one after the other is one line, in the order of time."""
    if any(later <= earlier for earlier, later in pairwise(at)):
        order = np.argsort(at, kind="stable").tolist()
        at, values = [at[i] for i in order], [values[i] for i in order]
    return Line(labels, tuple(at), tuple(values))


def _blocks(
    plan: Plan, select: Select, times: Floats, step: float, lookback: float, budget: int
) -> Iterator[tuple[Context, Rows]]:
    """The steps in runs that are small enough for memory."""
    whole = _context(plan, select, milli(times), step, lookback, budget)
    run = max(1, _BLOCK // _weight(plan, select, float(times[-1])))
    for begin in range(0, len(times), run):
        context = replace(whole, times=whole.times[begin : begin + run])
        yield context, _root(plan, context)


def _weight(plan: Plan, select: Select, at: float) -> int:
    """About how many samples one step needs."""
    found = list(nodes(plan.root))
    rows = max((widest(node, select, at) for node in found if isinstance(node, Selector)), default=1)
    deep = [node.seconds / _INTERVAL for node in found if isinstance(node, Range)]
    deep += [node.seconds / node.step for node in found if isinstance(node, Subquery)]
    return max(1, rows) * max(1, int(max(deep, default=1.0)))


def _context(plan: Plan, select: Select, times: Floats, step: float, lookback: float, budget: int) -> Context:
    start, end = float(times[0]), float(times[-1])
    return Context(select, times, lookback, _symbols(plan, select, end), start, end, step, Meter(budget))


def _symbols(plan: Plan, select: Select, at: float) -> Symbols:
    """The dictionary of the expression's series, a new one where it has none."""
    for node in nodes(plan.root):
        if isinstance(node, Selector):
            return choose(node, select, at, at).frame.symbols
    return Symbols()


def _root(plan: Plan, context: Context) -> Rows:
    value = _value(plan.root, context)
    return value if isinstance(value, Rows) else single(context.symbols, context.column(value))


def _value(node: Node, context: Context) -> Rows | Floats:
    match node:
        case Number(value=value):
            return np.array([[value]], np.float64)
        case Selector():
            return instant(node, context)
        case Negate(operand=operand):
            return _negated(_value(operand, context))
        case Binary():
            return _binary(node, context)
        case Aggregate():
            return _aggregate(node, context)
        case Call():
            return FUNCTIONS[node.name].evaluate(node, context, _value)
        case _:
            raise EvaluationError(f"{type(node).__name__} is not a value")


def _negated(value: Rows | Floats) -> Rows | Floats:
    return value.with_values(-value.values) if isinstance(value, Rows) else -value


def _binary(node: Binary, context: Context) -> Rows | Floats:
    left, right = _value(node.left, context), _value(node.right, context)
    for side in (left, right):
        context.meter.spend(side.values.size if isinstance(side, Rows) else len(side))
    if isinstance(left, Rows) and isinstance(right, Rows):
        return membership.combine(node, left, right) if node.operator.of_sets else binary.vectors(node, left, right)
    if isinstance(left, Rows):
        return binary.with_scalar(node, left, right, swapped=False) if isinstance(right, np.ndarray) else left
    if isinstance(right, Rows):
        return binary.with_scalar(node, right, left, swapped=True)
    return binary.scalars(node.operator, left, right)


def _aggregate(node: Aggregate, context: Context) -> Rows:
    operand = _value(node.operand, context)
    if not isinstance(operand, Rows):
        raise EvaluationError(f"{node.operator} takes a vector")
    context.meter.spend(operand.values.size)
    if isinstance(node.parameter, Text):
        return count_values(node, operand, node.parameter.value)
    parameter = np.zeros((1, 1)) if node.parameter is None else _value(node.parameter, context)
    if isinstance(parameter, Rows):
        raise EvaluationError(f"{node.operator} takes a number, not a vector")
    return aggregate(node, operand, context.column(parameter))
