from hypothesis import given
from hypothesis import strategies as st

from collector.ingest.ledger import Ledger, Ranges

spans = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 8)).map(lambda p: (p[0], p[0] + p[1])), max_size=30)


@given(spans, st.integers(0, 80))
def test_ranges_are_a_set_of_integers(added: list[tuple[int, int]], start: int) -> None:
    ranges, model = Ranges(), set[int]()
    for low, high in added:
        ranges = ranges.add(low, high)
        model |= set(range(low, high + 1))
    assert {n for n in range(80) if n in ranges} == model
    assert ranges.highest == max(model, default=0)
    assert ranges.first_missing(start) == next(n for n in range(start, 200) if n not in model)
    assert all(a[1] + 1 < b[0] for a, b in zip(ranges.spans, ranges.spans[1:], strict=False))


def test_a_gap_costs_one_span_however_wide_it_is() -> None:
    assert Ranges().add(1).add(2**62).spans == ((1, 1), (2**62, 2**62))


def test_only_two_epochs_are_remembered() -> None:
    ledger = Ledger().see("a", 1).see("b", 1).see("c", 1)
    assert [page.epoch for page in ledger.pages] == ["b", "c"]
    assert 1 not in ledger.page("a").seen


def test_what_the_agent_no_longer_has_counts_as_done() -> None:
    ledger = Ledger().see("a", 3).open("a", 10)
    assert ledger.page("a").seen.spans == ((0, 9),)
    assert ledger.page("a").durable.first_missing(1) == 10


def test_seen_is_not_durable_until_settled() -> None:
    ledger = Ledger().see("a", 1)
    assert 1 in ledger.page("a").seen
    assert 1 not in ledger.page("a").durable
    assert 1 in ledger.settle("a", 1).page("a").durable
