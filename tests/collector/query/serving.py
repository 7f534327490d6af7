"""A QueryService over a real socket, on an engine that runs over a head."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import grpc
import pytest

from collector.head import Head
from collector.ingest.engine import Engine
from collector.metrics import Metrics
from collector.query.preview import Preview
from collector.query.service import QueryServicer
from collector.rules.model import Group
from collector.rules.schedule import Schedule
from czuwak.v1 import query_pb2_grpc

Stub: TypeAlias = "query_pb2_grpc.QueryServiceAsyncStub"  # known to the type checker only
Ask: TypeAlias = Callable[[Stub, float], Awaitable[None]]


def serve(
    folder: Path, ask: Ask, head: Head, now: float, groups: Sequence[Group] = (), preview: Preview | None = None
) -> None:
    """Lets `ask` ask, then ends everything."""
    metrics = Metrics()
    engine = Engine(
        head=head,
        schedule=lambda _: Schedule(groups, (), started_at=now),
        commit=lambda changes, _: changes.upserts,
        clock=time.time,
        metrics=metrics,
    )

    async def main() -> None:
        server = grpc.aio.server()
        servicer = QueryServicer(engine.call, metrics, lambda: now, preview)
        query_pb2_grpc.add_QueryServiceServicer_to_server(servicer, server)
        server.add_insecure_port(f"unix:{folder}/s")
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"unix:{folder}/s") as channel:
                await ask(query_pb2_grpc.QueryServiceStub(channel), now)
        finally:
            await server.stop(None)

    engine.start()
    try:
        asyncio.run(main())
    finally:
        engine.stop()


async def refused(call: Awaitable[object]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details() or ""
