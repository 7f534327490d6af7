import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from collector import supervise

SUPERVISOR = "import sys, json; from collector.supervise import supervise; sys.exit(supervise(json.loads(sys.argv[1])))"


@pytest.fixture
def start() -> Callable[[str], "subprocess.Popen[str]"]:
    def run(parts: str) -> "subprocess.Popen[str]":
        return subprocess.Popen([sys.executable, "-c", SUPERVISOR, parts], stderr=subprocess.PIPE, text=True)

    return run


def part(code: str) -> str:
    return f'[["one", ["{sys.executable}", "-c", "{code}"]]]'


def until(seen: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not seen():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_part_that_cannot_start_ends_the_whole(start: Callable[[str], "subprocess.Popen[str]"]) -> None:
    with start(part("raise SystemExit(1)")) as process:
        assert process.wait(20) == 1


def test_sigterm_stops_every_part(start: Callable[[str], "subprocess.Popen[str]"], tmp_path: Path) -> None:
    file = tmp_path / "pid"
    code = f"import os, time; open('{file}', 'w').write(str(os.getpid())); time.sleep(60)"
    with start(part(code)) as process:
        until(lambda: file.exists() and file.read_text() != "")
        child = int(file.read_text())
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_a_killed_part_comes_back(start: Callable[[str], "subprocess.Popen[str]"], tmp_path: Path) -> None:
    file = tmp_path / "pids"
    code = f"import os, time; open('{file}', 'a').write(str(os.getpid()) + ' '); time.sleep(60)"
    with start(part(code)) as process:
        until(lambda: file.exists() and file.read_text() != "")
        os.kill(int(file.read_text()), signal.SIGKILL)
        until(lambda: len(file.read_text().split()) == 2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_the_pauses_grow() -> None:
    assert list(supervise.PAUSES) == sorted(supervise.PAUSES)
