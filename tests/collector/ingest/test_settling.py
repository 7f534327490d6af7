"""A fleet that has come is told of once."""

from collector.ingest.settling import CALM, Settling


def looked(settling: Settling, *counts: int) -> list[int]:
    return [at for at, streams in enumerate(counts) if settling.look(streams)]


def test_a_fleet_has_come_half_a_minute_after_hardly_anybody_comes_any_more() -> None:
    arrival = [80 * second for second in range(126)]
    assert looked(Settling(), *arrival, *([10_003] * 100)) == [len(arrival) + CALM - 1]


def test_a_few_are_no_fleet() -> None:
    assert looked(Settling(), *([999] * 100)) == []


def test_who_only_comes_back_is_not_told_of_again_and_a_quarter_more_is() -> None:
    settling = Settling()
    assert looked(settling, *([10_000] * 40)) == [CALM]
    assert looked(settling, *([0] * 40), *([10_000] * 40), *([13_000] * 40)) == []
    assert looked(settling, *([13_600] * 40)) == [CALM]
