"""Two whole ingest processes on one database: what an agent and its tickets see of a restart of one of them."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import sqlalchemy as sa

from collector.rules.load import load_text
from collector.store import clock, collectors
from collector.store import tables as t
from czuwak.v1 import ingest_pb2 as pb

House = Any  # the class in this folder's conftest.py
Wire = Any

RULES = """
groups:
- name: things
  rules:
  - alert: ThingHigh
    expr: node_thing > 90
    labels: {severity: critical}
    annotations: {summary: "thing is {{ $value }}"}
"""


def rows(house: House, table: sa.Table) -> list[Any]:
    with house.store.read() as conn:
        return list(conn.execute(sa.select(table)))


def test_a_rolling_restart_adds_no_ticket_event(house: House, wire: Wire) -> None:
    house.rules = lambda: load_text(RULES, "r.yml")

    async def main() -> None:
        identity = house.enroll("pc1")
        schema = wire.gauges(1)
        two = house.running(query_socket=house.folder / "q" / "two")
        async with two as second:
            async with house.running() as first, house.agent(first.bound, identity) as agent:
                await agent.greet()
                await agent.say(schema)
                await agent.say(wire.batch(schema, 1, [95.0]))
                assert (await agent.hear("ack")).live_through == 1
                await house.until(lambda: len(rows(house, t.ticket)) == 1)
                before = rows(house, t.ticket_event)
                leaving = asyncio.create_task(first.servicer.drain(3.0))
                assert (await agent.hear("go_away")).reason == pb.GO_AWAY_REASON_DRAIN
                await leaving
            async with house.agent(second.bound, identity) as again:
                assert (await again.greet(first=2, following=2, boottime=1005.0)).session_gen == 2
                await again.say(schema)
                await again.say(wire.batch(schema, 2, [96.0], boottime=1006.0))
                await again.hear("ack")
                held = await asyncio.wrap_future(second.engine.call(lambda _head, schedule, _at: schedule.alerts()))
                assert [alert.episode for alert in held] == [1]
                assert rows(house, t.ticket_event) == before
                await again.say(wire.batch(schema, 3, [1.0], boottime=1007.0))
                await house.until(lambda: rows(house, t.ticket)[0].recovered_at is not None)

    asyncio.run(main())
    with house.store.read() as conn:
        assert [c.stopped_at is None for c in collectors.collectors(conn)] == [False, False]
        assert collectors.others(conn, "", clock(conn)) == []


def test_the_second_collector_takes_the_lead_and_the_hosts_of_the_first_that_left(house: House) -> None:
    async def main() -> None:
        identity = house.enroll("pc1")
        async with AsyncExitStack() as first, AsyncExitStack() as second:
            bound = (await first.enter_async_context(house.running())).bound
            await second.enter_async_context(house.running(query_socket=house.folder / "q" / "two"))
            async with house.agent(bound, identity) as agent:
                await agent.greet()
            before = house.host(identity[0])
            assert rows(house, t.lease)[0].holder == before.collector_id
            await first.aclose()
            await house.until(lambda: house.host(identity[0]).collector_id != before.collector_id)
            after = house.host(identity[0])
            assert after.session_gen == before.session_gen + 1
            assert rows(house, t.lease)[0].holder == after.collector_id

    asyncio.run(main())
