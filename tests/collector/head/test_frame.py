import gc
import weakref

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from collector.head import Frame, Symbols
from collector.head.frame import concat
from collector.labels import Labels
from collector.promql.join import join
from collector.promql.nodes import Matching

label_sets = st.lists(
    st.dictionaries(st.sampled_from("abc"), st.sampled_from(["x", "y", "ż"])).map(Labels.of), min_size=1, max_size=12
)


@given(label_sets)
def test_labels_come_back_as_they_were(labels: list[Labels]) -> None:
    frame = Frame.of(Symbols(), labels)
    assert frame.labels(range(frame.size)) == tuple(labels)
    assert frame.unique is (len(set(labels)) == len(labels))


@given(label_sets, st.sets(st.sampled_from("abcd")))
def test_groups_are_rows_with_equal_labels(labels: list[Labels], names: set[str]) -> None:
    groups = Frame.of(Symbols(), labels).groups(names)
    kept = [one.keep(*names) for one in labels]
    for left, first in enumerate(kept):
        for right, second in enumerate(kept):
            assert (groups.ids[left] == groups.ids[right]) is np.bool_(first == second)
    assert groups.size == len(set(kept))
    assert [kept[row] for row in groups.first] == [kept[list(groups.ids).index(group)] for group in range(groups.size)]


@given(label_sets, label_sets)
def test_two_frames_in_one(left: list[Labels], right: list[Labels]) -> None:
    symbols = Symbols()
    both = concat(Frame.of(symbols, left), Frame.of(symbols, right))
    assert both.labels(range(both.size)) == (*left, *right)


@given(label_sets)
def test_rows_are_found_by_their_labels(labels: list[Labels]) -> None:
    frame = Frame.of(Symbols(), labels)
    for one in {*labels, Labels.of(a="x", b="never"), Labels.of(other="x"), Labels()}:
        assert sorted(frame.rows_of(one).tolist()) == [row for row, it in enumerate(labels) if it == one]


def test_many_wide_columns_group_without_running_over() -> None:
    symbols = Symbols()
    for number in range(70_000):
        symbols.encode(f"value{number}")
    rng = np.random.default_rng(1)
    columns = {f"n{i}": rng.integers(1, 70_000, 500).astype(np.int32) for i in range(12)}
    doubled = {name: np.concatenate([column, column]) for name, column in columns.items()}
    groups = Frame(symbols, doubled, 1000).groups(columns)
    assert groups.size == 500
    assert (groups.ids[:500] == groups.ids[500:]).all()


def test_derived_frames_are_kept_but_not_for_ever() -> None:
    frame = Frame.of(Symbols(), [Labels.of(a="x", b="y")])
    assert frame.keep(["a"]) is frame.keep(["a"])
    for number in range(1000):
        frame.memo(number, lambda: 1)
    assert len(frame._memo) <= 256


def test_frames_that_are_joined_both_ways_go_without_the_garbage_collector() -> None:
    symbols = Symbols()
    left = Frame.of(symbols, [Labels.of(__name__="a", x="1"), Labels.of(__name__="a", x="2")])
    right = Frame.of(symbols, [Labels.of(__name__="b", x="1"), Labels.of(__name__="b", x="2")])
    on = Matching(on=True, labels=("x",))
    gc.disable()
    try:
        join(left.nameless, right.nameless, on)
        join(right.nameless, left.nameless, on)
        left.groups(("__name__", "x"))
        seen = [weakref.ref(frame) for frame in (left, right, left.nameless, right.nameless)]
        left.forget()
        del left, right
        assert [one() for one in seen] == [None] * 4
    finally:
        gc.enable()
