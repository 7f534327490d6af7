from pathlib import Path

import pytest

from agent.probes import reboot
from agent.probes.errors import NoDataError


def root(path: Path, release: str, *, left: str = "") -> Path:
    (path / "etc").mkdir()
    (path / "etc/os-release").write_text(release)
    if left:
        (path / left).parent.mkdir(parents=True)
        (path / left).touch()
    return path


@pytest.mark.parametrize(
    "release", ["ID=debian\n", "ID=ubuntu\nID_LIKE=debian\n", 'ID=mint\nID_LIKE="ubuntu debian"\n']
)
@pytest.mark.parametrize(("left", "required"), [("", 0), ("run/reboot-required", 1), ("var/run/reboot-required", 1)])
def test_a_restart_is_wanted_where_packages_left_their_file(
    tmp_path: Path, release: str, left: str, required: float
) -> None:
    assert [s.value for s in reboot.samples(reboot.read(root(tmp_path, release, left=left)))] == [required]


@pytest.mark.parametrize("release", ["ID=fedora\n", "", 'ID="opensuse-leap"\nID_LIKE="suse opensuse"\n'])
def test_a_system_that_leaves_no_such_file_has_no_data(tmp_path: Path, release: str) -> None:
    with pytest.raises(NoDataError):
        reboot.read(root(tmp_path, release, left="run/reboot-required"))
