import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from collector import supervise

SUPERVISOR = """
import sys, json
from collector.supervise import supervise
sys.exit(supervise(json.loads(sys.argv[1]), reloading=("one",)))
"""


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


def test_a_hangup_reaches_only_the_parts_that_reload_and_kills_nobody(
    start: Callable[[str], "subprocess.Popen[str]"], tmp_path: Path
) -> None:
    def child(name: str) -> list[object]:
        code = (
            "import os, signal, time; "
            f"signal.signal(signal.SIGHUP, lambda *_: open('{tmp_path}/{name}.heard', 'a').write('x')); "
            f"open('{tmp_path}/{name}', 'w').write(str(os.getpid())); time.sleep(60); time.sleep(60)"
        )
        return [name, [sys.executable, "-c", code]]

    sleeper = ["three", [sys.executable, "-c", "import time; time.sleep(60)"]]  # as one that is still starting
    with start(json.dumps([child("one"), child("two"), sleeper])) as process:
        until(lambda: all((tmp_path / name).exists() for name in ("one", "two")))
        process.send_signal(signal.SIGHUP)
        until((tmp_path / "one.heard").exists)
        assert not (tmp_path / "two.heard").exists()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert process.stderr is not None
        assert "ended with code" not in process.stderr.read()


def test_a_child_starts_with_the_hangup_ignored(
    start: Callable[[str], "subprocess.Popen[str]"], tmp_path: Path
) -> None:
    file = tmp_path / "status"
    code = f"import time; open('{file}', 'w').write(open('/proc/self/status').read()); time.sleep(60)"
    with start(part(code)) as process:
        until(lambda: file.exists() and "SigIgn" in file.read_text())
        ignored = int(next(row.split()[1] for row in file.read_text().splitlines() if row.startswith("SigIgn")), 16)
        assert ignored >> (signal.SIGHUP - 1) & 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


@pytest.mark.parametrize(("supervisor", "code"), [("{parent}", 0), ("1", -signal.SIGTERM)])
def test_a_part_whose_supervisor_is_gone_ends_even_if_it_was_process_1(supervisor: str, code: int) -> None:
    environ = {**os.environ, supervise.SUPERVISOR: supervisor.format(parent=os.getpid())}
    words = [sys.executable, "-c", "from collector.supervise import die_with_parent; die_with_parent()"]
    assert subprocess.run(words, env=environ, check=False).returncode == code


def test_the_pauses_grow() -> None:
    assert list(supervise.PAUSES) == sorted(supervise.PAUSES)
