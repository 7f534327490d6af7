import pytest

from agent.probes import vmstat
from agent.probes.errors import MalformedError


def test_only_the_fields_of_interest_are_taken() -> None:
    assert vmstat.parse("nr_free_pages 3\npgfault 12\noom_kill 1\n") == {"pgfault": 12, "oom_kill": 1}


def test_they_have_no_type_as_in_node_exporter() -> None:
    assert all(sample.family.untyped for sample in vmstat.samples({"pgfault": 1.0}))


def test_a_file_without_any_of_them_is_refused() -> None:
    with pytest.raises(MalformedError):
        vmstat.parse("nr_free_pages 3\n")
