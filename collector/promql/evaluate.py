"""Plan to answer: pure over one `select` and one time. Scalars are floats, vectors are Rows."""

from dataclasses import dataclass

from collector.head import Select, Symbols
from collector.labels import Labels
from collector.promql import binary, membership
from collector.promql.aggregate import aggregate
from collector.promql.call import FUNCTIONS
from collector.promql.errors import EvaluationError
from collector.promql.nodes import Aggregate, Binary, Call, Negate, Node, Number, Plan, Selector
from collector.promql.rows import Context, Result, Rows, result_of, single
from collector.promql.selectors import choose, instant
from collector.promql.survey import nodes

MAX_STEPS = 11_000  # of a range evaluation, as in Prometheus


@dataclass(frozen=True, slots=True)
class Line:
    """One series of a range evaluation; `at` in Unix seconds, as long as `values`."""

    labels: Labels
    at: tuple[float, ...]
    values: tuple[float, ...]


def evaluate(plan: Plan, select: Select, at: float, *, lookback: float = 300.0) -> Result:
    """The expression's vector at one time, and what had data. Raises EvaluationError.

    A scalar expression gives one value without labels.
    """
    context = Context(select, at, lookback, _symbols(plan, select, at))
    value = _value(plan.root, context)
    return result_of(value if isinstance(value, Rows) else single(context.symbols, value))


def evaluate_range(
    plan: Plan, select: Select, start: float, end: float, step: float, *, lookback: float = 300.0
) -> list[Line]:
    """One line per series for the times start, start+step, .. end. Raises EvaluationError beyond 11,000 steps."""
    steps = int((end - start) / step + 1e-9) + 1 if step > 0 and end >= start else 0
    if not 0 < steps <= MAX_STEPS:
        raise EvaluationError(f"from {start} to {end} by {step} is not 1 to {MAX_STEPS} steps")
    points: dict[Labels, tuple[list[float], list[float]]] = {}
    for at in (start + step * i for i in range(steps)):
        vector = evaluate(plan, select, at, lookback=lookback).vector
        for labels, value in zip(vector.labels, vector.values.tolist(), strict=True):
            times, values = points.setdefault(labels, ([], []))
            times.append(at)
            values.append(value)
    return [Line(labels, tuple(times), tuple(values)) for labels, (times, values) in points.items()]


def _symbols(plan: Plan, select: Select, at: float) -> Symbols:
    """The dictionary of the expression's series, a new one where it has none."""
    for node in nodes(plan.root):
        if isinstance(node, Selector):
            return choose(node, select, at, at).frame.symbols
    return Symbols()


def _value(node: Node, context: Context) -> Rows | float:
    match node:
        case Number(value=value):
            return value
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


def _negated(value: Rows | float) -> Rows | float:
    return value.with_values(-value.values) if isinstance(value, Rows) else -value


def _binary(node: Binary, context: Context) -> Rows | float:
    left, right = _value(node.left, context), _value(node.right, context)
    match left, right:
        case Rows(), Rows():
            return membership.combine(node, left, right) if node.operator.of_sets else binary.vectors(node, left, right)
        case Rows(), float():
            return binary.with_scalar(node, left, right, swapped=False)
        case float(), Rows():
            return binary.with_scalar(node, right, left, swapped=True)
        case float(), float():
            return binary.scalars(node.operator, left, right)
    raise EvaluationError(f"{node.operator} between these is not possible")


def _aggregate(node: Aggregate, context: Context) -> Rows:
    operand = _value(node.operand, context)
    parameter = 0.0 if node.parameter is None else _value(node.parameter, context)
    if not isinstance(operand, Rows) or isinstance(parameter, Rows):
        raise EvaluationError(f"{node.operator} takes a vector")
    return aggregate(node, operand, parameter)
