"""The demonstration from outside: it tells its story, and whatever happens nothing of it stays."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
Demo = subprocess.Popen[str]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., Demo]]:
    """A function that starts a demonstration whose temporary directory is in `tmp_path`."""
    started: list[Demo] = []

    def start(*words: str, **more: str) -> Demo:
        environ = {**os.environ, "TMPDIR": str(tmp_path), **more}
        command = [str(BIN / "czuwak"), "demo", "--no-browser", *words]
        # With its errors: what it shows is of one shape, whoever of its parts speaks.
        started.append(
            subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        )
        return started[-1]

    yield start
    for process in started:
        process.terminate()
        process.wait(60)
        assert process.stdout is not None
        process.stdout.close()


def line_of(demo: Demo, step: str) -> str:
    assert demo.stdout is not None
    told = []
    for line in demo.stdout:
        if step in line:
            return line
        told.append(line)
    raise AssertionError("".join(told))


def descendants(pid: int) -> list[int]:
    """Every process below this one, in whatever session."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []
    return [each for child in children for each in (child, *descendants(child))]


def living_in(folder: Path) -> set[int]:
    """Every process that was started with its temporary directory here, whether we ever saw it begin or not."""
    found = set()
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"TMPDIR={folder}".encode() in environ.read_bytes().split(b"\0"):
                found.add(int(environ.parent.name))
    return found


def test_two_demonstrations_at_once_each_open_their_one_ticket_and_leave_nothing(
    begin: Callable[..., Demo], tmp_path: Path
) -> None:
    # A proxy and somebody's collector in the environment must not reach into it.
    strange = {"http_proxy": "http://127.0.0.1:9", "CZUWAK_WEB_LISTEN": "127.0.0.1:1", "CZUWAK_LOG": "ERROR"}
    unattended, shown = begin("--once", **strange), begin()
    steps = [json.loads(line) for line in unattended.communicate(timeout=150)[0].splitlines()]
    assert unattended.returncode == 0, steps
    opened = next(step for step in steps if step["step"] == "ticket opened")
    assert opened["seconds"] < 60
    assert "czuwak-demo-worker-" in opened["title"]
    assert steps[-1] == {"step": "done", "seconds": steps[-1]["seconds"], "tickets": 1}

    assert opened["title"] not in line_of(shown, "ticket opened")
    assert "tickets: 1" in line_of(shown, "done")
    login = line_of(shown, "/login/once/").split()[1]
    with urllib.request.build_opener(urllib.request.HTTPCookieProcessor()).open(login, timeout=10) as page:
        assert "czuwak-demo-worker-" in page.read().decode()
    shown.send_signal(signal.SIGINT)  # the ordinary end
    assert shown.wait(60) == 0
    assert list(tmp_path.iterdir()) == []


def test_presence_is_told_as_it_is_and_leaves_nothing(begin: Callable[..., Demo], tmp_path: Path) -> None:
    demo = begin("--once", "--scenario", "presence")
    steps = [json.loads(line) for line in demo.communicate(timeout=300)[0].splitlines()]
    assert demo.returncode == 0, steps
    told = [step["step"] for step in steps]
    assert told.count("no ticket") == 2
    assert told.index("agent killed") < told.index("ticket opened") < told.index("agent stopped in order")
    assert "ticket closed: planned, late notice" in told
    assert steps[told.index("times are shortened")]["instead_of"] == 90
    assert (steps[-1]["step"], steps[-1]["tickets"]) == ("done", 1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("step", "pause", "number"),
    [
        ("collector prepared", 0.0, signal.SIGTERM),
        ("collector prepared", 0.7, signal.SIGINT),
        ("collector ready", 0.2, signal.SIGINT),
        ("watched process killed", 0.0, signal.SIGTERM),
    ],
)
def test_a_signal_at_any_moment_leaves_no_process_and_no_directory(
    begin: Callable[..., Demo], tmp_path: Path, step: str, pause: float, number: signal.Signals
) -> None:
    demo = begin("--once")
    line_of(demo, step)
    time.sleep(pause)
    below = descendants(demo.pid)
    assert demo.pid in living_in(tmp_path)  # the first of its children may not be born yet
    demo.send_signal(number)
    demo.send_signal(signal.SIGTERM)  # impatience while it cleans up cuts nothing short
    assert demo.wait(60) == 1
    assert [pid for pid in below if Path(f"/proc/{pid}").exists()] == []
    assert living_in(tmp_path) == set()
    assert list(tmp_path.iterdir()) == []


def test_a_demonstration_that_is_killed_takes_its_children_along(begin: Callable[..., Demo], tmp_path: Path) -> None:
    demo = begin("--once")
    line_of(demo, "watched process killed")
    demo.kill()
    deadline = time.monotonic() + 30
    while living_in(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert living_in(tmp_path) == set()
