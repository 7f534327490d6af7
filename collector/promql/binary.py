"""Arithmetic and comparison between scalars and vectors, with Prometheus' rules of vector matching."""

from dataclasses import replace

import numpy as np

from collector.head import Frame
from collector.promql.arithmetic import calculate, holds
from collector.promql.errors import EvaluationError
from collector.promql.join import Join, join
from collector.promql.nodes import Binary, Matching, Operator
from collector.promql.rows import Floats, Index, Mask, Rows, refuse_duplicates, spread


def scalars(operator: Operator, left: Floats, right: Floats) -> Floats:
    """Numbers from numbers."""
    return calculate(operator, left, right)


def with_scalar(node: Binary, rows: Rows, scalar: Floats, *, swapped: bool) -> Rows:
    """A vector and a number; `swapped` when the number stands left. A NaN threshold proves nothing."""
    left, right = (scalar, rows.values) if swapped else (rows.values, scalar)
    if not node.operator.compares:
        return rows.with_values(calculate(node.operator, left, right))
    compared = replace(rows, known=rows.known & ~np.isnan(scalar)) if np.isnan(scalar).any() else rows
    if node.as_bool:
        return compared.with_values(calculate(node.operator, left, right))
    return compared.only(holds(node.operator, left, right))


def vectors(node: Binary, left: Rows, right: Rows) -> Rows:
    """Two vectors. Raises EvaluationError when the matching is not unique where it must be."""
    swapped = node.matching.many == "right"
    many, one = (right, left) if swapped else (left, right)
    found = join(many.frame, one.frame, node.matching)
    if not one.frame.size:
        return _unmatched(node, many)
    many, other, matched, frame = _paired(node, many, one, found)
    lefts, rights = (other.values, many.values) if swapped else (many.values, other.values)
    present = matched & many.present & other.present
    if not node.matching.many:
        _refuse_many_left(found, present)
    rows = Rows(frame, lefts, present, many.known & matched & other.known, many.lost | (matched & other.lost))
    if _filters(node):
        kept = rows.only(holds(node.operator, lefts, rights))
        refuse_duplicates(kept)
        return kept
    return rows.with_frame(frame, calculate(node.operator, lefts, rights))


def _filters(node: Binary) -> bool:
    return node.operator.compares and not node.as_bool


def _unmatched(node: Binary, many: Rows) -> Rows:
    """Nothing on the other side."""
    none = np.zeros(many.present.shape, np.bool_)
    return Rows(_frame(node, many.frame, many.frame, np.full(many.frame.size, -1)), many.values, none, none, many.lost)


def _paired(node: Binary, many: Rows, one: Rows, found: Join) -> tuple[Rows, Rows, Mask, Frame]:
    """Both sides with a row for each pair, which of these are pairs and not a many-side row alone, and their labels."""
    index = found.index
    if index is None:
        chosen = _chosen(found, many, one, node.matching)
        if len(chosen) == 1 or not node.matching.include:
            frame = _frame(node, many.frame, one.frame, chosen[0])
            return many, _other(one, chosen), chosen >= 0, frame
        return _changing(node, many, one, chosen)
    if found.aligned:
        return many, one, np.ones(many.present.shape, np.bool_), _frame(node, many.frame, one.frame, index)
    other = Rows(one.frame, one.values[:, index], one.present[:, index], one.known[:, index], one.lost[:, index])
    matched = np.broadcast_to(index >= 0, many.present.shape)
    return many, other, matched, _frame(node, many.frame, one.frame, index)


def _other(one: Rows, chosen: Index) -> Rows:
    steps = np.arange(len(chosen))[:, None]
    masks = (one.present[steps, chosen], one.known[steps, chosen], one.lost[steps, chosen])
    return Rows(one.frame, one.values[steps, chosen], *masks)


def _changing(node: Binary, many: Rows, one: Rows, chosen: Index) -> tuple[Rows, Rows, Mask, Frame]:
    """Labels taken from the other side change when its row does: one row for every pair that there was at any step."""
    size = one.frame.size + 1
    keys = np.unique(np.arange(many.frame.size) * size + chosen + 1)
    lefts, rights = keys // size, keys % size - 1
    now = chosen[:, lefts] == rights
    frame = _frame(node, many.frame.take(lefts), one.frame, rights)
    lefts_of = Rows(many.frame, many.values[:, lefts], *(m[:, lefts] for m in (many.present, many.known, many.lost)))
    other = Rows(one.frame, one.values[:, rights], *(m[:, rights] for m in (one.present, one.known, one.lost)))
    return lefts_of, other, now & (rights >= 0), frame


def _chosen(found: Join, many: Rows, one: Rows, matching: Matching) -> Index:
    """The one-side row of each many-side row at each step, -1 for none; a row that is present wins."""
    _refuse_many_right(found, many, one, matching)
    row_of = np.full((one.steps, found.size), -1, np.intp)
    for mask in (one.known, one.present):
        steps, rows = np.nonzero(mask)
        row_of[steps, found.right[rows]] = rows
    return row_of[:, found.left]


def _refuse_many_right(found: Join, many: Rows, one: Rows, matching: Matching) -> None:
    ids = spread(found.right, found.size, one.steps)
    counts = np.bincount(ids[one.present.reshape(-1)], minlength=found.size * one.steps)
    crowded = np.asarray((counts.reshape(one.steps, -1) > 1) & many.present.any(axis=1, keepdims=True))
    if not crowded.any():
        return
    step, group = np.argwhere(crowded)[0].tolist()
    rows = np.flatnonzero(one.present[step] & (found.right == group))[:2]
    pair = ", ".join(sorted(str(labels) for labels in one.frame.labels(rows.tolist())))
    side = "left" if matching.many == "right" else "right"
    raise EvaluationError(
        f"found duplicate series on the {side} hand-side of the operation: {pair}; "
        "many-to-many matching not allowed: matching labels must be unique on one side"
    )


def _refuse_many_left(found: Join, present: Mask) -> None:
    ids = spread(found.left, found.size, len(present))
    if not found.left_unique and bool((np.bincount(ids[present.reshape(-1)], minlength=1) > 1).any()):
        raise EvaluationError(
            "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
        )


def _frame(node: Binary, many: Frame, one: Frame, index: Index) -> Frame:
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


def _included(base: Frame, one: Frame, index: Index, names: tuple[str, ...]) -> Frame:
    columns = dict(base.columns)
    none = np.zeros(base.size, np.int32)
    for name in names:
        column = one.columns.get(name)
        columns[name] = none if column is None else np.where(index >= 0, column[index], 0).astype(np.int32)
    return Frame(base.symbols, columns, base.size)
