"""The numbers of binary operators, over arrays or single values; IEEE 754 as in Go, never an exception."""

from collections.abc import Callable, Mapping

import numpy as np

from collector.promql.nodes import Operator
from collector.promql.rows import Floats, Mask

Operation = Callable[[Floats, Floats], Floats]


def calculate(operator: Operator, left: Floats, right: Floats) -> Floats:
    """The operator's value; a comparison gives 1 or 0."""
    with np.errstate(all="ignore"):
        return np.asarray(_OPERATIONS[operator](left, right), np.float64)


def holds(operator: Operator, left: Floats, right: Floats) -> Mask:
    """Where a comparison is true."""
    with np.errstate(all="ignore"):
        return np.asarray(_OPERATIONS[operator](left, right), np.bool_)


_OPERATIONS: Mapping[Operator, Callable[[Floats, Floats], object]] = {
    Operator.ADD: np.add,
    Operator.SUBTRACT: np.subtract,
    Operator.MULTIPLY: np.multiply,
    Operator.DIVIDE: np.divide,
    Operator.MODULO: np.fmod,
    Operator.POWER: np.power,
    Operator.ATAN2: np.arctan2,
    Operator.EQUAL: np.equal,
    Operator.NOT_EQUAL: np.not_equal,
    Operator.GREATER: np.greater,
    Operator.LESS: np.less,
    Operator.GREATER_EQUAL: np.greater_equal,
    Operator.LESS_EQUAL: np.less_equal,
}
