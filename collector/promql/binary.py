"""Arithmetic and comparison between scalars and vectors, with Prometheus' rules of vector matching."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from collector.head import Frame
from collector.promql.arithmetic import calculate
from collector.promql.errors import EvaluationError
from collector.promql.join import Join, join
from collector.promql.nodes import Binary, Matching, Operator
from collector.promql.rows import Mask, Rows, refuse_duplicates


def scalars(operator: Operator, left: float, right: float) -> float:
    """A number from two numbers."""
    return float(calculate(operator, np.asarray(left), np.asarray(right)))


def with_scalar(node: Binary, rows: Rows, scalar: float, *, swapped: bool) -> Rows:
    """A vector and a number; `swapped` when the number stands left. A NaN threshold proves nothing."""
    number = np.asarray(scalar, np.float64)
    values = calculate(node.operator, number, rows.values) if swapped else calculate(node.operator, rows.values, number)
    if not node.operator.compares:
        return rows.with_values(values)
    known = rows.known if scalar == scalar else np.zeros_like(rows.known)  # noqa: PLR0124  # NaN is not itself
    compared = replace(rows, known=known)
    return compared.with_values(values) if node.as_bool else compared.only(values != 0.0)


def vectors(node: Binary, left: Rows, right: Rows) -> Rows:
    """Two vectors. Raises EvaluationError when the matching is not unique where it must be."""
    swapped = node.matching.many == "right"
    many, one = (right, left) if swapped else (left, right)
    found = join(many.frame, one.frame, node.matching)
    if not one.frame.size:
        return _unmatched(node, many)
    index = _pairs(found, many, one, node.matching)
    matched = index >= 0
    present = matched & many.present & one.present[index]
    if not node.matching.many:
        _refuse_many_left(found, present)
    frame = _frame(node, many.frame, one.frame, index)
    lefts, rights = (one.values[index], many.values) if swapped else (many.values, one.values[index])
    known = many.known & matched & one.known[index]
    rows = Rows(frame, lefts, present, known, many.lost | (matched & one.lost[index]))
    values = calculate(node.operator, lefts, rights)
    if _filters(node):
        kept = rows.only(values != 0.0)
        refuse_duplicates(kept)
        return kept
    return rows.with_frame(frame, values)


def _filters(node: Binary) -> bool:
    return node.operator.compares and not node.as_bool


def _unmatched(node: Binary, many: Rows) -> Rows:
    """Nothing on the other side."""
    none = np.zeros(many.frame.size, np.bool_)
    return Rows(_frame(node, many.frame, many.frame, np.full(many.frame.size, -1)), many.values, none, none, many.lost)


def _pairs(found: Join, many: Rows, one: Rows, matching: Matching) -> NDArray[np.intp]:
    """The one-side row of each many-side row, -1 for none. A row that is present wins over one that is not."""
    if found.index is not None:
        return found.index
    _refuse_many_right(found, many, one, matching)
    row_of = np.full(found.size, -1, np.intp)
    for mask in (one.known, one.present):
        rows = np.flatnonzero(mask)
        row_of[found.right[rows]] = rows
    return row_of[found.left]


def _refuse_many_right(found: Join, many: Rows, one: Rows, matching: Matching) -> None:
    counts = np.bincount(found.right[one.present], minlength=found.size)
    if not many.present.any() or not (counts > 1).any():
        return
    group = int(np.argmax(counts > 1))
    rows = np.flatnonzero(one.present & (found.right == group))[:2]
    pair = ", ".join(sorted(str(labels) for labels in one.frame.labels(rows.tolist())))
    side = "left" if matching.many == "right" else "right"
    raise EvaluationError(
        f"found duplicate series on the {side} hand-side of the operation: {pair}; "
        "many-to-many matching not allowed: matching labels must be unique on one side"
    )


def _refuse_many_left(found: Join, present: Mask) -> None:
    if not found.left_unique and bool((np.bincount(found.left[present], minlength=1) > 1).any()):
        raise EvaluationError(
            "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
        )


def _frame(node: Binary, many: Frame, one: Frame, index: NDArray[np.intp]) -> Frame:
    """The result's labels: without the name unless a filter keeps it."""
    matching, base = node.matching, many if _filters(node) else many.nameless
    if not matching.many:
        return _matched_labels(matching, base)
    if not matching.include:
        return base
    key = ("include", id(one), index.tobytes(), matching.include, base is many)
    return many.memo(key, lambda: (_included(base, one, index, matching.include), one))[0]


def _matched_labels(matching: Matching, base: Frame) -> Frame:
    """One to one: the labels that matched. A filter keeps the name as well unless `on` leaves it out."""
    return base.keep(matching.labels) if matching.on else base.without(matching.labels)


def _included(base: Frame, one: Frame, index: NDArray[np.intp], names: tuple[str, ...]) -> Frame:
    columns = dict(base.columns)
    none = np.zeros(base.size, np.int32)
    for name in names:
        column = one.columns.get(name)
        columns[name] = none if column is None else np.where(index >= 0, column[index], 0).astype(np.int32)
    return Frame(base.symbols, columns, base.size)
