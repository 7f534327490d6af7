import logging
import math
from collections.abc import Callable, Iterable
from itertools import count

import pytest

from agent.probes import AnyProbe, MalformedError, NoDataError, Probe
from agent.round import Part, Round, take_round
from agent.sample import Family, Kind, Sample, labels

SIZE = Family("a_size_bytes", Kind.GAUGE, "A size.")


def gives(name: str, *samples: Sample) -> AnyProbe:
    return Probe(name, lambda: samples, lambda reading: reading)


def raises(name: str, error: Exception) -> AnyProbe:
    def read() -> tuple[Sample, ...]:
        raise error

    return Probe(name, read, lambda reading: reading)


def ticking() -> Callable[[], float]:
    seconds = count()
    return lambda: float(next(seconds))


def taken(*probes: AnyProbe, previous: Round | None = None) -> Round:
    return take_round(probes, wall=1795000000.5, boottime_ns=42, clock=ticking(), previous=previous)


def values(round_: Round) -> dict[str, float]:
    return {s.family.name + "".join(f"{{{value}}}" for _, value in s.labels): s.value for s in round_.samples}


def test_a_round_is_what_the_probes_gave_and_how_they_did() -> None:
    assert values(taken(gives("disk", Sample(SIZE, (), 7)))) == {
        "a_size_bytes": 7,
        "node_scrape_collector_duration_seconds{disk}": 1,
        "node_scrape_collector_success{disk}": 1,
        "czuwak_agent_round_dropped_samples": 0,
        "czuwak_agent_round_duration_seconds": 3,
    }


def test_the_time_is_the_callers() -> None:
    round_ = taken()
    assert (round_.at, round_.boottime_ns) == (1795000000.5, 42)


@pytest.mark.parametrize(
    "error", [OSError("dead"), MalformedError("stat", "x"), ZeroDivisionError(), RecursionError(), MemoryError()]
)
def test_one_broken_probe_costs_the_others_nothing(error: Exception) -> None:
    shown = values(taken(raises("bad", error), gives("good", Sample(SIZE, (), 7))))
    assert shown["node_scrape_collector_success{bad}"] == 0
    assert shown["node_scrape_collector_success{good}"] == 1
    assert shown["a_size_bytes"] == 7


def test_samples_that_break_half_way_are_not_shown_by_halves() -> None:
    def half(_: None) -> Iterable[Sample]:
        yield Sample(SIZE, (), 7)
        raise ValueError("then this")

    shown = values(taken(Probe("half", lambda: None, half)))
    assert "a_size_bytes" not in shown
    assert shown["node_scrape_collector_success{half}"] == 0


def test_no_data_is_no_success_and_nobody_is_bothered(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        shown = values(taken(raises("mdadm", NoDataError("no RAID"))))
    assert shown["node_scrape_collector_success{mdadm}"] == 0
    assert shown["czuwak_agent_probe_no_data{mdadm}"] == 1
    assert caplog.records == []


def test_a_failure_is_not_said_to_be_no_data() -> None:
    assert "czuwak_agent_probe_no_data{disk}" not in values(taken(raises("disk", OSError("dead"))))


def test_a_failure_is_told_once_while_it_stays_the_same(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        first = taken(raises("disk", OSError("dead")))
        second = taken(raises("disk", OSError("dead")), previous=first)
        taken(raises("disk", OSError("on fire")), previous=second)
    assert [record.getMessage() for record in caplog.records] == [
        "Collector disk failed: OSError: dead",
        "Collector disk failed: OSError: on fire",
    ]


def test_the_same_series_twice_is_dropped_and_counted() -> None:
    own = labels(device="sda")
    shown = values(taken(gives("a", Sample(SIZE, own, 1)), gives("b", Sample(SIZE, own, 2), Sample(SIZE, own, 3))))
    assert shown["a_size_bytes{sda}"] == 1
    assert shown["czuwak_agent_round_dropped_samples"] == 2


def test_what_is_not_a_number_is_dropped_and_counted() -> None:
    shown = values(taken(gives("a", Sample(SIZE, (), math.nan), Sample(SIZE, labels(device="sda"), math.inf))))
    assert "a_size_bytes" not in shown
    assert shown["a_size_bytes{sda}"] == math.inf
    assert shown["czuwak_agent_round_dropped_samples"] == 1


def test_a_round_knows_which_collector_gave_what() -> None:
    round_ = taken(gives("disk", Sample(SIZE, (), 7)), raises("raid", NoDataError("none")))
    assert round_.parts == (Part("disk", 0, 3), Part("raid", 3, 6, "none"))
    assert round_.samples[0] == Sample(SIZE, (), 7)
