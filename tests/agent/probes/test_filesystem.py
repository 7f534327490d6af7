import errno
from dataclasses import replace
from pathlib import Path

import pytest

from agent.probes import Kernel, ProbeSettings, filesystem
from agent.probes.errors import MalformedError
from agent.probes.filesystem import Filesystems, Mount, Usage
from agent.probes.statvfs import Space

ROOT = "27 1 259:1 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p1 rw,errors=remount-ro\n"


def host(tmp_path: Path, table: str, **settings: object) -> Filesystems:
    (tmp_path / "1").mkdir()
    (tmp_path / "1/mountinfo").write_text(table)
    kernel = Kernel(space=lambda _: Space(100, 50, 40, 10, 5))
    return Filesystems(replace(ProbeSettings(procfs=tmp_path, kernel=kernel), **settings))  # type: ignore[arg-type]


def mountpoints(filesystems: Filesystems) -> list[str]:
    return [usage.mount.mountpoint for usage in filesystems.read()]


def test_a_line_of_the_mount_table() -> None:
    assert filesystem.parse(ROOT) == [Mount("/dev/nvme0n1p1", "/", "ext4", readonly=False)]


def test_a_space_in_a_mountpoint_is_written_in_octal() -> None:
    line = r"33 27 0:30 / /media/USB\040stick rw - vfat /dev/sdb1 rw"
    assert filesystem.parse(line)[0].mountpoint == "/media/USB stick"


@pytest.mark.parametrize("line", [ROOT.replace("rw,relatime", "ro,relatime"), ROOT.replace("rw,errors", "ro,errors")])
def test_read_only_for_the_mount_or_for_the_whole_filesystem(line: str) -> None:
    assert filesystem.parse(line)[0].readonly


def test_an_option_that_only_begins_with_ro_is_not_read_only() -> None:
    assert not filesystem.parse(ROOT.replace("relatime", "rootcontext=x"))[0].readonly


def test_a_line_without_its_separator_is_refused() -> None:
    with pytest.raises(MalformedError):
        filesystem.parse("27 1 259:1 / / rw")


def test_of_two_mounts_on_one_place_only_the_upper_one_is_reached(tmp_path: Path) -> None:
    table = f"{ROOT}31 27 8:1 / / rw - xfs /dev/sda1 rw\n"
    (usage,) = host(tmp_path, table).read()
    assert usage.mount.device == "/dev/sda1"


def test_node_exporters_exclusions_are_the_default(tmp_path: Path) -> None:
    table = ROOT + "".join(
        f"4{i} 27 0:{i} / {where} rw - {fstype} x rw\n"
        for i, (where, fstype) in enumerate(
            [("/proc", "proc"), ("/dev/shm", "tmpfs"), ("/var/lib/docker/overlay2/x", "ext4"), ("/snap/x", "squashfs")]  # noqa: S108
        )
    )
    assert mountpoints(host(tmp_path, table)) == ["/"]


def test_exclusions_can_be_changed(tmp_path: Path) -> None:
    table = f"{ROOT}41 27 0:1 / /data rw - xfs /dev/sdb rw\n"
    assert mountpoints(host(tmp_path, table, mounts_excluded="^/data")) == ["/"]


def test_without_sight_of_init_our_own_table_serves(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self/mountinfo").write_text(ROOT)
    kernel = Kernel(space=lambda _: Space(100, 50, 40, 10, 5))
    assert mountpoints(Filesystems(ProbeSettings(procfs=tmp_path, kernel=kernel))) == ["/"]


def test_in_a_container_the_hosts_root_is_asked_and_its_own_paths_are_shown(tmp_path: Path) -> None:
    asked: list[str] = []

    def space(path: str) -> Space:
        asked.append(path)
        return Space(1, 1, 1, 1, 1)

    table = f"{ROOT}41 27 0:1 / /host/data rw - xfs /dev/sdb rw\n42 27 0:1 / /srv rw - xfs /dev/sdc rw\n"
    filesystems = host(tmp_path, table, rootfs=Path("/host"), kernel=Kernel(space=space))
    assert mountpoints(filesystems) == ["/", "/data", "/srv"]
    assert sorted(asked) == ["/host/", "/host/data", "/host/srv"]


def test_a_filesystem_in_error_says_why_and_shows_no_size() -> None:
    usage = Usage(Mount("srv:/home", "/home", "nfs4", readonly=False), "stale file handle")
    shown = {s.family.name: (dict(s.labels)["device_error"], s.value) for s in filesystem.samples((usage,))}
    assert shown == {
        "node_filesystem_device_error": ("stale file handle", 1),
        "node_filesystem_readonly": ("stale file handle", 0),
    }


def test_where_nobody_counts_files_none_are_shown() -> None:
    usage = Usage(Mount("C:", "C:\\", "NTFS", readonly=False), Space(3, 2, 1, None, None))
    assert "node_filesystem_files" not in {s.family.name for s in filesystem.samples((usage,))}


def test_a_mount_that_vanished_meanwhile_costs_the_others_nothing(tmp_path: Path) -> None:
    def space(path: str) -> Space:
        if path == "/gone":
            raise OSError(errno.ENOENT, "No such file or directory")
        return Space(1, 1, 1, 1, 1)

    table = f"{ROOT}41 27 0:1 / /gone rw - xfs /dev/sdb rw\n"
    answers = {u.mount.mountpoint: u.answer for u in host(tmp_path, table, kernel=Kernel(space=space)).read()}
    assert answers == {"/": Space(1, 1, 1, 1, 1), "/gone": "no such file or directory"}
