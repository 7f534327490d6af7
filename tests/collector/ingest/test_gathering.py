"""The selector that gathers: what comes during the pause is served with what ended the wait."""

import asyncio
import selectors
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import grpc
import pytest

from collector.ingest.gathering import Gathering, Loop, is_of_grpc

PAUSE = 0.5
Ready = list[tuple[selectors.SelectorKey, int]]


class World(selectors.DefaultSelector):
    """A socket that becomes readable once it is waited for, another one during a pause; a clock that pauses turn."""

    def __init__(self) -> None:
        super().__init__()
        self.at = 100.0
        self.pauses: list[float] = []
        self.waited, self.say_waited = socket.socketpair()
        self.paused, self.say_paused = socket.socketpair()
        for end in (self.waited, self.paused):
            self.register(end, selectors.EVENT_READ)

    def select(self, timeout: float | None = None) -> Ready:
        if timeout != 0:
            self.say_waited.send(b"x")
        return super().select(timeout)

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.at += seconds
        self.say_paused.send(b"x")


class Told(Gathering, World):
    """Gathers in that world."""

    def __init__(self) -> None:
        World.__init__(self)
        self._pause, self._now, self._sleep = PAUSE, lambda: self.at, self.pause
        self._woken = self.at - PAUSE

    def taken(self, timeout: float | None) -> set[object]:
        """The sockets it finds ready, read empty."""
        found: set[object] = {key.fileobj for key, _ in self.select(timeout)}
        for end in found:
            assert isinstance(end, socket.socket)
            end.recv(1)
        return found


@pytest.fixture
def told() -> Iterator[Told]:
    with ExitStack() as stack:
        made = stack.enter_context(Told())
        for end in (made.waited, made.say_waited, made.paused, made.say_paused):
            stack.enter_context(end)
        yield made


def test_after_a_calm_it_is_served_at_once(told: Told) -> None:
    assert told.taken(5.0) == {told.waited}
    assert told.pauses == []


def test_a_wake_up_soon_after_another_takes_along_what_comes_meanwhile(told: Told) -> None:
    told.taken(5.0)
    told.at += 0.2
    assert told.taken(5.0) == {told.waited, told.paused}
    assert told.pauses == [pytest.approx(0.3)]


def test_what_is_ready_already_waits_for_nothing(told: Told) -> None:
    told.taken(5.0)
    told.say_paused.send(b"x")
    assert told.taken(5.0) == {told.paused}
    assert told.taken(0) == set()
    assert told.pauses == []


def test_a_loop_runs_on_it() -> None:
    async def hop() -> int:
        return await asyncio.to_thread(lambda: 7)

    with asyncio.Runner(loop_factory=Loop) as runner:
        assert [runner.run(hop()) for _ in range(3)] == [7, 7, 7]


class PollerCompletionQueue:
    """Wakes as gRPC's class of that name does: a byte an event, one byte read at a wake-up."""

    def __init__(self) -> None:
        self.read, self.write = socket.socketpair()
        self.woken = 0

    def handle(self, *_: object) -> None:
        self.read.recv(1)
        self.woken += 1


def test_many_bytes_of_grpc_wake_it_once() -> None:
    queue = PollerCompletionQueue()

    async def wake(count: int) -> int:
        asyncio.get_running_loop().add_reader(queue.read, partial(queue.handle, "loop"))
        queue.write.send(b"1" * count)
        for _ in range(count + 2):  # as often as it asks what is ready
            await asyncio.sleep(0)
        return queue.woken

    with queue.read, queue.write, asyncio.Runner(loop_factory=Loop) as runner:
        assert runner.run(wake(5)) == 1
        assert runner.run(wake(1)) == 2


def test_grpc_wakes_it_in_that_way() -> None:
    told: list[tuple[object, Callable[..., Any]]] = []

    class Asked(Loop):
        def add_reader(self, fd: Any, callback: Callable[..., Any], *args: Any) -> None:  # type: ignore[override]
            told.append((fd, callback))
            super().add_reader(fd, callback, *args)

    async def connect() -> None:
        async with grpc.aio.insecure_channel("127.0.0.1:1"):
            pass

    with asyncio.Runner(loop_factory=Asked) as runner:
        runner.run(connect())
    ((end, callback),) = told
    assert isinstance(end, socket.socket)
    assert is_of_grpc(callback)
