"""Readers that wait for room."""

import asyncio

from collector.ingest.room import Room


class Engine:
    """Full until it was looked at so often."""

    def __init__(self, looks: int) -> None:
        self.looks, self.left = 0, looks

    def full(self) -> bool:
        self.looks += 1
        return self.looks <= self.left


def test_one_looks_for_all_that_wait() -> None:
    engine = Engine(1010)
    room = Room(engine.full)

    async def scene() -> None:
        async with asyncio.TaskGroup() as waiting:
            for _ in range(1000):
                waiting.create_task(room.wait())

    asyncio.run(scene())
    assert engine.looks == 1011


def test_nobody_waits_while_there_is_room() -> None:
    engine = Engine(0)
    asyncio.run(Room(engine.full).wait())
    assert engine.looks == 1


def test_a_stream_that_ends_leaves_the_others_waiting() -> None:
    engine = Engine(5)
    room = Room(engine.full)

    async def scene() -> list[bool]:
        gone, stays = asyncio.create_task(room.wait()), asyncio.create_task(room.wait())
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait({gone, stays})
        return [gone.cancelled(), stays.cancelled()]

    assert asyncio.run(scene()) == [True, False]
    assert engine.looks == 6
