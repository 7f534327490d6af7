from itertools import pairwise

import pytest

from collector.head import Head, HeadError, Match, Matcher, Want
from tests.collector.head.fill import fill, kept, newest, numbers, series, want, windows


def test_full_rows_keep_the_newest_samples() -> None:
    head = Head(retention=1e9, max_samples=64)
    head.register("1", b"s", series("a", "up"))
    for at in range(1000):
        head.append("1", b"s", float(at), None, numbers(at))
    kept = windows(head, -1, 1000)[series("a", "up")[0]]
    assert kept[-1] == (999.0, 999.0)
    assert 48 <= len(kept) <= 64
    assert [t for t, _ in kept] == list(range(1000 - len(kept), 1000))


def test_only_what_is_wanted_has_a_window() -> None:
    head = Head()
    head.demand([want("up", 300.0)])
    head.register("1", b"s", series("a", "up", "load"))
    fill(head, range(1, 401))
    assert kept(head, "up", 6000.0, 300.0) == list(range(381, 401))
    assert newest(head, 6000.0) == {"a.up": 400, "a.load": -400}
    with pytest.raises(HeadError, match="only the newest values of these series are kept"):
        kept(head, "load", 6000.0, 300.0)
    assert head.stats.samples < 100


def test_a_longer_window_fills_and_a_shorter_one_is_cut() -> None:
    head = Head()
    head.demand([want("up", 300.0), want("load", 300.0)])
    head.register("1", b"s", series("a", "up", "load"))
    fill(head, range(1, 31))
    head.demand([want("up", 600.0)])
    fill(head, range(31, 61))
    assert kept(head, "up", 900.0, 600.0) == list(range(21, 61))
    with pytest.raises(HeadError, match="only the newest"):
        kept(head, "load", 900.0, 300.0)
    head.demand([want("load", 300.0)])
    fill(head, range(61, 66))
    assert kept(head, "load", 975.0, 300.0)[-5:] == [-61, -62, -63, -64, -65]
    head.demand([], rest=None)
    fill(head, range(66, 68))
    assert kept(head, "load", 1005.0, 300.0)[-2:] == [-66, -67]


def test_charts_of_wanted_series_go_an_hour_back() -> None:
    head = Head()
    head.demand([want("up", 300.0)])
    head.register("1", b"s", series("a", "up", "load"))
    fill(head, range(1, 401))
    hour = kept(head, "up", 6000.0, 3600.0)
    assert hour[-20:] == list(range(381, 401))
    assert 4 * 120 / 15 <= hour[0] - 160 + 4 * 120 / 15 <= 48
    assert all(after - before <= 9 for before, after in pairwise(hour))
    assert newest(head, 3000.0, Matcher("__name__", Match.EQUAL, "up"))["a.up"] == pytest.approx(200, abs=8)


def test_slots_of_an_hour_are_laid_out_as_samples_come() -> None:
    head = Head()
    head.demand([want("up", 3600.0)])
    head.register("1", b"s", series("a", "up", "load"))
    depths: list[tuple[int, int]] = []
    for count in (30, 60, 100, 400):
        fill(head, range(depths[-1][0] + 1 if depths else 1, count + 1))
        depths.append((count, max(block.slab.slots for block in head._hosts["1"].blocks.values())))
    assert depths == [(30, 32), (60, 72), (100, 108), (400, 272)]
    assert kept(head, "up", 6000.0, 3600.0) == list(range(161, 401))


def test_own_series_are_kept_by_demand_too() -> None:
    head = Head()
    head.demand([want("up", 300.0)])
    one, two = series("a", "up", "load")
    for tick in range(1, 601):
        head.set([one, two], [float(tick), float(-tick)], float(tick))
    assert kept(head, "up", 600.0, 300.0) == list(range(301, 601))
    head.demand([want("load", 60.0)])
    for tick in range(601, 701):
        head.set([one, two], [float(tick), float(-tick)], float(tick))
    assert kept(head, "load", 700.0, 60.0) == list(range(-641, -701, -1))
    assert newest(head, 700.0) == {"a.up": 700, "a.load": -700}


def test_a_matcher_on_a_shared_label_keeps_the_window() -> None:
    head = Head()
    matchers = (Matcher("__name__", Match.REGEX, "u.*"), Matcher("instance", Match.EQUAL, "a"))
    head.demand([Want(matchers, 300.0)])
    head.register("1", b"s", series("a", "up", "load"))
    fill(head, range(1, 41))
    assert kept(head, "up", 600.0, 300.0) == list(range(21, 41))
