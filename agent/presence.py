"""Who this machine is and why it leaves: the absence record, boot and machine identifiers, facts for people.

The record is on disk before a goodbye is tried, so that a goodbye nobody heard is still explained at the next Hello.
"""

import hashlib
import platform
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec
import psutil

from agent import files
from czuwak.v1 import ingest_pb2 as pb

ABSENCE_FILE = "absence.json"
_SALT = b"czuwak machine fingerprint 1"
# SMBIOS 7.4.1: portable, laptop, notebook, hand held, sub notebook, tablet, convertible, detachable.
_LAPTOPS = {8, 9, 10, 11, 14, 30, 31, 32}
# Main server chassis, rack mount, multi-system, blade, blade enclosure.
_SERVERS = {17, 23, 25, 28, 29}
_DESKTOPS = {3, 4, 5, 6, 7, 13, 15, 16, 24, 33, 34, 35, 36}
_LEAVING = {
    "reboot.target": pb.GOING_AWAY_REASON_REBOOT,
    "kexec.target": pb.GOING_AWAY_REASON_REBOOT,
    "poweroff.target": pb.GOING_AWAY_REASON_SHUTDOWN,
    "halt.target": pb.GOING_AWAY_REASON_SHUTDOWN,
}
_AGENT_ALONE = {pb.GOING_AWAY_REASON_AGENT_STOP, pb.GOING_AWAY_REASON_AGENT_UPGRADE}


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reason: str
    wall_ns: int
    boot_id: str
    clean: bool
    expected_back: int = 0


def write_absence(state_dir: Path, absence: pb.Absence) -> None:
    """Put the record on disk, synced. Raises OSError.

    A stop of the agent alone does not replace an earlier boot's record that nobody has been told yet: without that one
    the collector would take the boot in between for a crash.
    """
    before = read_absence(state_dir)
    told = before is None or before.boot_id == absence.boot_id
    if not told and absence.reason in _AGENT_ALONE:
        return
    reason = pb.GoingAwayReason.Name(absence.reason)
    record = _Record(reason, absence.wall_ns, absence.boot_id, absence.clean, absence.expected_back_seconds)
    files.write(state_dir / ABSENCE_FILE, msgspec.json.encode(record))


def read_absence(state_dir: Path) -> pb.Absence | None:
    """The record of the last absence; None without one or when it cannot be read, which is no reason not to start."""
    try:
        record = msgspec.json.decode((state_dir / ABSENCE_FILE).read_bytes(), type=_Record)
        reason = pb.GoingAwayReason.Value(record.reason)
        return pb.Absence(
            reason=reason,
            wall_ns=record.wall_ns,
            boot_id=record.boot_id,
            clean=record.clean,
            expected_back_seconds=record.expected_back,
        )
    except (OSError, ValueError):
        return None


def clear_absence(state_dir: Path) -> None:
    """Forget the record: the collector has been told. Raises OSError."""
    files.remove(state_dir / ABSENCE_FILE)


def leaving_reason(environment: Mapping[str, str]) -> pb.GoingAwayReason.ValueType:
    """Why the agent is being stopped: the machine goes down, or only the agent does. Asks systemd for <= 0.5 s."""
    systemctl = shutil.which("systemctl")
    # Only a process that systemd itself started is stopped by a shutdown in a way that is worth asking about.
    if "INVOCATION_ID" not in environment or systemctl is None:
        return pb.GOING_AWAY_REASON_AGENT_STOP
    try:
        asked = subprocess.run(  # noqa: S603 - a fixed program with fixed arguments
            [systemctl, "list-jobs", "--no-legend", "--plain"], capture_output=True, text=True, timeout=0.5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return pb.GOING_AWAY_REASON_AGENT_STOP
    return reason_in_jobs(asked.stdout)


def reason_in_jobs(jobs: str) -> pb.GoingAwayReason.ValueType:
    """The reason that systemd's list of jobs shows; AGENT_STOP when it shows none."""
    words = {word for line in jobs.splitlines() for word in line.split()}
    return next((reason for target, reason in _LEAVING.items() if target in words), pb.GOING_AWAY_REASON_AGENT_STOP)


def boot_id(procfs: Path = Path("/proc")) -> str:
    """The kernel's identifier of this boot; empty where there is none."""
    return _text(procfs / "sys/kernel/random/boot_id")


def boottime_ns() -> int:
    """The clock that neither stops in sleep nor steps."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def suspended_ns() -> int:
    """How long this boot has slept: the clock that goes on in sleep minus the one that stops."""
    return max(0, time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.clock_gettime_ns(time.CLOCK_MONOTONIC))


def machine_fingerprint(etc: Path = Path("/etc"), sysfs: Path = Path("/sys")) -> str:
    """64 hex digits, salted: the machine id and, where everybody may read it, the board's serial; empty without both.

    What only root may read is left out: enrolled by root and run by its own user, the agent must be the same machine.
    """
    identifiers = [_text(etc / "machine-id"), _public_text(sysfs / "class/dmi/id/board_serial")]
    if not any(identifiers):
        return ""
    return hashlib.sha256(b"\0".join([_SALT, *(each.encode() for each in identifiers)])).hexdigest()


def host_facts(procfs: Path = Path("/proc"), sysfs: Path = Path("/sys")) -> pb.HostFacts:
    """What people want to know of the host. Reads it now; nothing in here is trusted by anyone."""
    release = _release()
    return pb.HostFacts(
        hostname=socket.gethostname(),
        os=release.get("NAME", platform.system()),
        os_version=release.get("VERSION_ID", ""),
        kernel=platform.release(),
        architecture=platform.machine(),
        cpu_model=_cpu_model(procfs),
        cpu_count=psutil.cpu_count() or 0,
        memory_bytes=psutil.virtual_memory().total,
        boot_time_seconds=psutil.boot_time(),
        chassis=chassis(sysfs),
        addresses=_addresses(),
    )


def chassis(sysfs: Path = Path("/sys")) -> str:
    """server, desktop or laptop, by the firmware's chassis type and, where that says nothing, by a battery."""
    number = _text(sysfs / "class/dmi/id/chassis_type")
    kind = int(number) if number.isascii() and number.isdigit() else 0
    for name, kinds in (("laptop", _LAPTOPS), ("server", _SERVERS), ("desktop", _DESKTOPS)):
        if kind in kinds:
            return name
    return "laptop" if _has_battery(sysfs) else "server"


def _has_battery(sysfs: Path) -> bool:
    supplies = (sysfs / "class/power_supply").glob("*")
    # A wireless mouse has a battery too; its scope is its own device.
    return any(_text(each / "type") == "Battery" and _text(each / "scope") != "Device" for each in supplies)


def _release() -> Mapping[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


def _cpu_model(procfs: Path) -> str:
    for line in _text(procfs / "cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor()


def _addresses() -> list[str]:
    families = (socket.AF_INET, socket.AF_INET6)
    found = {a.address for each in psutil.net_if_addrs().values() for a in each if a.family in families}
    return sorted(address for address in found if not address.startswith(("127.", "::1", "fe80:")))


def _public_text(path: Path) -> str:
    try:
        return _text(path) if path.stat().st_mode & stat.S_IROTH else ""
    except OSError:
        return ""


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
