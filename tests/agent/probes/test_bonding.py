from pathlib import Path

import pytest

from agent.probes import bonding
from agent.probes.bonding import Bond
from agent.probes.errors import NoDataError


def bond(net: Path, slaves: str, **states: str) -> None:
    (net / "bond0/bonding").mkdir(parents=True)
    (net / "bonding_masters").write_text("bond0\n")
    (net / "bond0/bonding/slaves").write_text(f"{slaves}\n")
    for link, state in states.items():
        (net / "bond0" / link / "bonding_slave").mkdir(parents=True)
        (net / "bond0" / link / "bonding_slave/mii_status").write_text(f"{state}\n")


def test_those_that_carry_and_all(tmp_path: Path) -> None:
    bond(tmp_path / "class/net", "eth0 eth1 eth2", lower_eth0="up", slave_eth1="up", lower_eth2="down")
    reading = bonding.read(tmp_path)
    assert reading == (Bond("bond0", ("up", "up", "down")),)
    assert [(s.family.name, s.value) for s in bonding.samples(reading)] == [
        ("node_bonding_slaves", 3),
        ("node_bonding_active", 2),
    ]


def test_an_interface_that_is_taken_out_meanwhile_is_not_up(tmp_path: Path) -> None:
    bond(tmp_path / "class/net", "eth0")
    assert bonding.read(tmp_path) == (Bond("bond0", ("",)),)


@pytest.mark.parametrize("masters", ["", "eth0\n"])
def test_without_a_bond_there_is_no_data(tmp_path: Path, masters: str) -> None:
    with pytest.raises(NoDataError):
        bonding.read(tmp_path)
    (tmp_path / "class/net/eth0").mkdir(parents=True)
    (tmp_path / "class/net/bonding_masters").write_text(masters)
    with pytest.raises(NoDataError):
        bonding.read(tmp_path)
