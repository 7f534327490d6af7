import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.probes import ProbeSettings, WatchedProcess, files, process
from agent.probes.errors import MalformedError, ProbeError
from agent.probes.process import Processes, ProcessTable

STAT = "{pid} ({name}) {state} 1 1 1 0 -1 0 0 0 0 0 {ticks} 0 0 0 20 0 1 0 {start} 1000 {pages} 0\n"


class Proc:
    """A process table in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.start(1, "systemd")

    def start(
        self, pid: int, name: str, *arguments: str, ticks: int = 0, pages: int = 1, state: str = "S", start: int = 1
    ) -> None:
        (self.folder / str(pid)).mkdir(exist_ok=True)
        stat = STAT.format(pid=pid, name=name, state=state, ticks=ticks, pages=pages, start=start)
        (self.folder / f"{pid}/stat").write_text(stat)
        (self.folder / f"{pid}/comm").write_text(f"{name[:15]}\n")
        (self.folder / f"{pid}/cmdline").write_text("".join(f"{argument}\0" for argument in arguments))

    def end(self, pid: int) -> None:
        for file in (self.folder / str(pid)).iterdir():
            file.unlink()
        (self.folder / str(pid)).rmdir()


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    return Proc(tmp_path)


def table(proc: Proc, *watched: WatchedProcess) -> ProcessTable:
    settings = ProbeSettings(procfs=proc.folder, processes=watched)
    kernel = replace(settings.kernel, ticks_per_second=100, page_bytes=4096)
    return ProcessTable(replace(settings, kernel=kernel))


def running(reading: Processes) -> dict[str, int]:
    return {watched.name: watched.running for watched in reading.watched}


def test_processes_are_counted_and_other_entries_are_not(proc: Proc) -> None:
    proc.start(20, "sshd")
    (proc.folder / "sys").mkdir()
    assert table(proc).read() == Processes(2, ())


def test_a_watched_process_that_is_absent_is_zero_not_missing(proc: Proc) -> None:
    reading = table(proc, WatchedProcess("nginx")).read()
    shown = {s.family.name: s.value for s in process.samples(reading) if s.labels == (("name", "nginx"),)}
    assert shown == {
        "czuwak_process_running": 0,
        "czuwak_process_cpu_seconds_total": 0,
        "czuwak_process_resident_bytes": 0,
    }


def test_all_processes_of_a_name_are_one_group(proc: Proc) -> None:
    proc.start(10, "nginx", ticks=150, pages=2)
    proc.start(11, "nginx", ticks=50, pages=3)
    (watched,) = table(proc, WatchedProcess("nginx")).read().watched
    assert (watched.running, watched.cpu_seconds, watched.resident_bytes) == (2, 2.0, 5 * 4096)


def test_a_process_that_ended_but_was_not_reaped_does_not_run(proc: Proc) -> None:
    proc.start(10, "nginx", state="Z")
    assert running(table(proc, WatchedProcess("nginx")).read()) == {"nginx": 0}


def test_it_goes_and_comes_back(proc: Proc) -> None:
    watching = table(proc, WatchedProcess("nginx"))
    proc.start(10, "nginx")
    seen = [running(watching.read())["nginx"]]
    proc.end(10)
    seen.append(running(watching.read())["nginx"])
    proc.start(12, "nginx", start=2)
    seen.append(running(watching.read())["nginx"])
    assert seen == [1, 0, 1]


def test_processor_time_never_falls_when_a_process_ends(proc: Proc) -> None:
    watching = table(proc, WatchedProcess("job"))
    proc.start(10, "job", ticks=500)
    proc.start(11, "job", ticks=100)
    before = watching.read().watched[0].cpu_seconds
    proc.end(10)
    proc.start(11, "job", ticks=130)
    proc.start(12, "job", ticks=20, start=9)
    assert (before, watching.read().watched[0].cpu_seconds) == (6.0, 6.5)


def test_a_young_process_that_becomes_another_program_is_found(proc: Proc) -> None:
    watching = table(proc, WatchedProcess("nginx"))
    proc.start(10, "sh")
    assert running(watching.read()) == {"nginx": 0}
    proc.start(10, "nginx")
    assert running(watching.read()) == {"nginx": 1}


def test_an_old_process_that_becomes_another_program_is_found_within_eight_rounds(proc: Proc) -> None:
    watching = table(proc, WatchedProcess("nginx"))
    proc.start(10, "sh")
    for _ in range(20):
        watching.read()
    proc.start(10, "nginx")
    assert [running(watching.read())["nginx"] for _ in range(8)][-1] == 1


def test_old_processes_are_not_read_at_every_round(proc: Proc, monkeypatch: pytest.MonkeyPatch) -> None:
    for pid in range(100, 180):
        proc.start(pid, "sleep")
    watching = table(proc, WatchedProcess("nginx"))
    for _ in range(10):
        watching.read()
    opened: list[str] = []

    def spy(path: str) -> str:
        opened.append(path)
        return files.text(path)

    monkeypatch.setattr(process, "text", spy)
    watching.read()
    assert len(opened) == 80 // 8


def test_a_process_that_vanishes_while_it_is_read_is_passed_over(proc: Proc) -> None:
    proc.start(10, "nginx")
    (proc.folder / "10/stat").unlink()
    (proc.folder / "11").mkdir()
    assert running(table(proc, WatchedProcess("nginx")).read()) == {"nginx": 0}


def test_where_processes_are_hidden_a_watched_one_is_unknown_and_not_gone(
    proc: Proc, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: str) -> str:
        raise PermissionError

    watching = table(proc, WatchedProcess("nginx"))
    monkeypatch.setattr(process, "text", refused)
    with pytest.raises(ProbeError, match="hidepid"):
        watching.read()
    proc.end(1)
    with pytest.raises(ProbeError, match="hidepid"):
        watching.read()


def test_a_name_with_brackets_and_spaces_is_no_surprise() -> None:
    life = process.parse("7 (a) b (c) S 1 1 1 0 -1 0 0 0 0 0 300 100 0 0 20 0 1 0 42 1000 5 0", 100, 4096)
    assert life == process.Life(42, 4.0, 5 * 4096, alive=True)


def test_a_short_line_is_refused() -> None:
    with pytest.raises(MalformedError):
        process.parse("7 (a) S 1 1", 100, 4096)


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()", "czuwak-watched-by-a-test"]
    started = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert started.stdout is not None
    started.stdout.read(1)
    yield started
    started.kill()
    started.communicate()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_real_child_is_seen_to_die(child: subprocess.Popen[bytes]) -> None:
    watching = ProcessTable(ProbeSettings(processes=(WatchedProcess("child", "czuwak-watched-by-a-test"),)))
    before = running(watching.read())["child"]
    child.kill()
    # Not reaped yet: it is still in /proc, and does not run.
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert (before, running(watching.read())["child"]) == (1, 0)


def test_psutil_finds_the_same_child(child: subprocess.Popen[bytes]) -> None:
    assert child.poll() is None
    read = process.reader_elsewhere(ProbeSettings(processes=(WatchedProcess("child", "czuwak-watched-by-a-test"),)))
    assert running(read()) == {"child": 1}
