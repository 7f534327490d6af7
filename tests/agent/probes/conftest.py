"""The fake host that the page's tests read, and a kernel that always gives the same answers."""

from pathlib import Path

import pytest

from agent.probes import Kernel, ProbeSettings, WatchedProcess
from agent.probes.statvfs import Space
from agent.probes.timex import Clock

DATA = Path(__file__).resolve().parents[2] / "data"


@pytest.fixture
def data() -> Path:
    return DATA


@pytest.fixture
def settings() -> ProbeSettings:
    host = DATA / "host"
    return ProbeSettings(
        procfs=host / "proc",
        sysfs=host / "sys",
        rootfs=host / "root",
        processes=(
            WatchedProcess("postgres"),
            WatchedProcess("web", "gunicorn app"),
            WatchedProcess("backup", "~rsync$"),
        ),
        services=("nginx", "missing.service"),
        textfiles=host / "textfiles",
        kernel=Kernel(
            wall=lambda: 1795000600.25,
            space=_space,
            adjtimex=lambda: _CLOCK,
            machine=lambda: "x86_64",
            python=lambda: "3.11.2",
        ),
    )


def _space(path: str) -> Space:
    path = path.removeprefix(str(DATA / "host/root"))
    if path == "/net/home":
        raise OSError(116, "Stale file handle")
    return {"/": Space(5e11, 2e11, 1.8e11, 3e7, 2.9e7), "/srv/old": Space(1e12, 1e10, 1e10, 6e7, 5e7)}.get(
        path, Space(8e9, 0, 0, 0, 0)
    )


_CLOCK = Clock(
    state=0,
    fields={
        "offset": 250_000,
        "freq": 65_536_000,
        "maxerror": 120_500,
        "esterror": 300,
        "status": 0x2001,
        "constant": 7,
        "tick": 10_000,
        "ppsfreq": 0,
        "jitter": 0,
        "shift": 0,
        "stabil": 0,
        "jitcnt": 0,
        "calcnt": 0,
        "errcnt": 0,
        "stbcnt": 0,
        "tai": 37,
    },
)
