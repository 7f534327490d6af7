"""Windows against lists: what each series' slots hold, read one by one."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.head import STALE, Head, Selection, Windows, windows
from collector.head.place import Part
from collector.labels import Labels
from tests.collector.head.fill import want

Samples = list[tuple[float, float]]
NAMES = ("sent_total", "lost_total", "load")


def slots(parts: tuple[Part, ...], series: int) -> Iterator[tuple[float, float]]:
    """Time and value of each slot of one series, markers among them."""
    for part in parts:
        for row in np.flatnonzero(part.places == series).tolist():
            slab, block = part.plane.slab, part.plane.blocks[part.block_of[row]]
            for slot in range(int(slab.begin[block]), int(slab.end[block])):
                yield float(slab.times[block, slot]), float(slab.values.reshape(-1)[part.base[row] + slot])


def expected(found: Selection, series: int) -> Samples:
    """Fine samples, and those of the charts that are older than the first fine slot."""
    start, end = found.span
    fine = list(slots(found.place.fine, series))
    first = min((at for at, _ in fine), default=np.inf)
    thin = [one for one in slots(found.place.thin() if found.place.thin else (), series) if one[0] < first]
    return [(at, value) for at, value in thin + fine if start < at <= end and not np.isnan(value)]


def rows(some: Windows) -> Iterator[Samples]:
    """Each series' samples; behind them the last one again, in all that is read there."""
    for row, count in enumerate(some.counts.tolist()):
        found = list(zip(some.times[row].tolist(), some.values[row].tolist(), strict=True))
        assert found[count:] == [found[count - 1] if count else found[0]] * (len(found) - count)
        yield found[:count]


def in_pieces(found: Selection) -> dict[int, Samples]:
    got: dict[int, Samples] = {}
    for places, some in found.relative():
        numbers = np.arange(found.place.size)[places].tolist()
        assert not got.keys() & set(numbers)
        got |= dict(zip(numbers, rows(some), strict=True))
    return got


def fleet(hosts: list[tuple[int, int, int]], wanted: float, later: float) -> Head:
    """Hosts that send every so many seconds from a tick on, and end twice; windows get longer midway."""
    head = Head()
    head.demand([want(name, wanted) for name in NAMES])
    for host, _ in enumerate(hosts):
        head.register(f"{host}", b"s", [Labels.of(__name__=name, instance=f"h{host}") for name in NAMES])
    for second in range(1, 1200):
        if second == 900:
            head.demand([want(name, later) for name in NAMES])
        for host, (step, begin, quiet) in enumerate(hosts):
            if second % step == 0 and second >= begin:
                values = np.array([second, -second, STALE if second // step == quiet else host], np.float64)
                head.append(f"{host}", b"s", float(second), None, values)
                if second // step in (quiet + 2, quiet + 9):
                    head.mark_stale(f"{host}", second + 0.5)
    return head


@settings(max_examples=40, deadline=None)
@given(
    hosts=st.lists(
        st.tuples(st.sampled_from([5, 15, 30, 60]), st.integers(1, 1150), st.integers(1, 80)), min_size=1, max_size=6
    ),
    wanted=st.sampled_from([60.0, 300.0, 600.0]),
    later=st.sampled_from([60.0, 300.0, 900.0]),
    span=st.tuples(st.integers(1, 1300), st.integers(0, 400)),
    together=st.sampled_from([1, 40, 100_000]),
)
def test_windows_whole_and_in_pieces_are_what_the_slots_hold(
    hosts: list[tuple[int, int, int]], wanted: float, later: float, span: tuple[int, int], together: int
) -> None:
    width, back = span
    end = 1200.0 - back
    found = fleet(hosts, wanted, later).select((), end - width, end)
    owed = {series: expected(found, series) for series in range(found.place.size)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "_TOGETHER", together)
        assert dict(enumerate(rows(found.windows()))) == owed
        pieces = in_pieces(found)
    for series, samples in owed.items():
        assert [(at + end, value) for at, value in pieces.get(series, [])] == samples


def test_samples_of_the_charts_come_before_the_fine_ones() -> None:
    head = fleet([(15, 1, 99), (15, 1, 99)], 60.0, 600.0)
    found = head.select((), 500.0, 1100.0)
    times = [555, 690, *range(795, 1100, 15)]
    assert next(rows(found.windows())) == [(at, at) for at in times]
    assert in_pieces(found)[4] == [(at - 1100, -at) for at in times]
