"""Where readers wait while the engine is full: one looks for all. Thousands that look themselves leave it no time."""

import asyncio
from collections.abc import Callable

PAUSE = 0.02  # seconds between two looks


class Room:
    """Owned by the event loop; `full` is another thread's and may change at any time."""

    def __init__(self, full: Callable[[], bool]) -> None:
        self._full = full
        self._look: asyncio.Task[None] | None = None

    async def wait(self) -> None:
        """Until there was room once: each that waited goes on, so the bound is passed by one message of each."""
        if not self._full():
            return
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self._freed())
        await asyncio.shield(self._look)

    async def _freed(self) -> None:
        while self._full():  # noqa: ASYNC110 - it is another thread's
            await asyncio.sleep(PAUSE)
