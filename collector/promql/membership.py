"""The set operators: and, or, unless."""

import numpy as np

from collector.head.frame import concat
from collector.promql.join import Join, join
from collector.promql.nodes import Binary, Matching, Operator
from collector.promql.rows import Rows


def combine(node: Binary, left: Rows, right: Rows) -> Rows:
    """Rows of the left side where the right has the same labels, has not, or the rows of both."""
    found = join(left.frame, right.frame, node.matching)
    match node.operator:
        case Operator.AND:
            return _and(found, left, right)
        case Operator.UNLESS:
            return left.only(~found.any_right(right.present))
        case _:
            return _or(found, left, right)


def _and(found: Join, left: Rows, right: Rows) -> Rows:
    """Known where the left is and its group on the right has data, none of it lost."""
    lost = found.any_right(right.lost)
    known = left.known & found.any_right(right.known) & ~lost
    present = left.present & found.any_right(right.present)
    return Rows(left.frame, left.values, present, known, left.lost | lost)


def _or(found: Join, left: Rows, right: Rows) -> Rows:
    """Known where each side that has the label set knows it: either one could make it true."""
    frame = left.frame.memo(("or", id(right.frame)), lambda: (concat(left.frame, right.frame), right.frame))[0]
    twins = join(left.frame, right.frame, Matching())
    nowhere_right = ~twins.any_right(np.ones((1, right.frame.size), np.bool_))
    nowhere_left = ~twins.any_left(np.ones((1, left.frame.size), np.bool_))
    left_known = left.known & (nowhere_right | twins.any_right(right.known))
    right_known = right.known & (nowhere_left | twins.any_left(left.known))
    present = right.present & ~found.any_left(left.present)
    return Rows(
        frame,
        np.concatenate([left.values, right.values], axis=1),
        np.concatenate([left.present, present], axis=1),
        np.concatenate([left_known, right_known], axis=1),
        np.concatenate([left.lost, right.lost], axis=1),
    )
