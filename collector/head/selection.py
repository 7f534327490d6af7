"""What a select returns: label columns, and the samples of a time span as arrays.

A selection reads the head's arrays where they are, so it is good until the head changes: evaluate at once.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from collector.head.answers import Answers
from collector.head.errors import HeadError
from collector.head.frame import Frame
from collector.head.latest import Latest, Look, counted, latest_of, look_at, looked, spread, where
from collector.head.matcher import Matcher
from collector.head.place import Floats, Mask, Part, Place, Rows, first, firsts
from collector.head.windows import Slots, Windows, merged, pieces, refuse_wide, slots_in, spliced, windows_of

Select = Callable[[Sequence[Matcher], float, float], "Selection"]
T = TypeVar("T")


class Selection:
    """Series that matched, and their samples in (start, end]."""

    def __init__(
        self,
        frame: Frame,
        place: Place,
        start: float,
        end: float,
        question: Hashable = None,
        answers: Answers | None = None,
    ) -> None:
        self.frame = frame
        self._question = question
        self._answers = answers
        self._place = place
        self._start = start
        self._end = end

    @property
    def place(self) -> Place:
        """Where the samples are."""
        return self._place

    @property
    def span(self) -> tuple[float, float]:
        """After the first time, up to the second."""
        return self._start, self._end

    def latest(self) -> Latest:
        """The newest sample of each series; a marker or nothing in the span means not present. Read only."""
        return self._once(self._question, "latest", lambda: self._latest(self._end, self._look))

    def latest_at(self, moments: Floats, lookback: float) -> Latest:
        """The newest sample of each series within the look-back of every moment: arrays [moment, series].

        `moments` grow, and lie in the selection's span.
        """
        starts = (np.rint((moments - lookback) * 1000.0) / 1000.0)[:, None]
        what = ("look", lookback, moments.tobytes())
        return self._latest(
            moments[:, None],
            lambda part: self._once(part.plane, what, lambda: looked(part.plane, starts, counted(part.plane, moments))),
        )

    def windows(self) -> Windows:
        """All samples of the span; markers are not samples. Read only.

        Raises HeadError beyond 50 million, and for series of which only the newest samples are kept.
        """
        return self._once(self._question, "windows", self._windows)

    def relative(self) -> Iterator[tuple[Rows, Windows]]:
        """The same, with times in seconds from the end of the span and some series at a time. Read only.

        Series without any sample may be left out.
        """
        yield from self._pieces(lambda part: self._once(part.plane, "relative", lambda: self._relative(part)))

    def _before_end(self, times: Floats) -> Floats:
        return np.asarray(np.rint((times - self._end) * 1000.0) / 1000.0)

    def _relative(self, part: Part) -> Slots:
        slots = self._slots(part)
        return replace(slots, times=self._before_end(slots.times), memo={})

    def _slots(self, part: Part) -> Slots:
        slots = self._once(part.plane, "slots", lambda: slots_in(part.plane, self._start, self._end))
        refuse_wide(slots, self._place.size)
        return slots

    def _first(self, part: Part) -> Floats:
        return self._once(part.plane, "first", lambda: first(part.plane))

    def _look(self, part: Part) -> Look:
        return self._once(part.plane, "look", lambda: look_at(part.plane, self._start, self._end))

    def _once(self, of: Hashable, what: Hashable, make: Callable[[], T]) -> T:
        if self._answers is None:
            return make()
        return self._answers.get((of, what, self._start, self._end), lambda: _sealed(make()))

    def _latest(self, end: Floats | float, look: Callable[[Part], Look]) -> Latest:
        place, shape = self._place, (*np.shape(end)[:-1], self._place.size)
        if len(place.fine) == 1 and (whole := place.fine[0]).series is None:
            found = latest_of(whole, look(whole))
        else:
            found = spread(((part, latest_of(part, look(part))) for part in place.fine), shape)
        if place.thin is not None and (found.time_rows > end).any():
            charts = spread(((part, latest_of(part, look(part))) for part in place.thin()), shape)
            found = where(found.times > end, charts, found)  # the fine samples begin after the span
        return found

    def _windows(self) -> Windows:
        fine = self._place.fine
        if len(fine) == 1 and fine[0].series is None and not self._place.short and self._with_charts() is None:
            return windows_of(fine[0], self._slots(fine[0]))
        return merged(self._pieces(self._slots), self._place.size)

    def _pieces(self, slots: Callable[[Part], Slots]) -> Iterator[tuple[Rows, Windows]]:
        if self._place.short:
            raise HeadError(
                "only the newest values of these series are kept; windows need a loaded rule that asks for them"
            )
        earlier = self._with_charts()
        for part in self._place.fine:
            mine = part if earlier is None else part.some(~earlier[part.places])
            yield from pieces(mine, slots(part))
        if earlier is not None:
            yield from self._from_charts(earlier, slots)

    def _from_charts(self, earlier: Mask, slots: Callable[[Part], Slots]) -> Iterator[tuple[Rows, Windows]]:
        """Windows that begin with thinned samples."""
        place, left = self._place, earlier.copy()
        for chart in place.thin() if place.thin is not None else ():
            row = np.full(place.size, -1)
            row[chart.places] = np.arange(len(chart.base))
            for part in place.fine:
                both = np.flatnonzero(earlier[part.places] & (row[part.places] >= 0))
                mine = part.some(both)
                left[mine.places] = False
                yield from spliced(chart.some(row[mine.places]), slots(chart), mine, slots(part))
            yield from pieces(chart.some(left[chart.places]), slots(chart))

    def _with_charts(self) -> Mask | None:
        """Whose fine samples begin within the span, and thinned ones before that; None: nobody's, as nearly always."""
        place = self._place
        if place.thin is None or all((self._first(part) <= self._start).all() for part in place.fine):
            return None
        fine, thin = firsts(place.fine, place.size), firsts(place.thin(), place.size)
        earlier = (fine > self._start) & (thin < fine)
        return earlier if bool(earlier.any()) else None


def _sealed(found: T) -> tuple[T, int]:
    """Arrays that several may read, and their size."""
    parts = [found] if isinstance(found, np.ndarray) else [getattr(found, name) for name in found.__slots__]  # type: ignore[attr-defined]
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    for array in arrays:
        array.flags.writeable = False
    return found, sum(array.nbytes for array in arrays)
