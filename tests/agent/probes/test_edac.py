from pathlib import Path

import pytest

from agent.probes import edac
from agent.probes.edac import Controller
from agent.probes.errors import MalformedError, NoDataError


def controller(sysfs: Path, name: str, corrected: str, uncorrected: str) -> None:
    folder = sysfs / "devices/system/edac/mc" / name
    folder.mkdir(parents=True)
    (folder / "ce_count").write_text(corrected)
    (folder / "ue_count").write_text(uncorrected)


def test_errors_by_controller(tmp_path: Path) -> None:
    controller(tmp_path, "mc0", "4\n", "0\n")
    controller(tmp_path, "mc1", "0\n", "1\n")
    reading = edac.read(tmp_path)
    assert reading == (Controller("0", 4, 0), Controller("1", 0, 1))
    assert [s.value for s in edac.samples(reading)] == [4, 0, 0, 1]


def test_memory_that_does_not_check_itself_has_no_data(tmp_path: Path) -> None:
    with pytest.raises(NoDataError):
        edac.read(tmp_path)


def test_a_count_that_is_no_number_is_an_error(tmp_path: Path) -> None:
    controller(tmp_path, "mc0", "many\n", "0\n")
    with pytest.raises(MalformedError):
        edac.read(tmp_path)
