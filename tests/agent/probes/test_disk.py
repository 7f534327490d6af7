import pytest

from agent.probes import disk
from agent.probes.errors import MalformedError
from agent.probes.probe import DISKS_EXCLUDED, excluder

LINE = " 259 0 nvme0n1 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17"


def values(line: str) -> dict[str, float]:
    return {s.family.name.removeprefix("node_disk_"): s.value for s in disk.samples(disk.parse(line))}


def test_all_seventeen_columns_in_base_units() -> None:
    assert values(LINE) == {
        "reads_completed_total": 1,
        "reads_merged_total": 2,
        "read_bytes_total": 3 * 512,
        "read_time_seconds_total": 0.004,
        "writes_completed_total": 5,
        "writes_merged_total": 6,
        "written_bytes_total": 7 * 512,
        "write_time_seconds_total": 0.008,
        "io_now": 9,
        "io_time_seconds_total": 0.01,
        "io_time_weighted_seconds_total": 0.011,
        "discards_completed_total": 12,
        "discards_merged_total": 13,
        "discarded_sectors_total": 14,
        "discard_time_seconds_total": 0.015,
        "flush_requests_total": 16,
        "flush_requests_time_seconds_total": 0.017,
    }


def test_an_old_kernels_eleven_columns_are_enough() -> None:
    assert len(values("8 0 sda 1 2 3 4 5 6 7 8 9 10 11")) == 11


def test_columns_of_a_newer_kernel_are_not_looked_at() -> None:
    assert values(f"{LINE} 18 19") == values(LINE)


def test_a_short_line_is_refused() -> None:
    with pytest.raises(MalformedError):
        disk.parse("8 0 sda 1 2 3")


@pytest.mark.parametrize("device", ["loop0", "ram1", "zram0", "sda1", "nvme0n1p2", "fd0"])
def test_partitions_and_made_up_devices_are_left_out(device: str) -> None:
    assert excluder(DISKS_EXCLUDED)(device)


@pytest.mark.parametrize("device", ["sda", "nvme0n1", "dm-0", "md0"])
def test_whole_disks_are_not(device: str) -> None:
    assert not excluder(DISKS_EXCLUDED)(device)
