from pathlib import Path

import pytest

from agent.probes import pids
from agent.probes.errors import MalformedError, NoDataError
from agent.probes.pids import Pids


def test_threads_and_both_limits() -> None:
    reading = pids.parse("0.42 0.36 0.21 2/411 41022\n", "126704\n", "4194304\n")
    assert reading == Pids(411, 126704, 4194304)
    assert [s.value for s in pids.samples(reading)] == [411, 126704, 4194304]


@pytest.mark.parametrize("loadavg", ["", "1 2 3", "1 2 3 411 5", "1 2 3 /4 5", "1 2 3 4/ 5", "1 2 3 4/x 5"])
def test_a_line_that_looks_different_is_an_error(loadavg: str) -> None:
    with pytest.raises(MalformedError):
        pids.parse(loadavg, "1", "1")


def test_a_system_without_these_files_has_no_data(tmp_path: Path) -> None:
    with pytest.raises(NoDataError):
        pids.read(tmp_path)
