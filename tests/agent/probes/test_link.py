from pathlib import Path

import pytest

from agent.probes import link
from agent.probes.errors import NoDataError


def shown(numbers: dict[str, float], words: dict[str, str]) -> dict[str, float]:
    samples = link.samples((link.Link("eth0", numbers, words),))
    return {sample.family.name.removeprefix("node_network_"): sample.value for sample in samples}


def test_an_interface_that_is_up() -> None:
    numbers = {"carrier": 1.0, "carrier_changes": 2.0, "mtu": 1500.0, "speed": 1000.0, "tx_queue_len": 500.0}
    assert shown(numbers, {"operstate": "up", "flags": "0x1003"}) == {
        "carrier": 1,
        "carrier_changes_total": 2,
        "mtu_bytes": 1500,
        "transmit_queue_length": 500,
        "speed_bytes": 125_000_000,
        "up": 1,
        "info": 1,
    }


@pytest.mark.parametrize("speed", [{}, {"speed": -1.0}])
def test_a_speed_nobody_knows_is_absent(speed: dict[str, float]) -> None:
    assert "speed_bytes" not in shown(speed, {"operstate": "up"})


@pytest.mark.parametrize("state", ["down", "unknown", "dormant"])
def test_up_means_operational_not_merely_switched_on(state: str) -> None:
    assert shown({}, {"operstate": state, "flags": "0x1003"})["up"] == 0


def test_a_file_a_driver_refuses_to_give_is_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "class/net/eth0"
    folder.mkdir(parents=True)
    (folder / "mtu").write_text("1500\n")
    (folder / "carrier").mkdir()
    (tmp_path / "class/net/bonding_masters").write_text("")
    assert link.read(tmp_path, lambda _: False) == (link.Link("eth0", {"mtu": 1500.0}, {}),)


def test_a_host_without_sysfs_has_no_data(tmp_path: Path) -> None:
    with pytest.raises(NoDataError):
        link.read(tmp_path, lambda _: False)
