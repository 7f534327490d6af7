"""Who may speak, over real mutual TLS: copies, old certificates, hosts that wait, revocation at every collector."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from collector.ingest import admission
from collector.ingest.peer import Peer
from collector.ingest.process import Ingest
from collector.store import certificates, hosts, machines
from czuwak.v1 import ingest_pb2 as pb
from tests.collector.ingest.test_renewal import NEW, asked, renewed, serial

House = Any  # the classes in this folder's conftest.py
Wire = Any
KEY_PEM = NEW.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def hello(wire: Wire, board: str = "board-1", boot: str = "b1") -> pb.Hello:
    made: pb.Hello = wire.hello()
    made.machine_fingerprint, made.boot_id = board, boot
    return made


async def own(ingest: Ingest, name: str) -> float:
    """The newest value of one of the collector's own series about pc1."""
    async with asyncio.timeout(5):
        while True:
            values = await asyncio.wrap_future(ingest.engine.call(lambda head, _, at: head.values_of("pc1", at)))
            found = [value for labels, value, _ in values if labels.get("__name__") == name]
            if found:
                return float(found[0])
            await asyncio.sleep(0.05)


async def chat(agent: Any, wire: Wire, until: Callable[[], bool]) -> None:
    """Says something every few moments, as a live agent does."""
    schema = wire.gauges(1)
    await agent.say(schema)
    number = 0
    while not until():
        number += 1
        await agent.say(wire.batch(schema, number, [float(number)], boottime=1000.0 + number))
        await asyncio.sleep(0.05)


async def refused_as_copy(copy: Any, message: pb.Hello) -> None:
    await copy.say(message)
    assert (await copy.hear("go_away")).reason == pb.GO_AWAY_REASON_DUPLICATE_IDENTITY
    assert await copy.ended() is grpc.StatusCode.ABORTED


def kinds(house: House, agent_id: str) -> list[str]:
    with house.store.read() as conn:
        return [event.kind for event in hosts.host_events(conn, agent_id)]


def test_a_copy_on_other_hardware_is_told_and_the_original_keeps_its_place(house: House, wire: Wire) -> None:
    async def main() -> None:
        identity = house.enroll("pc1")
        async with house.running() as ingest, house.agent(ingest.bound, identity) as original:
            await original.say(hello(wire))
            await original.hear("welcome")
            began = time.monotonic()
            for _ in range(2):
                async with house.agent(ingest.bound, identity) as copy:
                    await refused_as_copy(copy, hello(wire, "board-2"))
            assert time.monotonic() - began < 5
            schema = wire.gauges(1)
            await original.say(schema)
            await original.say(wire.batch(schema, 1, [1.0]))
            await original.hear("ack")
            await house.until(lambda: "duplicate_identity" in kinds(house, identity[0]))
            assert kinds(house, identity[0]).count("duplicate_identity") == 1
            assert house.host(identity[0]).machine_fingerprint == "board-1"

    asyncio.run(main())


def test_a_copy_is_refused_also_while_the_original_is_away_and_at_every_collector(
    shared_house: House, wire: Wire
) -> None:
    async def main() -> None:
        identity = shared_house.enroll("pc1")
        async with (
            shared_house.running() as one,
            shared_house.running(query_socket=shared_house.folder / "q2" / "s") as two,
        ):
            async with shared_house.agent(one.bound, identity) as original:
                await original.say(hello(wire))
                await original.hear("welcome")
            for ingest in (one, two):
                async with shared_house.agent(ingest.bound, identity) as copy:
                    await refused_as_copy(copy, hello(wire, "board-2"))
            with shared_house.store.read() as conn:
                assert machines.duplicates(conn, time.time()) == {identity[0]}

    asyncio.run(main())


def test_a_copy_that_looks_alike_is_known_by_its_boot_while_the_original_speaks(house: House, wire: Wire) -> None:
    async def main() -> None:
        identity = house.enroll("pc1")
        async with house.running(interval=1.0) as ingest, house.agent(ingest.bound, identity) as original:
            await original.say(hello(wire))
            await original.hear("welcome")
            over = asyncio.Event()
            speaking = asyncio.create_task(chat(original, wire, over.is_set))
            async with house.agent(ingest.bound, identity) as copy:
                await refused_as_copy(copy, hello(wire, boot="b2"))
            over.set()
            await speaking

    asyncio.run(main())


def test_a_computer_that_crashed_and_started_anew_is_no_copy(house: House, wire: Wire) -> None:
    async def main() -> None:
        identity = house.enroll("pc1")
        async with house.running(interval=0.2) as ingest, house.agent(ingest.bound, identity) as dead:
            await dead.say(hello(wire))
            await dead.hear("welcome")
            async with house.agent(ingest.bound, identity) as again:
                await again.say(hello(wire, boot="b2"))
                assert (await again.hear("welcome")).session_gen == 2
            assert "duplicate_identity" not in kinds(house, identity[0])

    asyncio.run(main())


def test_an_identity_that_is_unbound_is_bound_to_the_next_computer(house: House, wire: Wire) -> None:
    async def main() -> None:
        identity = house.enroll("pc1")
        async with house.running() as ingest:
            async with house.agent(ingest.bound, identity) as agent:
                await agent.say(hello(wire))
                await agent.hear("welcome")
            with house.store.write() as conn:
                assert machines.rebind(conn, identity[0])
            async with house.agent(ingest.bound, identity) as agent:
                await agent.say(hello(wire, "board-2"))
                await agent.hear("welcome")
            assert house.host(identity[0]).machine_fingerprint == "board-2"

    asyncio.run(main())


def test_the_old_certificate_ends_with_the_first_stream_of_the_new_one(house: House) -> None:
    async def main() -> None:
        identity = house.enroll("pc1")
        made = renewed(house, asked(identity))
        newer = (identity[0], made.certificate_pem.encode(), KEY_PEM)
        async with house.running() as ingest:
            for _ in range(2):  # not used yet: the old one is as good as before
                async with house.agent(ingest.bound, identity) as agent:
                    await agent.greet()
            async with house.agent(ingest.bound, newer) as agent:
                await agent.greet()
            async with house.agent(ingest.bound, identity) as agent:
                assert await agent.ended() is grpc.StatusCode.PERMISSION_DENIED
                assert "A newer certificate" in str(await agent.call.details())
            async with house.agent(ingest.bound, newer) as agent:
                await agent.greet()

    asyncio.run(main())


def test_a_herd_is_admitted_and_opened_as_if_each_came_alone(shared_house: House, wire: Wire) -> None:
    house = shared_house
    names = ("pc1", "copy", "gone", "waits")
    ids = {name: house.enroll(name, approval=name == "waits") for name in names}
    peers = {name: Peer(one[0], serial(one[1])) for name, one in ids.items()}
    with house.store.write() as conn:
        hosts.open_session(conn, ids["copy"][0], at=1.0, facts={}, version="1", fingerprint="board-1")
        hosts.revoke(conn, ids["gone"][0], 2.0)
    stranger = Peer(ids["pc1"][0], "abc")
    let_in = admission.admitted(house.store, [*peers.values(), stranger])
    assert [one.reason if isinstance(one, admission.Refusal) else one.name for one in let_in] == [
        *("pc1", "copy", "revoked", "approval"),
        "revoked",
    ]
    said = [(peers["pc1"], hello(wire)), (peers["copy"], hello(wire, "board-2")), (peers["gone"], hello(wire))]
    opened = admission.open_sessions(house.store, [*said, (peers["pc1"], hello(wire, boot="b2"))], 3.0, collector="c")
    assert [(one.gen, one.foreign, one.first) for one in opened] == [
        *((1, False, False), (0, True, True), (0, False, False)),
        (2, False, False),
    ]
    with house.store.read() as conn:
        kept = hosts.host(conn, ids["pc1"][0], None)
    assert kept is not None
    assert (kept.session_gen, kept.boot_id, kept.machine_fingerprint, kept.collector_id, kept.last_seen) == (
        *(2, "b2", "board-1"),
        *("c", 3.0),
    )


def test_a_certificate_we_did_not_issue_is_refused_whoever_signed_it(house: House) -> None:
    async def main() -> None:
        identity = house.enroll("pc1")
        with house.store.write() as conn:
            conn.exec_driver_sql("delete from certificate")
        async with house.running() as ingest, house.agent(ingest.bound, identity) as agent:
            assert await agent.ended() is grpc.StatusCode.PERMISSION_DENIED

    asyncio.run(main())


def test_a_host_that_waits_for_approval_is_told_so_and_let_in_once_approved(house: House) -> None:
    async def main() -> None:
        identity = house.enroll("pc1", approval=True)
        async with house.running() as ingest:
            async with house.agent(ingest.bound, identity) as agent:
                assert await agent.ended() is grpc.StatusCode.PERMISSION_DENIED
                assert "waits for approval" in str(await agent.call.details())
            with house.store.write() as conn:
                assert machines.approve(conn, identity[0], time.time())
                assert not machines.approve(conn, identity[0], time.time())
            async with house.agent(ingest.bound, identity) as agent:
                await agent.greet()

    asyncio.run(main())


@pytest.mark.parametrize("end", [hosts.revoke, hosts.retire])
def test_revocation_cuts_live_streams_within_two_seconds_at_every_collector(shared_house: House, end: Any) -> None:
    async def main() -> None:
        first, second = shared_house.enroll("pc1"), shared_house.enroll("pc2")
        async with (
            shared_house.running() as one,
            shared_house.running(query_socket=shared_house.folder / "q2" / "s") as two,
            shared_house.agent(one.bound, first) as here,
            shared_house.agent(two.bound, second) as there,
        ):
            await asyncio.gather(here.greet(), there.greet())
            began = time.monotonic()
            with shared_house.store.write() as conn:
                for identity in (first, second):
                    end(conn, identity[0], time.time())
            for agent in (here, there):
                assert (await agent.hear("go_away")).reason == pb.GO_AWAY_REASON_REVOKED
                assert await agent.ended() is grpc.StatusCode.PERMISSION_DENIED
            assert time.monotonic() - began < 2.0

    asyncio.run(main())


def test_the_end_of_a_certificate_and_a_copy_are_series_of_the_host(house: House, wire: Wire) -> None:
    async def main() -> None:
        identity = house.enroll("pc1")
        with house.store.read() as conn:
            known = certificates.known(conn, serial(identity[1]))
        assert known is not None
        async with house.running() as ingest, house.agent(ingest.bound, identity) as original:
            await original.say(hello(wire))
            await original.hear("welcome")
            async with house.agent(ingest.bound, identity) as copy:
                await refused_as_copy(copy, hello(wire, "board-2"))
            assert await own(ingest, "czuwak_host_certificate_expiry_timestamp_seconds") == known.not_after
            life = await own(ingest, "czuwak_host_certificate_life_seconds")
            assert (
                life == known.not_after - x509.load_pem_x509_certificate(identity[1]).not_valid_before_utc.timestamp()
            )
            assert await own(ingest, "czuwak_host_duplicate_identity") == 1.0

    asyncio.run(main())
