"""Facts about the head, and a state machine against a dict of lists."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from numpy.typing import NDArray

from collector.head import STALE, Head, HeadError, Match, Matcher, RecordError, UnknownSchemaError, Want, memory
from collector.labels import Labels

NAMES = ("up", "load", "temp", "disk")
ALL = (Matcher("__name__", Match.REGEX, ".+"),)


def series(host: str, *names: str) -> list[Labels]:
    return [Labels.of(__name__=name, instance=host, job="node") for name in names]


def numbers(*values: float) -> NDArray[np.float64]:
    return np.array(values, np.float64)


def newest(head: Head, at: float, *matchers: Matcher) -> dict[str, float]:
    found = head.select(matchers or ALL, at - 300, at)
    latest = found.latest()
    rows = np.flatnonzero(latest.present)
    labels = found.frame.labels(rows.tolist())
    return {
        f"{one.get('instance')}.{one.get('__name__')}": float(latest.values[r])
        for one, r in zip(labels, rows, strict=True)
    }


def windows(head: Head, start: float, end: float) -> dict[Labels, list[tuple[float, float]]]:
    found = head.select(ALL, start, end)
    got = found.windows()
    times = got.times
    return {
        labels: list(
            zip(times[row, : got.counts[row]].tolist(), got.values[row, : got.counts[row]].tolist(), strict=True)
        )
        for row, labels in enumerate(found.frame.labels(range(found.frame.size)))
    }


def test_a_batch_is_selected_by_matchers() -> None:
    head = Head()
    head.register("1", b"s", series("a", "up", "load"))
    head.register("2", b"s", series("b", "up", "load"))
    head.append("1", b"s", 100.0, None, numbers(1, 2))
    head.append("2", b"s", 100.0, None, numbers(3, 4))
    assert newest(head, 100.0) == {"a.up": 1, "a.load": 2, "b.up": 3, "b.load": 4}
    assert newest(head, 100.0, Matcher("instance", Match.EQUAL, "b")) == {"b.up": 3, "b.load": 4}
    assert newest(head, 100.0, Matcher("__name__", Match.REGEX, "u.")) == {"a.up": 1, "b.up": 3}
    assert newest(head, 100.0, Matcher("instance", Match.NOT_REGEX, "a|x"), ALL[0]) == {"b.up": 3, "b.load": 4}
    assert newest(head, 100.0, Matcher("job", Match.EQUAL, ""), ALL[0]) == {}
    assert newest(head, 400.0) == {}


def test_an_absent_value_ends_the_series_for_now() -> None:
    head = Head()
    head.register("1", b"s", series("a", "up", "load"))
    head.append("1", b"s", 10.0, None, numbers(1, 2))
    head.append("1", b"s", 20.0, np.array([True, False]), numbers(3, np.nan))
    assert newest(head, 20.0) == {"a.up": 3}
    assert newest(head, 19.0) == {"a.up": 1, "a.load": 2}


def test_a_new_schema_keeps_history_and_ends_what_vanished() -> None:
    head = Head()
    head.register("1", b"s", series("a", "up", "load"))
    head.append("1", b"s", 10.0, None, numbers(1, 2))
    head.register("1", b"t", series("a", "temp", "up"))
    assert newest(head, 15.0) == {"a.up": 1, "a.load": 2}
    head.append("1", b"t", 20.0, None, numbers(5, 6))
    assert newest(head, 20.0) == {"a.temp": 5, "a.up": 6}
    assert windows(head, 0, 20.0)[series("a", "up")[0]] == [(10.0, 1.0), (20.0, 6.0)]
    assert head.stats.series == 3
    head.compact(3615.0)
    assert head.stats.series == 2


def test_a_host_whose_common_labels_change_starts_anew() -> None:
    head = Head()
    head.register("1", b"s", series("a", "up", "load"))
    head.append("1", b"s", 10.0, None, numbers(1, 2))
    head.register("1", b"t", series("renamed", "up", "load"))
    head.append("1", b"t", 20.0, None, numbers(3, 4))
    assert newest(head, 20.0) == {"renamed.up": 3, "renamed.load": 4}


def test_batches_of_the_past_are_merged_and_known_times_ignored() -> None:
    head = Head()
    head.register("1", b"s", series("a", "up"))
    for at, value in ((30.0, 3.0), (10.0, 1.0), (20.0, 2.0), (20.0, 9.0), (30.0, 9.0)):
        head.append_old("1", b"s", at, None, numbers(value))
    assert windows(head, 0, 30.0)[series("a", "up")[0]] == [(10.0, 1.0), (20.0, 2.0), (30.0, 3.0)]


def test_a_silent_host_is_lost_and_an_ended_series_is_not() -> None:
    head = Head()
    head.register("1", b"s", series("a", "up", "load"))
    head.register("2", b"s", series("b", "up", "load"))
    for host in ("1", "2"):
        head.append(host, b"s", 10.0, None, numbers(1, 2))
    head.append("1", b"s", 20.0, np.array([True, False]), numbers(1, 2))
    head.mark_stale("2", 20.0)
    head.mark_stale("nobody", 20.0)
    found = head.select(ALL, 0.0, 20.0)
    lost = dict(zip(map(str, found.frame.labels(range(4))), found.latest().lost.tolist(), strict=True))
    assert [text.partition(",job")[0] for text, gone in lost.items() if gone] == [
        'up{instance="b"',
        'load{instance="b"',
    ]
    assert head.newest("2") == 20.0


def test_a_mark_in_the_past_still_ends_the_host() -> None:
    head = Head()
    head.register("1", b"s", series("a", "up"))
    head.append("1", b"s", 10.0, None, numbers(1))
    head.mark_stale("1", 5.0)
    assert newest(head, 11.0) == {}


def test_what_nobody_registered_is_refused() -> None:
    head = Head()
    with pytest.raises(UnknownSchemaError, match="host 'x' has not registered schema 73") as caught:
        head.append("x", b"s", 1.0, None, numbers(1))
    assert (caught.value.host, caught.value.schema) == ("x", b"s")
    with pytest.raises(HeadError, match="a label set twice"):
        head.register("x", b"s", series("x", "up", "up"))
    head.register("x", b"s", series("x", "up"))
    with pytest.raises(HeadError, match="2 values for 1 series"):
        head.append("x", b"s", 1.0, None, numbers(1, 2))


def test_removing_a_host_forgets_it() -> None:
    head = Head()
    head.register("1", b"s", series("a", "up"))
    head.append("1", b"s", 10.0, None, numbers(1))
    head.remove("1")
    assert newest(head, 10.0) == {}
    assert (head.newest("1"), head.stats.hosts, head.stats.series) == (None, 0, 0)


def test_a_host_without_samples_is_forgotten_and_taken_up_again() -> None:
    head = Head(retention=100)
    head.register("1", b"s", series("a", "up", "load"))
    head.append("1", b"s", 10.0, None, numbers(1, 2))
    head.compact(200.0)
    assert head.stats.series == 0
    assert (head.stats.hosts, head._table.own_sets.live, head._table.host_sets.live) == (0, 0, 0)
    with pytest.raises(UnknownSchemaError):
        head.append("1", b"s", 210.0, None, numbers(3, 4))
    head.register("1", b"s", series("a", "up", "load"))
    head.append("1", b"s", 210.0, None, numbers(3, 4))
    assert newest(head, 210.0) == {"a.up": 3, "a.load": 4}


def test_full_rows_keep_the_newest_samples() -> None:
    head = Head(retention=1e9, max_samples=64)
    head.register("1", b"s", series("a", "up"))
    for at in range(1000):
        head.append("1", b"s", float(at), None, numbers(at))
    kept = windows(head, -1, 1000)[series("a", "up")[0]]
    assert kept[-1] == (999.0, 999.0)
    assert 48 <= len(kept) <= 64
    assert [t for t, _ in kept] == list(range(1000 - len(kept), 1000))


def test_retention_bounds_memory() -> None:
    head = Head(retention=100)
    head.register("1", b"s", series("a", "up"))
    for at in range(0, 100_000, 10):
        head.append("1", b"s", float(at), None, numbers(at))
    assert [slab.slots for slab in head._memory.slabs] == [32]
    assert head.stats.samples <= 32


def test_own_series_end_when_their_owner_stops_setting_them() -> None:
    head = Head()
    one, two = series("a", "up", "load")
    head.set([one, two], [1.0, 2.0], 10.0, owner="rule")
    head.set([two], [3.0], 20.0, owner="rule")
    assert newest(head, 20.0) == {"a.load": 3}
    head.set([one], [4.0], 30.0)
    head.set([two], [STALE], 30.0)
    assert newest(head, 30.0) == {"a.up": 4}
    head.set([], [], 40.0, owner="rule")
    assert newest(head, 40.0) == {"a.up": 4}
    with pytest.raises(HeadError, match="1 values for 2 series"):
        head.set([one, two], [1.0], 50.0)


def test_a_second_value_of_the_same_time_is_ignored() -> None:
    head = Head()
    (one,) = series("a", "up")
    head.set([one], [1.0], 10.0)
    head.set([one], [2.0], 10.0)
    head.set([one], [0.5], 5.0)
    assert windows(head, 0, 10)[one] == [(5.0, 0.5), (10.0, 1.0)]


def test_the_values_of_one_instance() -> None:
    head = Head()
    head.register("1", b"s", series("a", "up", "load"))
    head.append("1", b"s", 10.0, None, numbers(1, 2))
    head.append("1", b"s", 20.0, np.array([True, False]), numbers(3, 0))
    assert head.values_of("a", 20.0) == [(series("a", "up")[0], 3.0, 20.0)]
    assert head.values_of("b", 20.0) == []


def test_many_hosts_and_names_come_and_go_without_a_trace() -> None:
    head = Head(retention=100)
    for turn in range(5):
        at = turn * 1000.0
        for host in range(50):
            head.register(f"{host}", f"{turn}".encode(), series(f"h{host}", *(f"m{turn}_{i}" for i in range(20))))
            head.append(f"{host}", f"{turn}".encode(), at, None, np.arange(20.0))
        head.compact(at + 500.0)
    assert head.stats.series == 0
    assert sum(len(slab.values) for slab in head._memory.slabs) < 2100
    assert (head._table.own_sets.live, head._table.host_sets.live) == (0, 0)


def want(name: str, seconds: float) -> Want:
    return Want((Matcher("__name__", Match.EQUAL, name),), seconds)


def fill(head: Head, times: range, step: float = 15.0) -> None:
    for tick in times:
        head.append("1", b"s", tick * step, None, numbers(tick, -tick))


def kept(head: Head, name: str, end: float, seconds: float) -> list[float]:
    got = head.select((Matcher("__name__", Match.EQUAL, name),), end - seconds, end).windows()
    return list(got.values[0, : got.counts[0]].tolist())


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


def test_hosts_of_the_same_series_share_what_is_known_of_their_order() -> None:
    head = Head()
    head.demand([want("up", 300.0), want("disk", 3600.0)])
    for host in "abc":
        head.register(host, b"s", series(host, *NAMES))
        head.append(host, b"s", 15.0, None, numbers(1, 2, 3, 4))
    first, second = head._hosts["b"].schemas[b"s"], head._hosts["c"].schemas[b"s"]
    assert first.offsets is second.offsets
    assert all(isinstance(b.rows, slice) and isinstance(b.spots, slice) for b in head._hosts["c"].blocks.values())
    assert newest(head, 15.0, Matcher("instance", Match.EQUAL, "c")) == {
        "c.up": 1,
        "c.load": 2,
        "c.temp": 3,
        "c.disk": 4,
    }


def test_one_host_left_behind_does_not_keep_a_fleets_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    head = Head()
    head.demand([want("up", 3600.0)])
    for host in range(400):
        head.register(f"{host}", b"s", series(f"h{host}", *(f"m{i}" for i in range(9)), "up"))
    for tick in range(1, 60):
        for host in range(1 if tick > 2 else 0, 400):
            head.append(f"{host}", b"s", 15.0 * tick, None, np.full(10, float(tick)))
    shallow = next(slab for slab in head._memory.slabs if slab.slots == 32)
    head.compact(900.0)
    assert len(shallow.values) > 400  # too little to be worth the move
    monkeypatch.setattr(memory, "_MUCH", 1000)
    head.compact(900.0)
    assert len(shallow.values) == 64
    assert newest(head, 30.0, Matcher("instance", Match.EQUAL, "h0"))["h0.up"] == 2


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


def test_ten_thousand_schema_changes_leave_nothing_behind() -> None:
    head = Head(retention=100)
    head.demand([want("m0", 60.0)])
    sizes = []
    for turn in range(10_000):
        at = turn * 15.0
        name = f"{turn}".encode()
        head.register("1", name, [Labels.of(__name__=f"m{i}", instance="a", turn=f"{turn}") for i in range(5)])
        head.append("1", name, at, None, np.arange(5.0))
        if turn % 100 == 99:
            head.compact(at)
            sizes.append((head.stats.bytes, head.stats.series, head._table.own_sets.live, len(head._table.symbols)))
    assert max(size for size, *_ in sizes[10:]) == sizes[10][0]
    assert max(live for _, live, *_ in sizes) < 100
    assert max(sets for _, _, sets, _ in sizes) < 700
    assert max(symbols for *_, symbols in sizes) < 40_000


def test_counted_sizes_are_the_real_ones() -> None:
    head = Head(retention=200)
    head.demand([want("up", 60.0)])
    for turn in range(50):
        for host in ("1", "2"):
            head.register(host, f"{turn // 5}".encode(), series(host, "up", f"m{turn // 5}"))
            head.append(host, f"{turn // 5}".encode(), turn * 15.0, None, numbers(1, 2))
        head.set(series("own", "up"), [1.0], turn * 15.0)
        head.compact(turn * 15.0)
        blocks = [b for h in (*head._hosts.values(), *head._singles.values()) for b in h.blocks.values()]
        assert head.stats.samples == sum(int(b.slab.end[b.index] - b.slab.begin[b.index]) * b.size for b in blocks)
    head.remove("1")
    head.remove("2")
    assert head.stats.series == 1


def test_own_series_nobody_sets_any_more_are_forgotten() -> None:
    head = Head(retention=100)
    head.set(series("a", "up", "load"), [1.0, 2.0], 10.0)
    head.set(series("a", "up"), [1.0], 100.0)
    head.compact(150.0)
    assert newest(head, 150.0) == {"a.up": 1}
    assert head.stats.series == 1


class HeadAgainstLists(RuleBasedStateMachine):
    """One host per letter; the model is a dict of lists of (time, value)."""

    @initialize()
    def begin(self) -> None:
        self.head = Head(retention=1000.0, max_samples=64)
        self.model: dict[Labels, dict[float, float | None]] = {}
        self.schemas: dict[str, tuple[str, ...]] = {}
        self.slots: dict[str, set[float]] = {}
        self.clock = 1000.0

    @rule(host=st.sampled_from("ab"), names=st.lists(st.sampled_from(NAMES), unique=True, min_size=1))
    def register(self, host: str, names: list[str]) -> None:
        self.schemas[host] = tuple(names)
        self.head.register(host, ",".join(names).encode(), series(host, *names))

    @rule(host=st.sampled_from("ab"), step=st.integers(1, 40), mask=st.lists(st.booleans(), min_size=4, max_size=4))
    def append(self, host: str, step: int, mask: list[bool]) -> None:
        self.clock += step
        self.write(host, self.clock, mask, old=False)

    @rule(host=st.sampled_from("ab"), back=st.integers(0, 900))
    def append_old(self, host: str, back: int) -> None:
        self.write(host, self.clock - back, [True] * 4, old=True)

    def write(self, host: str, at: float, mask: list[bool], *, old: bool) -> None:
        if host not in self.schemas or (old and len(self.slots.get(host, ())) > 50):
            return
        names = self.schemas[host]
        values = np.arange(len(names), dtype=np.float64) + at
        put = self.head.append_old if old else self.head.append
        schema = ",".join(names).encode()
        try:
            put(host, schema, at, np.array(mask[: len(names)]), values)
        except UnknownSchemaError:  # it was silent for longer than the retention
            self.head.register(host, schema, series(host, *names))
            put(host, schema, at, np.array(mask[: len(names)]), values)
        taken = self.slots.setdefault(host, set())
        if at not in taken:
            taken.add(at)
            for labels, value, present in zip(series(host, *names), values.tolist(), mask, strict=False):
                self.model.setdefault(labels, {})[at] = value if present else None

    @rule(host=st.sampled_from("ab"))
    def silence(self, host: str) -> None:
        newest = self.head.newest(host)
        self.clock += 1
        self.head.mark_stale(host, self.clock)
        if newest is not None:
            self.slots[host].add(self.clock)

    @rule()
    def compact(self) -> None:
        self.head.compact(self.clock)
        oldest = self.clock - 1000.0
        self.slots = {host: {t for t in times if t >= oldest} for host, times in self.slots.items()}
        self.model = {k: {t: v for t, v in points.items() if t >= oldest} for k, points in self.model.items()}

    @rule(width=st.integers(1, 600), back=st.integers(0, 100))
    def compare(self, width: int, back: int) -> None:
        end = self.clock - back
        got = {labels: points for labels, points in windows(self.head, end - width, end).items() if points}
        wanted = {
            labels: [(t, v) for t, v in sorted(points.items()) if end - width < t <= end and v is not None]
            for labels, points in self.model.items()
        }
        assert got == {labels: points for labels, points in wanted.items() if points}
        assert newest(self.head, end) == {
            f"{labels.get('instance')}.{labels.get('__name__')}": value
            for labels in self.model
            if (value := self.value_at(labels, end)) is not None
        }

        named = newest(self.head, end, Matcher("__name__", Match.EQUAL, "up"))
        assert named == {key: v for key, v in newest(self.head, end).items() if key.endswith(".up")}

    def value_at(self, labels: Labels, at: float) -> float | None:
        slots = [t for t in self.slots.get(labels.get("instance"), set()) if at - 300 < t <= at]
        return self.model[labels].get(max(slots)) if slots else None


HeadAgainstLists.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestHeadAgainstLists = HeadAgainstLists.TestCase


def test_what_has_a_window_comes_back_from_its_records() -> None:
    wants = [want("up", 300.0), want("rec", 60.0)]
    head, again = Head(), Head()
    head.demand(wants)
    again.demand(wants)
    head.register("1", b"s", series("a", "up", "load"))
    fill(head, range(1, 101))
    head.set(series("own", "rec"), [7.0], 1499.0)
    for record in head.records():
        again.restore(record)
        again.restore(record)
    assert newest(again, 1501.0) == {}
    assert kept(again, "up", 1500.0, 300.0) == list(range(81, 101))
    assert kept(again, "rec", 1500.0, 60.0) == [7.0]
    assert kept(again, "up", 1500.0, 1400.0)[0] < 20
    assert not again.select(ALL, 1200.0, 1501.0).latest().present.any()
    assert again.select(ALL, 1200.0, 1501.0).latest().lost.all()
    again.register("1", b"t", series("a", "load", "up"))
    again.append("1", b"t", 1515.0, None, numbers(-101, 101))
    assert newest(again, 1515.0) == {"a.up": 101, "a.load": -101}
    assert kept(again, "up", 1515.0, 300.0) == list(range(82, 102))
    assert again.stats.series == 3


@pytest.mark.parametrize("damage", [b"", b"\xff\xff\xff\xff", b"\x02\x00\x00\x00{}", b"\x04\x00\x00\x00null"])
def test_bytes_that_are_no_record_are_refused(damage: bytes) -> None:
    with pytest.raises(RecordError):
        Head().restore(damage)


def test_every_cut_record_is_refused() -> None:
    head = Head()
    head.register("1", b"s", series("a", "up", "load"))
    fill(head, range(1, 5))
    (record,) = head.records()
    for length in range(len(record)):
        with pytest.raises(RecordError):
            Head().restore(record[:length])
