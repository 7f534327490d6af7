import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[2] / "agent/service/czuwak-agent.service"


@pytest.fixture
def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(UNIT)
    return parser


def test_the_unit_starts_the_agent_and_lets_it_say_when_it_is_ready(unit: configparser.ConfigParser) -> None:
    service = unit["Service"]
    assert service["ExecStart"] == "/usr/bin/czuwak-agent run --config /etc/czuwak/agent.toml"
    assert (service["Type"], service["Restart"]) == ("notify", "always")


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ("pre suspend", "goodbye --reason sleep"),
        ("pre hybrid-sleep", "goodbye --reason sleep"),
        ("pre hibernate", "goodbye --reason hibernate"),
        ("pre suspend-then-hibernate", "goodbye --reason hibernate"),
        ("post suspend", "resume"),
    ],
)
def test_the_sleep_hook_says_what_systemd_is_about_to_do(tmp_path: Path, words: str, asked: str) -> None:
    agent = tmp_path / "czuwak-agent"
    agent.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\nexit 1\n')
    agent.chmod(0o755)
    hook = UNIT.parent / "czuwak-agent-sleep"
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    assert subprocess.run(["/bin/sh", str(hook), *words.split()], env=environ, check=False).returncode == 0
    assert (tmp_path / "asked").read_text().strip() == asked


@pytest.mark.parametrize("hole", ["PrivateTmp", "ProtectProc", "ProcSubset", "ProtectClock", "WatchdogSec"])
def test_what_the_probes_need_stays_open(unit: configparser.ConfigParser, hole: str) -> None:
    assert hole not in unit["Service"]


def test_home_stays_readable(unit: configparser.ConfigParser) -> None:
    assert unit["Service"]["ProtectHome"] == "read-only"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing: install systemd")
def test_systemd_finds_the_unit_well_protected() -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=25", str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-200:]


def test_the_running_agent_does_without_what_only_enrolment_needs() -> None:
    code = "import agent.main, sys; print(*sorted({'cryptography', 'flask', 'numpy', 'sqlalchemy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
