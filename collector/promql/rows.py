"""The value of a vector expression while it is evaluated, and the answer given to the outside.

Rows never leave a vector: what is filtered or has no data is masked, so that groupings and joins stay the same
arrays from one evaluation to the next.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from collector.head import Frame, Select, Symbols
from collector.labels import NAME, Labels
from collector.promql.errors import EvaluationError

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Rows:
    """A vector: a value for each row of `frame`, with three masks.

    `present`: the row is in the vector. `known`: there was data for it, whether it is in the vector or not.
    `lost`: it has no data because its host is silent, not because the host said that it ended.
    """

    frame: Frame
    values: Floats
    present: Mask
    known: Mask
    lost: Mask

    def with_values(self, values: Floats) -> "Rows":
        """The same series without their name and with other values; a NaN is not known."""
        return self.with_frame(self.frame.nameless, values)

    def with_frame(self, frame: Frame, values: Floats) -> "Rows":
        """The same rows with other labels and values. Raises EvaluationError when two present rows get equal labels."""
        known = self.known & ~(self.present & np.isnan(values))  # a filtered row's value means nothing
        made = Rows(frame, values, self.present, known, self.lost)
        refuse_duplicates(made)
        return made

    def only(self, mask: Mask) -> "Rows":
        """The rows of a mask; what is known stays known."""
        return replace(self, present=self.present & mask)


@dataclass(frozen=True, slots=True)
class Context:
    """One evaluation: where series come from, its time, and the dictionary of label values."""

    select: Select
    at: float
    lookback: float
    symbols: Symbols


@dataclass(slots=True)
class Vector:
    """An instant vector: `labels` and `values` of equal length. A scalar is one value with no labels."""

    frame: Frame
    rows: NDArray[np.intp]
    values: Floats
    _labels: tuple[Labels, ...] | None = field(default=None, repr=False)

    @property
    def labels(self) -> tuple[Labels, ...]:
        """Label sets, decoded when asked for."""
        if self._labels is None:
            self._labels = self.frame.labels(self.rows.tolist())
        return self._labels

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class Result:
    """The matching vector, and for which label sets there was data at all."""

    vector: Vector
    _rows: Rows = field(repr=False)

    def considered(self, labels: Labels) -> bool:
        """True when there was data for these result labels; the metric's name does not matter.

        Nothing is decoded: the label set is looked up in an index that lives as long as the set of series.
        """
        rows = self._rows.frame.nameless.rows_of(labels.without(NAME))
        return bool(self._rows.known[rows].any())

    def considered_labels(self) -> Iterable[Labels]:
        """Every label set there was data for, as the expression's result would carry it."""
        return self._rows.frame.labels(np.flatnonzero(self._rows.known).tolist())


def result_of(rows: Rows) -> Result:
    """What the outside sees of a vector."""
    present = np.flatnonzero(rows.present)
    return Result(Vector(rows.frame, present, rows.values[present]), rows)


def single(symbols: Symbols, value: float, labels: Labels = Labels(), *, present: bool = True) -> Rows:
    """A vector of one row, always known unless it is NaN."""
    yes = np.ones(1, np.bool_)
    values = np.array([value], np.float64)
    return Rows(Frame.single(symbols, labels), values, yes if present else ~yes, ~np.isnan(values), ~yes)


def refuse_duplicates(rows: Rows) -> None:
    """Raises EvaluationError when two rows of a vector have the same labels."""
    if rows.frame.unique:
        return
    groups = rows.frame.groups(rows.frame.names)
    if bool((np.bincount(groups.ids[rows.present], minlength=1) > 1).any()):
        raise EvaluationError("vector cannot contain metrics with the same labelset")
