import asyncio
from collections.abc import Callable, Sequence

import pytest

from collector.ingest.together import MOST, PAUSE, Together
from collector.store.errors import StoreError


class Desk:
    """Doubles numbers; refuses a whole batch that has a negative one."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    def work(self, asked: Sequence[int]) -> list[int]:
        self.batches.append(list(asked))
        if min(asked) < 0:
            raise StoreError("negative")
        return [2 * one for one in asked]

    async def run(self, work: Callable[[], Sequence[int]]) -> Sequence[int]:
        await asyncio.sleep(0)
        return work()


def asked(desk: Desk, *numbers: int) -> list[int | BaseException]:
    async def scenario() -> list[int | BaseException]:
        together = Together(desk.work, desk.run)
        return await asyncio.gather(*(together.ask(n) for n in numbers), return_exceptions=True)

    return asyncio.run(scenario())


def test_who_asks_together_is_answered_together() -> None:
    desk = Desk()
    assert asked(desk, *range(MOST + 5)) == [2 * n for n in range(MOST + 5)]
    assert [len(batch) for batch in desk.batches] == [MOST, 5]


def test_who_asks_after_a_calm_is_answered_at_once_and_who_comes_soon_after_with_others() -> None:
    async def scenario() -> tuple[list[list[int]], list[float]]:
        desk, slept, at = Desk(), list[float](), [100.0]

        async def sleep(seconds: float) -> None:
            slept.append(seconds)
            await more.wait()

        together, more = Together(desk.work, desk.run, now=lambda: at[0], sleep=sleep), asyncio.Event()
        await together.ask(1)
        at[0] = 100.0 + PAUSE / 4
        second = asyncio.create_task(together.ask(2))
        while not slept:  # noqa: ASYNC110 - until it waits
            await asyncio.sleep(0)
        third = asyncio.create_task(together.ask(3))
        await asyncio.sleep(0)
        more.set()
        await asyncio.gather(second, third)
        return desk.batches, slept

    batches, slept = asyncio.run(scenario())
    assert batches == [[1], [2, 3]]
    assert slept == [pytest.approx(PAUSE * 3 / 4)]


def test_one_bad_question_fails_alone() -> None:
    desk = Desk()
    first, bad, last = asked(desk, 1, -1, 3)
    assert (first, last) == (2, 6)
    assert isinstance(bad, StoreError)
    assert desk.batches == [[1, -1, 3], [1], [-1], [3]]


def test_who_has_gone_does_not_disturb_the_others() -> None:
    async def scenario() -> int:
        desk = Desk()
        together = Together(desk.work, desk.run)
        gone, stays = asyncio.create_task(together.ask(1)), asyncio.create_task(together.ask(2))
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert await together.ask(5) == 10
        return await stays

    assert asyncio.run(scenario()) == 4


def test_who_has_gone_is_not_worked_for() -> None:
    async def scenario() -> list[list[int]]:
        desk = Desk()
        together = Together(desk.work, desk.run)
        gone, stays = (asyncio.create_task(together.ask(n)) for n in (1, 2))
        await asyncio.sleep(0)
        gone.cancel()
        await stays
        return desk.batches

    assert asyncio.run(scenario()) == [[2]]


def test_where_no_question_is_to_blame_all_hear_of_the_error_at_once() -> None:
    async def scenario() -> tuple[list[int | BaseException], list[list[int]]]:
        desk = Desk()
        together = Together(desk.work, desk.run, alone=False)
        return await asyncio.gather(*(together.ask(n) for n in (1, -1)), return_exceptions=True), desk.batches

    told, batches = asyncio.run(scenario())
    assert [type(each) for each in told] == [StoreError, StoreError]
    assert batches == [[1, -1]]
