import numpy as np
import pytest

from collector.head import Head, Match, Matcher, UnknownSchemaError, memory
from collector.labels import Labels
from tests.collector.head.fill import NAMES, newest, numbers, series, want


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


def test_retention_bounds_memory() -> None:
    head = Head(retention=100)
    head.register("1", b"s", series("a", "up"))
    for at in range(0, 100_000, 10):
        head.append("1", b"s", float(at), None, numbers(at))
    assert [slab.slots for slab in head._memory.slabs] == [32]
    assert head.stats.samples <= 32


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


def test_the_same_tuple_of_series_is_looked_up_anew_once_others_have_its_numbers() -> None:
    head = Head()
    own, others = (tuple(Labels.of(__name__=name) for name in names) for names in (("up", "load"), ("temp", "disk")))
    for host, sets in (("1", own), ("2", others), ("3", own)):
        head.register(host, b"s", sets, Labels.of(instance=host))
        head.append(host, b"s", 15.0, None, numbers(1, 2))
        if host == "1":
            head.remove(host)
    assert newest(head, 15.0) == {"2.temp": 1, "2.disk": 2, "3.up": 1, "3.load": 2}


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
