from pathlib import Path

import pytest

from agent.probes import power
from agent.probes.errors import NoDataError


def supply(sysfs: Path, name: str, **files: str) -> None:
    folder = sysfs / "class/power_supply" / name
    folder.mkdir(parents=True)
    for file, text in files.items():
        (folder / file).write_text(f"{text}\n")


def shown(sysfs: Path) -> dict[str, float]:
    return {s.family.name.removeprefix("node_power_supply_"): s.value for s in power.samples(power.read(sysfs))}


def test_a_host_without_any_has_no_data(tmp_path: Path) -> None:
    with pytest.raises(NoDataError):
        power.read(tmp_path)
    (tmp_path / "class/power_supply").mkdir(parents=True)
    with pytest.raises(NoDataError):
        power.read(tmp_path)


def test_millionths_become_whole_units(tmp_path: Path) -> None:
    supply(tmp_path, "BAT0", capacity="81", energy_full="31200000", energy_full_design="57000000", cycle_count="512")
    assert shown(tmp_path) == {
        "capacity": 81,
        "cyclecount": 512,
        "energy_full": pytest.approx(31.2),
        "energy_full_design": pytest.approx(57),
        "info": 1,
    }


def test_a_battery_may_count_in_ampere_hours(tmp_path: Path) -> None:
    supply(tmp_path, "BAT1", charge_full="2000000", charge_full_design="4000000", status="Full", capacity="")
    assert shown(tmp_path) == {"charge_full": pytest.approx(2), "charge_full_design": pytest.approx(4), "info": 1}


def test_words_are_labels_and_empty_ones_are_left_out(tmp_path: Path) -> None:
    supply(tmp_path, "AC", type="Mains", online="1", model_name="")
    (info,) = [s for s in power.samples(power.read(tmp_path)) if s.family is power.INFO]
    assert info.labels == (("power_supply", "AC"), ("type", "Mains"))
