"""count_values: one row for each value there was in a group, its text a label."""

import numpy as np

from collector.head import Frame
from collector.promql.aggregate import group_masks, grouping_names
from collector.promql.nodes import Aggregate
from collector.promql.rows import Floats, Index, Rows, spread


def count_values(node: Aggregate, rows: Rows, label: str) -> Rows:
    """How many rows of each group have each value. A value nobody has now is no row, so nothing is known of it."""
    names = grouping_names(node, rows.frame) - {label}
    groups = rows.frame.groups(names)
    wanted = rows.present.any(axis=0)
    texts, of = _values(rows)
    pairs, place = np.unique(groups.ids[np.nonzero(rows.present)[1]] * len(texts) + of, return_inverse=True)
    group_of, text_of = pairs // max(1, len(texts)), pairs % max(1, len(texts))
    cells = spread(np.arange(len(pairs)), len(pairs), rows.steps)
    steps = np.nonzero(rows.present)[0]
    counts = np.bincount(steps * len(pairs) + place.reshape(-1), minlength=len(cells)).reshape(rows.steps, -1)
    _, known, lost = (mask[:, group_of] for mask in group_masks(rows, groups))
    columns = dict(rows.frame.keep(names).take(groups.first[group_of]).columns)
    if wanted.any() and not (node.without and label in node.labels):
        codes = np.array([rows.frame.symbols.encode(_text(v)) for v in texts.tolist()], np.int32)
        columns[label] = codes[text_of]
    frame = Frame(rows.frame.symbols, columns, len(pairs))
    return Rows(frame, counts.astype(np.float64), counts > 0, known, lost)


def _values(rows: Rows) -> tuple[Floats, Index]:
    """The distinct values, and which of them each row that is present has; NaN is one value, -0 is not 0."""
    bits = np.where(np.isnan(rows.values), np.nan, rows.values)[rows.present].view(np.int64)
    distinct, of = np.unique(bits, return_inverse=True)
    return distinct.view(np.float64), of.reshape(-1)


def _text(value: float) -> str:
    """Go's shortest notation without an exponent."""
    if not np.isfinite(value):
        return "NaN" if np.isnan(value) else "+Inf" if value > 0 else "-Inf"
    return np.format_float_positional(value, trim="-")
