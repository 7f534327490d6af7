import numpy as np
import pytest

from collector.head import STALE, Head, HeadError, Match, Matcher, UnknownSchemaError
from collector.labels import Labels
from tests.collector.head.fill import ALL, newest, numbers, series, windows


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


def test_of_own_series_that_no_rule_looks_back_at_the_newest_two_values_are_kept() -> None:
    head = Head()
    head.demand(())
    one, two, three = series("a", "up", "load", "size")
    for number in range(1, 8):
        head.set([one, two], [number, 10.0 * number], 10.0 * number)
    head.set([one, three], [8.0, 9.0], 80.0)
    assert newest(head, 80.0) == {"a.up": 8, "a.load": 70, "a.size": 9}
    assert newest(head, 79.0) == {"a.up": 7, "a.load": 70}
    assert head.stats.samples <= 3 + 3 + 1
    for number in range(9, 20):
        head.set([one, two, three], [number, number, number], 10.0 * number)
    assert (newest(head, 190.0), newest(head, 180.0)) == (
        dict.fromkeys(("a.up", "a.load", "a.size"), 19),
        dict.fromkeys(("a.up", "a.load", "a.size"), 18),
    )


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


def test_what_all_rows_of_a_selection_have_in_common_is_kept_once() -> None:
    head = Head()
    for host in ("a", "b"):
        head.register(host, b"s", [Labels.of(__name__="up", instance=host, job="node")])
        head.append(host, b"s", 1500.0, None, np.array([1.0]))
    columns = head.select((Matcher("__name__", Match.EQUAL, "up"),), 1400.0, 1500.0).frame.columns
    assert {name: column.strides for name, column in columns.items()} == {
        "__name__": (0,), "instance": (4,), "job": (0,),
    }  # fmt: skip
