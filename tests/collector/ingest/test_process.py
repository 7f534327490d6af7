"""The whole ingest process in this process: real mutual TLS, a real database, the smallest agent."""

import asyncio
import math
import os
import signal
import socket
import time
import zlib
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from collector.ingest import ca, process, settling
from collector.ingest.errors import ListenError
from collector.ingest.process import LOOK_SECONDS, Bound, serve
from collector.ingest.session import Phase
from collector.rules.load import load_text
from collector.store import hosts
from collector.store.errors import StoreError
from collector.tickets.desk import Policy
from czuwak.v1 import ingest_pb2 as pb

House = Any  # the class in this folder's conftest.py, which import mode importlib does not let us import
Wire = Any

RULES = """
groups:
- name: things
  rules:
  - alert: ThingHigh
    expr: node_thing > 90
    labels: {severity: critical}
    annotations: {summary: "thing {{ $labels.number }} is {{ $value }}"}
"""


def test_a_sample_reaches_the_head_and_its_ack_the_agent(house: House, wire: Wire) -> None:
    async def main() -> None:
        identity = house.enroll("pc1")
        async with house.running() as ingest, house.agent(ingest.bound, identity) as agent:
            welcome = await agent.greet()
            assert (welcome.session_gen, welcome.resume_seq) == (1, 1)
            assert welcome.rewind_from_boottime_ns == 1
            schema = wire.gauges(2)
            await agent.say(schema)
            await agent.say(wire.batch(schema, 1, [4.0, 5.0]))
            assert (await agent.hear("ack")).live_through == 1
            values = await asyncio.wrap_future(ingest.engine.call(lambda head, _, at: head.values_of("pc1", at)))
            things = {labels.get("number"): (labels, value) for labels, value, _ in values if labels.get("number")}
            assert {n: value for n, (_, value) in things.items()} == {"0": 4.0, "1": 5.0}
            labels = things["0"][0]
            assert labels.keep("instance", "job", "host", "company", "site", "class").as_dict() == {
                "instance": "pc1",
                "job": "node",
                "host": "pc1",
                "company": "acme",
                "site": "waw",
                "class": "server",
            }
            await house.until(lambda: house.host(identity[0]).presence == "online")
            states = {labels.get("state"): value for labels, value, _ in values if labels.get("state")}
            assert states["online"] + states["catching_up"] == 1.0
            assert sum(states.values()) == 1.0
            assert any(labels.get("__name__") == "czuwak_host_clock_offset_seconds" for labels, _, _ in values)

    asyncio.run(main())


def test_bad_batches_get_their_nack_and_this_and_the_other_agent_go_on(house: House, wire: Wire) -> None:
    async def main() -> None:
        bad, good = house.enroll("bad"), house.enroll("good")
        async with (
            house.running() as ingest,
            house.agent(ingest.bound, bad) as agent,
            house.agent(ingest.bound, good) as other,
        ):
            await agent.greet()
            await other.greet()
            schema = wire.gauges(2)
            await agent.say(wire.batch(schema, 1, [1.0, 2.0]))
            assert (await agent.hear("nack")).reason == pb.NACK_REASON_UNKNOWN_SCHEMA
            await agent.say(wire.schema(wire.series("node_load1", host="another")))
            assert (await agent.hear("nack")).reason == pb.NACK_REASON_BAD_DATA
            await agent.say(pb.Schema(hash=schema.hash, packed=zlib.compress(bytes(1 << 26), 9)))
            assert (await agent.hear("nack")).reason == pb.NACK_REASON_BAD_DATA
            await agent.say(wire.packed(schema))
            await agent.say(wire.batch(schema, 2, [math.nan, math.nan]))
            assert (await agent.hear("nack")).reason == pb.NACK_REASON_BAD_DATA
            await agent.say(wire.batch(schema, 3, [1.0] * 200_000))
            assert (await agent.hear("nack")).reason == pb.NACK_REASON_TOO_BIG
            await agent.say(wire.batch(schema, 1, [1.0, 2.0]))
            assert (await agent.hear("ack")).live_through == 1
            await other.say(schema)
            await other.say(wire.batch(schema, 1, [1.0, 2.0]))
            assert (await other.hear("ack")).live_through == 1
            assert b'czuwak_collector_batches_total{result="bad"} 2.0' in ingest.metrics.text()

    asyncio.run(main())


def test_ten_megabytes_end_their_own_stream_and_nobody_elses(house: House, wire: Wire) -> None:
    async def main() -> None:
        bad, good = house.enroll("bad"), house.enroll("good")
        async with house.running() as ingest, house.agent(ingest.bound, good) as other:
            await other.greet()
            async with house.agent(ingest.bound, bad) as agent:
                await agent.greet()
                schema = wire.gauges(2)
                await agent.say(schema)
                await agent.say(wire.batch(schema, 1, [1.0] * 1_300_000))
                assert await agent.ended() is grpc.StatusCode.RESOURCE_EXHAUSTED
            async with house.agent(ingest.bound, bad) as again:
                await again.greet()
            await other.say(schema)
            await other.say(wire.batch(schema, 1, [1.0, 2.0]))
            assert (await other.hear("ack")).live_through == 1

    asyncio.run(main())


def test_revocation_cuts_a_live_stream_at_the_next_look_and_refuses_the_next_stream(house: House) -> None:
    assert LOOK_SECONDS <= 1.0  # a look itself takes milliseconds: two seconds are kept

    async def main() -> None:
        identity = house.enroll("pc1")
        async with house.running() as ingest:
            async with house.agent(ingest.bound, identity) as agent:
                await agent.greet()
                with house.store.write() as conn:
                    hosts.revoke(conn, identity[0], time.time())
                assert (await agent.hear("go_away")).reason == pb.GO_AWAY_REASON_REVOKED
                assert await agent.ended() is grpc.StatusCode.PERMISSION_DENIED
            async with house.agent(ingest.bound, identity) as agent:
                assert await agent.ended() is grpc.StatusCode.PERMISSION_DENIED

    asyncio.run(main())


def test_a_certificate_of_another_authority_or_none_is_refused(house: House, tmp_path: Path) -> None:
    async def main() -> None:
        identity = house.enroll("pc1")
        foreign = ca.create(tmp_path / "foreign")
        certificate = foreign.server_certificate(["pc1"], time.time())
        async with house.running() as ingest:
            for pair in ((certificate.key_pem, certificate.chain_pem), (None, None)):
                credentials = grpc.ssl_channel_credentials(house.authority.ca_pem, *pair)
                async with grpc.aio.secure_channel(f"127.0.0.1:{ingest.bound.port}", credentials) as channel:
                    with pytest.raises(TimeoutError):
                        await asyncio.wait_for(channel.channel_ready(), 0.5)
            ours = house.authority.server_certificate(["pc1"], time.time())
            stranger = ("", ours.chain_pem, ours.key_pem)
            async with house.agent(ingest.bound, stranger) as agent:
                assert await agent.ended() in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNAVAILABLE)
            async with house.agent(ingest.bound, identity) as agent:
                await agent.greet()

    asyncio.run(main())


def test_the_newest_stream_wins(house: House, wire: Wire) -> None:
    async def main() -> None:
        identity = house.enroll("pc1")
        async with house.running() as ingest, house.agent(ingest.bound, identity) as first:
            await first.greet()
            schema = wire.gauges(1)
            await first.say(schema)
            await first.say(wire.batch(schema, 1, [1.0]))
            await first.hear("ack")
            async with house.agent(ingest.bound, identity) as second:
                welcome = await second.greet(first=1, following=2)
                assert (welcome.session_gen, welcome.resume_seq, welcome.rewind_from_boottime_ns) == (2, 2, 0)
                assert await first.ended() is grpc.StatusCode.ABORTED

    asyncio.run(main())


def events(house: House, agent_id: str) -> list[hosts.HostEvent]:
    with house.store.read() as conn:
        return hosts.host_events(conn, agent_id)


def test_no_hello_in_time_ends_the_stream(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    from collector.ingest import process  # noqa: PLC0415 - patched here only
    from collector.ingest.events import Terms  # noqa: PLC0415

    monkeypatch.setattr(process, "Terms", lambda *_: Terms(hello_deadline=0.1))

    async def main() -> None:
        identity = house.enroll("pc1")
        async with house.running() as ingest, house.agent(ingest.bound, identity) as agent:
            assert await agent.ended() is grpc.StatusCode.DEADLINE_EXCEEDED

    asyncio.run(main())


def test_a_goodbye_is_a_planned_absence_and_ends_the_series_at_once(house: House, wire: Wire) -> None:
    async def main() -> None:
        identity = house.enroll("pc1")
        async with house.running() as ingest, house.agent(ingest.bound, identity) as agent:
            await agent.greet()
            schema = wire.gauges(1)
            await agent.say(schema)
            await agent.say(wire.batch(schema, 1, [1.0]))
            await agent.hear("ack")
            await agent.say(pb.GoingAway(reason=pb.GOING_AWAY_REASON_REBOOT))
            await house.until(lambda: house.host(identity[0]).presence == "away_planned")
            host = house.host(identity[0])
            assert host.presence_reason == "reboot"
            assert host.deadline == pytest.approx(host.presence_since + 1800)
            values = await asyncio.wrap_future(ingest.engine.call(lambda head, _, at: head.values_of("pc1", at)))
            names = {labels.get("__name__") for labels, _, _ in values}
            assert "node_thing" not in names
            assert "czuwak_host_presence" in names

    asyncio.run(main())


def test_silence_has_its_meaning_only_at_the_deadline(house: House) -> None:
    async def main() -> None:
        identity = house.enroll("pc1")
        async with house.running(offline_after=0.5, start_grace=0.0) as ingest:
            async with house.agent(ingest.bound, identity) as agent:
                await agent.greet()
            await house.until(lambda: house.host(identity[0]).presence == "away_unexplained")
            told = [e.detail["presence"] for e in events(house, identity[0]) if e.kind == "presence"]
            assert told == ["away_unexplained"]

    asyncio.run(main())


def test_a_restart_makes_nobody_down_and_keeps_the_alert(house: House, wire: Wire) -> None:
    house.rules = lambda: load_text(RULES, "things.yml")

    async def main() -> None:
        identity = house.enroll("pc1")
        schema = wire.gauges(1)
        async with house.running() as ingest, house.agent(ingest.bound, identity) as agent:
            await agent.greet()
            await agent.say(schema)
            await agent.say(wire.batch(schema, 1, [95.0]))
            await agent.hear("ack")
            await house.until(lambda: house.host(identity[0]).presence == "online")
        before = alerts(house)
        assert [a.labels.get("alertname") for a in before] == ["ThingHigh"]
        async with house.running() as ingest:
            await house.until(lambda: house.host(identity[0]).presence == "unknown")
            async with house.agent(ingest.bound, identity) as agent:
                welcome = await agent.greet(first=1, following=2)
                assert welcome.rewind_from_boottime_ns > 0
                await agent.say(schema)
                await agent.say(wire.batch(schema, 1, [95.0], boottime=999.0, lane=pb.LANE_REPLAY))
                assert (await agent.hear("ack")).replay_through == 1
                await agent.say(wire.batch(schema, 2, [96.0]))
                assert (await agent.hear("ack")).live_through == 2
            assert [(a.key, a.episode, a.active_since) for a in alerts(house)] == [
                (a.key, a.episode, a.active_since) for a in before
            ]

    asyncio.run(main())


def alerts(house: House) -> list[Any]:
    from collector.store.alerts import load_alerts  # noqa: PLC0415 - as long as one line

    with house.store.read() as conn:
        return load_alerts(conn)


def test_a_collector_that_stops_sends_its_agents_away_to_return(house: House) -> None:
    async def main() -> None:
        identity = house.enroll("pc1")
        agents = []
        async with house.running() as ingest:
            context = house.agent(ingest.bound, identity)
            agent = await context.__aenter__()
            await agent.greet()
            agents.append((context, agent))
        context, agent = agents[0]
        away = await agent.hear("go_away")
        assert (away.reason, away.reconnect_max_ms) == (pb.GO_AWAY_REASON_DRAIN, 5000)
        assert await agent.ended() is grpc.StatusCode.OK
        await context.__aexit__(None, None, None)

    asyncio.run(main())


def test_a_port_in_use_is_named(house: House) -> None:
    async def main() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            with pytest.raises(ListenError, match=address):
                async with house.running(listen=address):
                    pass

    asyncio.run(main())


def test_a_broken_rule_file_never_replaces_the_running_one(house: House) -> None:
    house.rules = lambda: load_text(RULES, "things.yml")

    async def main() -> None:
        async with house.running() as ingest:
            house.rules = lambda: load_text("groups: [{name: x, rules: [{alert: A, expr: 'sum('}]}]", "broken.yml")
            assert not ingest.reload()
            report = await asyncio.wrap_future(ingest.engine.call(lambda _, schedule, __: schedule.report()))
            assert [group.name for group in report] == ["things"]
            house.rules = lambda: load_text(RULES.replace("name: things", "name: others"), "things.yml")
            assert ingest.reload()
            report = await asyncio.wrap_future(ingest.engine.call(lambda _, schedule, __: schedule.report()))
            assert [group.name for group in report] == ["others"]

    asyncio.run(main())


def test_both_listeners_answer_health_checks(house: House) -> None:
    async def main() -> None:
        async with house.running() as ingest:
            credentials = grpc.ssl_channel_credentials(house.authority.ca_pem)
            async with grpc.aio.secure_channel(f"127.0.0.1:{ingest.bound.enrollment_port}", credentials) as channel:
                stub = health_pb2_grpc.HealthStub(channel)
                answer = await stub.Check(health_pb2.HealthCheckRequest(service="czuwak.v1.EnrollmentService"))
                assert answer.status == health_pb2.HealthCheckResponse.SERVING

    asyncio.run(main())


def test_the_interval_can_be_changed_while_agents_are_connected(house: House) -> None:
    async def main() -> None:
        identity = house.enroll("pc1")
        async with house.running() as ingest, house.agent(ingest.bound, identity) as agent:
            await agent.greet()
            ingest.servicer.set_interval(60.0)
            assert (await agent.hear("set_interval")).interval_seconds == 60.0
            assert {link.session.phase for link in ingest.servicer._links} == {Phase.LIVE}

    asyncio.run(main())


def test_a_signal_ends_it_in_order_and_another_reads_the_rules_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "MANY", 0)
    monkeypatch.setattr(settling, "CALM", 0)  # every look finds a fleet that has come
    reads: list[int] = []
    settled: list[None] = []

    def load_rules() -> tuple[()]:
        reads.append(len(reads))
        return ()

    async def main() -> None:
        bound: asyncio.Future[Bound] = asyncio.get_running_loop().create_future()
        work = serve(
            house.settings(),
            load_rules=load_rules,
            policy=Policy(),
            ready=bound.set_result,
            settled=lambda: settled.append(None),
        )
        serving = asyncio.create_task(work)
        where = await bound
        assert len(settled) == 1
        assert where.query_socket.is_socket()
        assert where.query_socket.parent.stat().st_mode & 0o777 == 0o700
        os.kill(os.getpid(), signal.SIGHUP)
        await house.until(lambda: len(reads) == 2)
        await house.until(lambda: len(settled) > 1)
        os.kill(os.getpid(), signal.SIGTERM)
        await serving

    asyncio.run(main())


def test_a_database_that_goes_away_refuses_new_streams_and_says_so(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        identity = house.enroll("pc1")
        async with house.running() as ingest:

            def away(*_: object) -> None:
                raise StoreError("the database cannot be used now", retryable=True)

            with monkeypatch.context() as patched:
                patched.setattr("collector.ingest.admission.admitted", away)
                async with house.agent(ingest.bound, identity) as agent:
                    assert await agent.ended() is grpc.StatusCode.UNAVAILABLE
            async with house.agent(ingest.bound, identity) as agent:
                await agent.greet()

    asyncio.run(main())


def test_what_is_under_way_at_the_end_is_not_cut_short() -> None:
    done = list[str]()

    async def main() -> None:
        ending, begun = asyncio.Event(), asyncio.Event()

        async def work() -> None:
            begun.set()
            await asyncio.sleep(0.01)
            done.append("written")

        repeated = asyncio.create_task(process._repeat(work, 3600.0, ending))
        await begun.wait()
        ending.set()
        await asyncio.wait_for(repeated, 5.0)

    asyncio.run(main())
    assert done == ["written"]
