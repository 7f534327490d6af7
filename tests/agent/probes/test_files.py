import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.probes import files
from agent.probes.errors import MalformedError, NoDataError
from agent.probes.filesystem import Filesystems
from agent.probes.probe import Kernel, ProbeSettings
from agent.probes.statvfs import Space
from agent.sample import labels


def test_a_file_larger_than_one_read_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "long").write_text("x" * 200_000)
    assert len(files.text(tmp_path / "long")) == 200_000


@pytest.mark.parametrize("name", ["absent", "file/below"])
def test_an_absent_file_is_no_data(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NoDataError):
        files.text(tmp_path / name)


def test_what_cannot_be_read_is_nothing(tmp_path: Path) -> None:
    assert files.optional(tmp_path) is None


@pytest.mark.parametrize("word", ["", "x", "nan", "inf", "-inf", "1e999"])
def test_what_is_no_finite_number_is_refused(word: str) -> None:
    with pytest.raises(MalformedError):
        files.number(word, "stat")


def test_a_mountpoint_that_is_not_utf8_is_asked_by_its_true_name_and_shown_in_valid_text(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1/mountinfo").write_bytes(b"27 1 0:1 / /m\xf6bel rw - ext4 /dev/sda rw\n")
    asked: list[bytes] = []

    def space(path: str) -> Space:
        asked.append(os.fsencode(path))
        return Space(1, 1, 1, 1, 1)

    (usage,) = Filesystems(ProbeSettings(procfs=tmp_path, kernel=Kernel(space=space))).read()
    assert asked == [b"/m\xf6bel"]
    assert labels(mountpoint=usage.mount.mountpoint) == (("mountpoint", "/m?bel"),)


def test_the_bus_library_is_not_loaded_where_no_service_is_watched() -> None:
    code = "import sys; from agent.probes import *; probes(ProbeSettings()); sys.exit('jeepney' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
