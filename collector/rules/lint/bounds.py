"""Between which numbers the values of an expression lie, by interval arithmetic. Pure; NaN is left aside."""

import math
from collections.abc import Callable, Mapping
from itertools import product

from collector.promql.nodes import Aggregate, Binary, Call, Negate, Node, Number, Operator, Selector, operands
from collector.promql.survey import is_scalar
from collector.rules.lint.catalogue import Catalogue
from collector.rules.lint.shape import name_of

Bounds = tuple[float, float]

ANY: Bounds = (-math.inf, math.inf)
_NEVER_NEGATIVE: Bounds = (0.0, math.inf)
_CALLS: Mapping[str, Bounds] = {
    "abs": _NEVER_NEGATIVE, "exp": _NEVER_NEGATIVE, "sqrt": _NEVER_NEGATIVE, "changes": _NEVER_NEGATIVE,
    "resets": _NEVER_NEGATIVE, "count_over_time": (1.0, math.inf), "stddev_over_time": _NEVER_NEGATIVE,
    "stdvar_over_time": _NEVER_NEGATIVE, "time": _NEVER_NEGATIVE, "timestamp": _NEVER_NEGATIVE,
    "sgn": (-1.0, 1.0), "absent": (1.0, 1.0), "absent_over_time": (1.0, 1.0), "present_over_time": (1.0, 1.0),
    "rate": _NEVER_NEGATIVE, "irate": _NEVER_NEGATIVE, "increase": _NEVER_NEGATIVE,
    "hour": (0.0, 23.0), "minute": (0.0, 59.0), "day_of_week": (0.0, 6.0), "day_of_month": (1.0, 31.0),
    "day_of_year": (1.0, 366.0), "days_in_month": (28.0, 31.0), "month": (1.0, 12.0),
}  # fmt: skip
_LIKE_OPERAND = frozenset(
    {"min_over_time", "max_over_time", "avg_over_time", "last_over_time", "sort", "sort_desc", "vector", "scalar"}
)
_AGGREGATES: Mapping[str, Bounds] = {
    "count": (1.0, math.inf), "count_values": (1.0, math.inf), "group": (1.0, 1.0),
    "stddev": _NEVER_NEGATIVE, "stdvar": _NEVER_NEGATIVE,
}  # fmt: skip
_ARITHMETIC: Mapping[Operator, Callable[[float, float], float]] = {
    Operator.ADD: lambda a, b: a + b,
    Operator.SUBTRACT: lambda a, b: a - b,
    Operator.MULTIPLY: lambda a, b: 0.0 if 0.0 in (a, b) else a * b,
}


def bounds(node: Node, catalogue: Catalogue) -> Bounds:
    """Least and greatest value a row of a node can have."""
    match node:
        case Number(value=value):
            return ANY if math.isnan(value) else (value, value)
        case Negate(operand=operand):
            low, high = bounds(operand, catalogue)
            return (-high, -low)
        case Call():
            return _call(node, catalogue)
        case Aggregate():
            return _aggregate(node, catalogue)
        case Binary():
            return _binary(node, catalogue)
        case _:
            return _data(node, catalogue)


def verdict(operator: Operator, left: Bounds, right: Bounds) -> bool | None:
    """What a comparison says of all such values: True always, False never, None it depends."""
    (a, b), (c, d) = left, right
    answers = {
        Operator.GREATER: (a > d, b <= c),
        Operator.GREATER_EQUAL: (a >= d, b < c),
        Operator.LESS: (b < c, a >= d),
        Operator.LESS_EQUAL: (b <= c, a > d),
        Operator.EQUAL: (a == b == c == d, b < c or d < a),
        Operator.NOT_EQUAL: (b < c or d < a, a == b == c == d),
    }
    always, never = answers[operator]
    return True if always else False if never else None


def _data(node: Node, catalogue: Catalogue) -> Bounds:
    if isinstance(node, Selector):
        metric = catalogue.get(name_of(node))
        return _NEVER_NEGATIVE if metric is not None and metric.kind == "counter" else ANY
    below = operands(node)
    return bounds(below[0], catalogue) if len(below) == 1 else ANY


def _call(node: Call, catalogue: Catalogue) -> Bounds:
    if node.name in _CALLS:
        return _CALLS[node.name]
    if node.name in _LIKE_OPERAND and node.arguments:
        return bounds(node.arguments[0], catalogue)
    if node.name in ("clamp", "clamp_min", "clamp_max"):
        return _clamped(node, catalogue)
    return ANY


def _clamped(node: Call, catalogue: Catalogue) -> Bounds:
    low, high = bounds(node.arguments[0], catalogue)
    limits = [bounds(argument, catalogue) for argument in node.arguments[1:]]
    if node.name != "clamp_max":
        least = limits[0][0]
        low, high = max(low, least), max(high, least)
    if node.name != "clamp_min":
        most = limits[-1][1]
        low, high = min(low, most), min(high, most)
    return (low, high)


def _aggregate(node: Aggregate, catalogue: Catalogue) -> Bounds:
    if node.operator in _AGGREGATES:
        return _AGGREGATES[node.operator]
    low, high = bounds(node.operand, catalogue)
    if node.operator == "sum":
        return (0.0 if low >= 0 else -math.inf, 0.0 if high <= 0 else math.inf)
    return ANY if node.operator == "quantile" else (low, high)


def _binary(node: Binary, catalogue: Catalogue) -> Bounds:
    left, right = bounds(node.left, catalogue), bounds(node.right, catalogue)
    if node.operator.compares:
        return (0.0, 1.0) if node.as_bool or (is_scalar(node.left) and is_scalar(node.right)) else left
    if node.operator in (Operator.AND, Operator.UNLESS):
        return left
    if node.operator is Operator.OR:
        return (min(left[0], right[0]), max(left[1], right[1]))
    if node.operator is Operator.DIVIDE:
        return _divided(left, right)
    calculate = _ARITHMETIC.get(node.operator)
    return ANY if calculate is None else _corners(calculate, left, right)


def _divided(left: Bounds, right: Bounds) -> Bounds:
    if left[0] >= 0 and right[0] >= 0 and right[0] != right[1]:
        return _NEVER_NEGATIVE
    if right[0] <= 0 <= right[1]:
        return ANY
    return _corners(lambda a, b: a / b, left, right)


def _corners(calculate: Callable[[float, float], float], left: Bounds, right: Bounds) -> Bounds:
    values = [calculate(a, b) for a, b in product(left, right)]
    return ANY if any(map(math.isnan, values)) else (min(values), max(values))
