"""Work on the database that comes in together goes in together: one transaction, and one wait for the disk, for many.

Lives in the event loop; the work itself is done wherever `run` does it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Generic, TypeVar

from collector.store.errors import StoreError

MOST = 64
PAUSE = 0.05  # seconds: one transaction costs as much as some of its questions, and nobody who asks notices so little

Asked = TypeVar("Asked")
Told = TypeVar("Told")


class Together(Generic[Asked, Told]):
    """`work` answers some questions in order in one transaction, or raises StoreError having done nothing.

    `alone`: where that happens, one of the questions may be to blame, so each is asked again by itself. Who asks after
    a calm is answered at once; who comes soon after others waits for the rest of the pause, for more of them.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Asked]], Sequence[Told]],
        run: Callable[[Callable[[], Sequence[Told]]], Awaitable[Sequence[Told]]],
        *,
        alone: bool = True,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._work = work
        self._run = run
        self._alone = alone
        self._now, self._sleep = now, sleep
        self._began = now() - PAUSE
        self._waiting: list[tuple[Asked, asyncio.Future[Told]]] = []
        self._passing: asyncio.Task[None] | None = None

    async def ask(self, one: Asked) -> Told:
        """The answer, found with those of everybody who asked meanwhile. Raises StoreError."""
        answer: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
        self._waiting.append((one, answer))
        if self._passing is None or self._passing.done():
            self._passing = asyncio.create_task(self._pass())
        return await answer

    async def _pass(self) -> None:
        while self._waiting:
            left = self._began + PAUSE - self._now()
            if left > 0 and len(self._waiting) < MOST:
                await self._sleep(left)
            self._began = self._now()
            # Who asked may have gone: a herd that has waited too long must not be served in vain.
            there = [one for one in self._waiting if not one[1].done()]
            batch, self._waiting = there[:MOST], there[MOST:]
            if batch and not await self._answer(batch, last=len(batch) == 1 or not self._alone):
                for one in batch:
                    await self._answer([one], last=True)

    async def _answer(self, batch: "Sequence[tuple[Asked, asyncio.Future[Told]]]", *, last: bool) -> bool:
        try:
            told = await self._run(partial(self._work, [one for one, _ in batch]))
        except StoreError as error:
            for _, answer in batch if last else ():
                if not answer.done():
                    answer.set_exception(error)
            return last
        for (_, answer), each in zip(batch, told, strict=True):
            if not answer.done():  # who asked may have gone
                answer.set_result(each)
        return True
