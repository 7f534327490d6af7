import threading
from collections.abc import Iterator

import pytest

from agent.probes.statvfs import THREADS, WORKERS, Space, Statvfs, space

ROOM = Space(100, 50, 40, 10, 5)
TIMEOUT = "mountpoint timeout"


class Disks:
    """Filesystems of which the named ones do not answer until they are let go."""

    def __init__(self, *dead: str) -> None:
        self.dead = set(dead)
        self.let_go = threading.Event()
        self.entered: list[str] = []

    def space(self, path: str) -> Space:
        self.entered.append(path)
        if path in self.dead:
            self.let_go.wait(30)
        return ROOM


@pytest.fixture
def nfs() -> Iterator[Disks]:
    disks = Disks("/nfs")
    yield disks
    disks.let_go.set()


def test_a_dead_mount_does_not_hang_the_round(nfs: Disks) -> None:
    asked = Statvfs(nfs.space, 0.3).ask(["/nfs", "/", "/home"])
    assert asked == {"/nfs": TIMEOUT, "/": ROOM, "/home": ROOM}


def test_a_dead_mount_is_not_asked_again_and_costs_no_second_wait(nfs: Disks) -> None:
    statvfs = Statvfs(nfs.space, 0.3)
    statvfs.ask(["/nfs", "/"])
    assert statvfs.stuck() == {"/nfs"}
    # A wait of an hour here would be the test's end; there is nothing to wait for.
    statvfs._seconds = 3600
    assert statvfs.ask(["/nfs", "/"]) == {"/nfs": TIMEOUT, "/": ROOM}
    assert nfs.entered.count("/nfs") == 1


def test_a_mount_that_came_back_is_asked_again(nfs: Disks) -> None:
    statvfs = Statvfs(nfs.space, 0.3)
    statvfs.ask(["/nfs"])
    nfs.let_go.set()
    while statvfs.stuck():
        threading.Event().wait(0.01)
    assert statvfs.ask(["/nfs"]) == {"/nfs": ROOM}


def test_more_dead_mounts_than_workers_leave_the_living_one_an_answer() -> None:
    dead = [f"/nfs{i}" for i in range(WORKERS + 2)]
    disks = Disks(*dead)
    statvfs = Statvfs(disks.space, 0.4)
    try:
        # The first round may use up all workers on the dead, so the second or third must get through.
        answers = [statvfs.ask([*dead, "/"]) for _ in range(3)]
        assert answers[-1]["/"] == ROOM
        assert all(answer[mount] == TIMEOUT for answer in answers for mount in dead)
    finally:
        disks.let_go.set()


def test_threads_are_bounded_however_many_mounts_are_dead() -> None:
    dead = [f"/nfs{i}" for i in range(THREADS * 2)]
    disks = Disks(*dead)
    statvfs = Statvfs(disks.space, 0.3)
    try:
        for _ in range(6):
            statvfs.ask(dead)
        assert statvfs._threads <= THREADS
        assert len(statvfs.stuck()) <= THREADS
    finally:
        disks.let_go.set()


def test_healthy_mounts_need_one_thread() -> None:
    statvfs = Statvfs(lambda _: ROOM, 5)
    for _ in range(20):
        statvfs.ask(["/", "/home"])
    assert statvfs._threads == 1


def test_why_there_is_no_answer_is_told_in_the_systems_words() -> None:
    (answer,) = Statvfs(space, 5).ask(["/no/such/place"]).values()
    assert answer == "no such file or directory"


def test_a_name_no_system_call_takes_does_not_kill_the_worker() -> None:
    statvfs = Statvfs(space, 5)
    assert statvfs.ask(["/a\0b"]) == {"/a\0b": "embedded null byte"}
    assert isinstance(statvfs.ask(["/"])["/"], Space)


def test_nothing_asked_nothing_answered() -> None:
    assert Statvfs(lambda _: ROOM, 5).ask([]) == {}
