"""The selector that gathers: what comes during the pause is served with what ended the wait."""

import asyncio
import selectors
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from collector.ingest.gathering import Gathering

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

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(Gathering())) as runner:
        assert [runner.run(hop()) for _ in range(3)] == [7, 7, 7]
