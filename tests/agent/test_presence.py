import socket
from pathlib import Path

import pytest

from agent import presence
from czuwak.v1 import ingest_pb2 as pb

REBOOT = pb.Absence(reason=pb.GOING_AWAY_REASON_REBOOT, wall_ns=17, boot_id="boot", clean=True)


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_an_absence_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    presence.write_absence(tmp_path / "state", REBOOT)
    assert presence.read_absence(tmp_path / "state") == REBOOT


def test_a_cleared_record_is_gone(tmp_path: Path) -> None:
    presence.write_absence(tmp_path, REBOOT)
    presence.clear_absence(tmp_path)
    presence.clear_absence(tmp_path)
    assert presence.read_absence(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"reason": "NONE", "wall_ns": 1, "boot_id": "b", "clean": true}', '{"reason": 1}']
)
def test_a_record_that_cannot_be_read_is_no_reason_not_to_start(tmp_path: Path, content: str) -> None:
    put(tmp_path / "absence.json", content)
    assert presence.read_absence(tmp_path) is None


@pytest.mark.parametrize(
    ("jobs", "reason"),
    [
        ("123 reboot.target start waiting\n1 x.service stop running", pb.GOING_AWAY_REASON_REBOOT),
        ("9 poweroff.target start waiting", pb.GOING_AWAY_REASON_SHUTDOWN),
        ("7 czuwak-agent.service stop running", pb.GOING_AWAY_REASON_AGENT_STOP),
        ("", pb.GOING_AWAY_REASON_AGENT_STOP),
    ],
)
def test_the_jobs_of_systemd_tell_why_the_agent_stops(jobs: str, reason: int) -> None:
    assert presence.reason_in_jobs(jobs) == reason


def test_without_systemd_the_agent_just_stops() -> None:
    assert presence.leaving_reason({}) == pb.GOING_AWAY_REASON_AGENT_STOP


def test_the_fingerprint_is_of_machine_and_board_and_salted(tmp_path: Path) -> None:
    put(tmp_path / "etc/machine-id", "abc\n")
    alone = presence.machine_fingerprint(tmp_path / "etc", tmp_path / "sys")
    put(tmp_path / "sys/class/dmi/id/board_serial", "S1\n")
    both = presence.machine_fingerprint(tmp_path / "etc", tmp_path / "sys")
    assert len(alone) == len(both) == 64
    assert alone != both
    assert "abc" not in alone
    assert presence.machine_fingerprint(tmp_path / "etc", tmp_path / "sys") == both


def test_the_fingerprint_is_the_same_for_root_and_for_the_agents_own_user(tmp_path: Path) -> None:
    put(tmp_path / "etc/machine-id", "abc\n")
    alone = presence.machine_fingerprint(tmp_path / "etc", tmp_path / "sys")
    serial = tmp_path / "sys/class/dmi/id/board_serial"
    put(serial, "S1\n")
    serial.chmod(0o400)
    assert presence.machine_fingerprint(tmp_path / "etc", tmp_path / "sys") == alone


def test_a_machine_without_any_identifier_has_no_fingerprint(tmp_path: Path) -> None:
    assert presence.machine_fingerprint(tmp_path, tmp_path) == ""


@pytest.mark.parametrize(
    ("number", "battery", "kind"),
    [
        ("3", False, "desktop"),
        ("10", False, "laptop"),
        ("23", False, "server"),
        ("1", True, "laptop"),
        ("1", False, "server"),
        ("²", False, "server"),
        ("", True, "laptop"),
    ],
)
def test_the_chassis_tells_what_kind_of_computer_it_is(tmp_path: Path, number: str, battery: bool, kind: str) -> None:
    put(tmp_path / "class/dmi/id/chassis_type", number + "\n")
    if battery:
        put(tmp_path / "class/power_supply/BAT0/type", "Battery\n")
    assert presence.chassis(tmp_path) == kind


def test_the_battery_of_a_mouse_makes_no_laptop(tmp_path: Path) -> None:
    put(tmp_path / "class/power_supply/hid/type", "Battery\n")
    put(tmp_path / "class/power_supply/hid/scope", "Device\n")
    assert presence.chassis(tmp_path) == "server"


def test_the_boot_id_is_the_kernels() -> None:
    assert presence.boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert presence.boot_id(Path("/nowhere")) == ""


def test_the_facts_are_of_this_machine() -> None:
    facts = presence.host_facts()
    assert facts.hostname == socket.gethostname()
    assert facts.cpu_count > 0
    assert facts.memory_bytes > 0
    assert facts.boot_time_seconds > 0
    assert facts.chassis in {"server", "desktop", "laptop"}
    assert not any(address.startswith("127.") for address in facts.addresses)
