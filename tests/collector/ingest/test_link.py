"""A link whose agent does not read: noticed by the events of each second, without a timer for each answer."""

import asyncio
from typing import Any

from collector.ingest.events import Close, Opened, Revoked, Terms
from collector.ingest.link import Hooks, Link
from collector.ingest.peer import Peer
from collector.ingest.session import begin
from czuwak.v1 import ingest_pb2 as pb
from tests.collector.ingest.talk import NOW, Wire, said


class Line:
    """A link in a world where time stands still; what is written to it is read once `reading` is set."""

    def __init__(self, wire: Wire) -> None:
        self.now = NOW
        self.reading, self.written = asyncio.Event(), asyncio.Event()
        nothing: dict[str, Any] = dict.fromkeys(Hooks.__slots__, lambda *_: None)
        hooks = nothing | {"now": lambda: self.now, "open": self.open}
        self.link = Link(Peer("agent-1", "01"), begin(wire.identity, Terms(), NOW), Hooks(**hooks))
        self.end = asyncio.create_task(self.link.run(self.read, self.write))

    async def over_after(self, seconds: float) -> bool:
        """Whether so much more silence ends it."""
        self.now += seconds
        self.link.tick(self.now)
        await asyncio.sleep(0.01)
        return self.end.done()

    async def open(self, link: Link, _: pb.Hello) -> None:
        link.feed(Opened(1))

    async def read(self) -> object:
        return await asyncio.Event().wait()

    async def write(self, _: pb.StreamResponse) -> None:
        self.written.set()
        await self.reading.wait()


def test_who_reads_nothing_for_half_a_minute_is_cut(wire: Wire) -> None:
    async def scene() -> None:
        line = Line(wire)
        line.link.feed(Revoked("Gone."))  # told, then closed
        await line.written.wait()
        line.now += 31
        line.link.tick(line.now)
        line.link.tick(line.now)  # once more before it has ended
        assert await line.end == Close("DEADLINE_EXCEEDED", "Nothing was read for 30 s.")
        line.link.tick(line.now)

    asyncio.run(scene())


def test_a_slow_reader_is_waited_for(wire: Wire) -> None:
    async def scene() -> None:
        line = Line(wire)
        line.link.feed(Revoked("Gone."))
        await line.written.wait()
        line.now += 29
        line.link.tick(line.now)
        line.reading.set()
        assert await line.end == Close("PERMISSION_DENIED", "Gone.")

    asyncio.run(scene())


def test_nothing_to_say_for_half_a_minute_is_no_reason(wire: Wire) -> None:
    async def scene() -> None:
        line = Line(wire)
        line.reading.set()
        line.link.feed(said(wire.hello()))  # welcomed
        await line.written.wait()
        await asyncio.sleep(0)
        line.now += 31
        line.link.tick(line.now)
        line.link.feed(Revoked("Gone."))
        assert await line.end == Close("PERMISSION_DENIED", "Gone.")

    asyncio.run(scene())


def test_who_never_says_hello_is_cut(wire: Wire) -> None:
    async def scene() -> None:
        line = Line(wire)
        await asyncio.sleep(0)
        assert [await line.over_after(4.9), await line.over_after(0.1)] == [False, True]
        assert await line.end == Close("DEADLINE_EXCEEDED", "No Hello within 5 s.")

    asyncio.run(scene())


def test_who_says_nothing_any_more_is_cut(wire: Wire) -> None:
    async def scene() -> None:
        line = Line(wire)
        line.reading.set()
        line.link.feed(said(wire.hello()))
        await line.written.wait()
        assert [await line.over_after(119), await line.over_after(1)] == [False, True]
        assert await line.end == Close("DEADLINE_EXCEEDED", "Nothing was said for 120 s.")

    asyncio.run(scene())
