from pathlib import Path

import pytest

from agent.probes import conntrack
from agent.probes.errors import NoDataError


def test_connections_and_their_limit() -> None:
    assert [s.value for s in conntrack.samples(conntrack.parse("118\n", "262144\n"))] == [118, 262144]


def test_without_the_firewalls_module_there_is_no_data(tmp_path: Path) -> None:
    with pytest.raises(NoDataError):
        conntrack.read(tmp_path)
