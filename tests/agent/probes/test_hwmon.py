from pathlib import Path

import pytest

from agent.probes import hwmon
from agent.probes.errors import NoDataError


def chip(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(f"{text}\n")
    return folder


def shown(sysfs: Path) -> dict[str, float]:
    return {
        s.family.name + "".join(f" {value}" for _, value in s.labels): s.value for s in hwmon.samples(hwmon.read(sysfs))
    }


def test_a_host_without_thermometers_has_no_data(tmp_path: Path) -> None:
    chip(tmp_path / "class/hwmon/hwmon0", name="ucsi", in0_input="5000")
    with pytest.raises(NoDataError):
        hwmon.read(tmp_path)
    with pytest.raises(NoDataError):
        hwmon.read(tmp_path / "absent")


def test_degrees_limits_and_alarm(tmp_path: Path) -> None:
    chip(
        tmp_path / "class/hwmon/hwmon0",
        name="k10temp",
        temp1_input="61250",
        temp1_max="70000",
        temp1_crit="90000",
        temp1_alarm="1",
        temp1_label="Tctl",
    )
    assert shown(tmp_path) == {
        "node_hwmon_chip_names k10temp k10temp": 1,
        "node_hwmon_temp_celsius k10temp temp1": 61.25,
        "node_hwmon_temp_max_celsius k10temp temp1": 70,
        "node_hwmon_temp_crit_celsius k10temp temp1": 90,
        "node_hwmon_temp_alarm k10temp temp1": 1,
        "node_hwmon_sensor_label k10temp Tctl temp1": 1,
    }


def test_a_chip_is_named_by_the_place_of_its_device(tmp_path: Path) -> None:
    device = chip(tmp_path / "devices/platform/coretemp.0")
    own = chip(tmp_path / "class/hwmon/hwmon7", name="coretemp", temp2_input="40000")
    (own / "device").symlink_to(device)
    assert hwmon.read(tmp_path)[0].chip == "platform_coretemp_0"


def test_files_of_an_old_driver_lie_with_its_device(tmp_path: Path) -> None:
    device = chip(tmp_path / "devices/isa/w83627.656", temp3_input="30000")
    own = chip(tmp_path / "class/hwmon/hwmon0")
    (own / "device").symlink_to(device)
    assert shown(tmp_path) == {"node_hwmon_temp_celsius isa_w83627_656 temp3": 30}


def test_a_sensor_that_gives_no_number_is_left_out(tmp_path: Path) -> None:
    chip(tmp_path / "class/hwmon/hwmon0", temp1_input="N/A", temp2_input="20000")
    assert shown(tmp_path) == {"node_hwmon_temp_celsius hwmon0 temp2": 20}
