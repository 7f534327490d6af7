"""The value of a vector expression while it is evaluated, and the answer given to the outside.

Rows never leave a vector: what is filtered or has no data is masked, so that groupings and joins stay the same
arrays from one evaluation to the next. Every array has a first axis of steps: one for an evaluation at one time.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from collector.head import Frame, Select, Symbols
from collector.labels import NAME, Labels
from collector.promql.errors import EvaluationError, WorkError

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Index = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Rows:
    """A vector over time: `values[step, row]` for each row of `frame`, with three masks of the same shape.

    `present`: the row is in the vector. `known`: there was data for it, whether it is in the vector or not.
    `lost`: it has no data because its host is silent, not because the host said that it ended.
    """

    frame: Frame
    values: Floats
    present: Mask
    known: Mask
    lost: Mask

    @property
    def steps(self) -> int:
        """How many times there are."""
        return len(self.values)

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

    def at(self, steps: Index) -> "Rows":
        """The vector at these steps, in this order."""
        masks = (self.present[steps], self.known[steps], self.lost[steps])
        return Rows(self.frame, self.values[steps], *masks)


@dataclass(slots=True)
class Meter:
    """Values that an evaluation may still work on."""

    left: int

    def spend(self, values: int) -> None:
        """Raises WorkError when the evaluation costs more than it may."""
        self.left -= values
        if self.left < 0:
            raise WorkError("the evaluation works on too many samples at once")


@dataclass(frozen=True, slots=True)
class Context:
    """One evaluation: where series come from, its times, and the dictionary of label values.

    `start`, `end` and `step` are those of the whole evaluation, also inside a subquery and in a part of it.
    """

    select: Select
    times: Floats
    lookback: float
    symbols: Symbols
    start: float
    end: float
    step: float
    meter: Meter

    def column(self, value: Floats | float) -> Floats:
        """A number, or one of each step, as a column with a row for each step."""
        return np.broadcast_to(np.asarray(value, np.float64), (len(self.times), 1))


@dataclass(slots=True)
class Vector:
    """An instant vector: `labels` and `values` of equal length. A scalar is one value with no labels."""

    frame: Frame
    rows: Index
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
    _frame: Frame = field(repr=False)
    _known: Mask = field(repr=False)

    def considered(self, labels: Labels) -> bool:
        """True when there was data for these result labels; the metric's name does not matter.

        Nothing is decoded: the label set is looked up in an index that lives as long as the set of series.
        """
        rows = self._frame.nameless.rows_of(labels.without(NAME))
        return bool(self._known[rows].any())

    def considered_labels(self) -> Iterable[Labels]:
        """Every label set there was data for, as the expression's result would carry it."""
        return self._frame.labels(np.flatnonzero(self._known).tolist())


def result_of(rows: Rows, step: int = 0) -> Result:
    """What the outside sees of a vector at one step."""
    present = np.flatnonzero(rows.present[step])
    return Result(Vector(rows.frame, present, rows.values[step][present]), rows.frame, rows.known[step])


def single(symbols: Symbols, values: Floats, labels: Labels = Labels(), present: Mask | None = None) -> Rows:
    """A vector of one row from a column of values, always known unless it is NaN."""
    none = np.zeros(values.shape, np.bool_)
    return Rows(Frame.single(symbols, labels), values, ~none if present is None else present, ~np.isnan(values), none)


def milli(times: Floats) -> Floats:
    """Whole milliseconds, as the head's times are, so that equal times are equal numbers."""
    return np.asarray(np.rint(times * 1000.0) / 1000.0, np.float64)


def spread(ids: Index, size: int, steps: int) -> Index:
    """Group numbers of the rows of all steps, one step after the other, each step with its own `size` numbers."""
    return ids if steps == 1 else (np.arange(steps)[:, None] * size + ids).reshape(-1)


def refuse_duplicates(rows: Rows) -> None:
    """Raises EvaluationError when two rows of a vector have the same labels at one step."""
    if rows.frame.unique:
        return
    groups = rows.frame.groups(rows.frame.names)
    ids = spread(groups.ids, groups.size, rows.steps)
    if bool((np.bincount(ids[rows.present.reshape(-1)], minlength=1) > 1).any()):
        raise EvaluationError("vector cannot contain metrics with the same labelset")
