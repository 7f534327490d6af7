import pytest

from agent.probes import load
from agent.probes.errors import MalformedError


def test_the_three_averages() -> None:
    shown = [(s.family.name, s.value) for s in load.samples(load.parse("0.42 0.36 0.21 2/411 41022\n"))]
    assert shown == [("node_load1", 0.42), ("node_load5", 0.36), ("node_load15", 0.21)]


def test_two_averages_are_refused() -> None:
    with pytest.raises(MalformedError):
        load.parse("0.42 0.36")
