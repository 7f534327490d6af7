"""count_values: one row for each value there was in a group, its text a label."""

import numpy as np

from collector.head import Frame
from collector.promql.aggregate import group_masks, grouping_names
from collector.promql.nodes import Aggregate
from collector.promql.rows import Index, Rows


def count_values(node: Aggregate, rows: Rows, label: str) -> Rows:
    """How many rows of each group have each value. A value nobody has now is no row, so nothing is known of it."""
    names = grouping_names(node, rows.frame) - {label}
    groups = rows.frame.groups(names)
    texts, text_of = _values(rows)
    steps, members = np.nonzero(rows.present)
    if node.without and label in node.labels:
        texts, text_of = [""], np.zeros(len(steps), np.intp)
    pairs, place = np.unique(groups.ids[members] * len(texts) + text_of, return_inverse=True)
    counts = np.bincount(steps * len(pairs) + place.reshape(-1), minlength=rows.steps * len(pairs))
    counts = counts.reshape(rows.steps, len(pairs))
    group_of, codes = pairs // max(1, len(texts)), [rows.frame.symbols.encode(text) for text in texts]
    columns = rows.frame.keep(names).take(groups.first[group_of]).columns
    column = np.array(codes, np.int32)[pairs % max(1, len(texts))]
    frame = Frame(rows.frame.symbols, {**columns, label: column}, len(pairs))
    _, known, lost = (mask[:, group_of] for mask in group_masks(rows, groups))
    return Rows(frame, counts.astype(np.float64), counts > 0, known, lost)


def _values(rows: Rows) -> tuple[list[str], Index]:
    """The distinct values, and which of them each row that is present has; NaN is one value, -0 is not 0."""
    bits = np.where(np.isnan(rows.values), np.nan, rows.values)[rows.present].view(np.int64)
    distinct, of = np.unique(bits, return_inverse=True)
    return [_text(value) for value in distinct.view(np.float64).tolist()], of.reshape(-1)


def _text(value: float) -> str:
    """Go's shortest notation without an exponent."""
    if not np.isfinite(value):
        return "NaN" if np.isnan(value) else "+Inf" if value > 0 else "-Inf"
    return np.format_float_positional(value, trim="-")
