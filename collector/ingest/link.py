"""One agent's stream while it lives: reads for the session, carries out its actions, writes its answers."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import grpc

from collector.ingest.events import (
    Action,
    Append,
    Beat,
    Close,
    Counted,
    Event,
    Goodbye,
    Limited,
    Lost,
    OpenSession,
    Said,
    Send,
    Ticked,
)
from collector.ingest.peer import Peer
from collector.ingest.session import Session, step
from czuwak.v1 import ingest_pb2 as pb

_MAX_OUTBOX = 256  # answers an agent has not read, before we stop reading it
_WRITE_SECONDS = 30.0
_NEVER = float("inf")
_PAUSE = 0.02

log = logging.getLogger(__name__)
Read = Callable[[], Awaitable[pb.StreamRequest | object]]  # gRPC's own mark is the end
Write = Callable[[pb.StreamResponse], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the service does for its links; all run in the event loop and only `room` and `open` wait."""

    now: Callable[[], float]
    room: Callable[[], Awaitable[None]]
    open: Callable[["Link", pb.Hello], Awaitable[None]]
    append: Callable[["Link", Append], None]
    beat: Callable[["Link", Beat], None]
    lost: Callable[["Link", Lost], None]
    limited: Callable[["Link", Limited], None]
    goodbye: Callable[["Link", Goodbye], None]
    count: Callable[["Link", Counted], None]


class Link:
    """Runs in the event loop. `feed` may be called by anyone there; what it causes is written in order."""

    def __init__(self, peer: Peer, session: Session, hooks: Hooks) -> None:
        self.peer = peer
        self.session = session
        self.taken = 0  # bytes it said since somebody looked last
        self._hooks = hooks
        # An `asyncio.Queue` keeps four of them, 3 KiB for each agent.
        self._outbox: deque[Action] = deque()
        self._woken: asyncio.Future[None] | None = None
        self._patience = asyncio.timeout(None)
        self._writing = _NEVER  # since when a write has not ended

    def feed(self, event: Event) -> None:
        """One step of the session; quick actions are done now, those that wait are queued."""
        now = self._hooks.now()
        self.session, actions = step(self.session, event, now)
        for action in actions:
            match action:
                case Append():
                    self._hooks.append(self, action)
                case Beat():
                    self._hooks.beat(self, action)
                case Lost():
                    self._hooks.lost(self, action)
                case Limited():
                    self._hooks.limited(self, action)
                case Goodbye():
                    self._hooks.goodbye(self, action)
                case Counted():
                    self._hooks.count(self, action)
                case _:
                    self._put(action)
        if now - self._writing > _WRITE_SECONDS:  # each second brings an event; a timer a write costs more
            self._writing = _NEVER
            self._patience.reschedule(0.0)

    def tick(self, at: float) -> None:
        """Once a second. In a fleet hardly anybody's deadline is over, so that is looked at first."""
        if at - min(self.session.heard_at + self.session.patience, self._writing + _WRITE_SECONDS) >= 0.0:
            self.feed(Ticked())

    async def run(self, read: Read, write: Write) -> Close:
        """Until somebody ends the stream; how it ended."""
        reader = asyncio.create_task(self._read(read))
        try:
            async with self._patience:
                while True:
                    action = await self._next()
                    if isinstance(action, Close):
                        return action
                    if isinstance(action, Send):
                        self._writing = self._hooks.now()
                        await write(action.message)
                        self._writing = _NEVER
                    elif isinstance(action, OpenSession):
                        await self._hooks.open(self, action.hello)
        except TimeoutError:
            return Close("DEADLINE_EXCEEDED", f"Nothing was read for {_WRITE_SECONDS:g} s.")
        finally:
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reader

    async def _read(self, read: Read) -> None:
        end = Close("OK", "")
        try:
            # Asked for one by one: gRPC's own iterator keeps each agent's last batch until the next one comes.
            while isinstance(message := await read(), pb.StreamRequest):
                size = message.ByteSize()
                self.taken += size
                self.feed(Said(message, size))
                del message  # until the next one comes, each of a fleet would keep a batch's memory
                await self._hooks.room()
                while len(self._outbox) > _MAX_OUTBOX:  # noqa: ASYNC110 - an agent that does not read is rare
                    await asyncio.sleep(_PAUSE)
        except grpc.RpcError as error:
            end = Close("CANCELLED", str(error))
        finally:
            self._put(end)

    def _put(self, action: Action) -> None:
        self._outbox.append(action)
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    async def _next(self) -> Action:
        """Only `run` waits here."""
        while not self._outbox:
            self._woken = asyncio.get_running_loop().create_future()
            await self._woken
        return self._outbox.popleft()
