"""The listeners' certificate while we run: made anew in time, presented to the next connection."""

import asyncio
import hashlib
import ssl
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509

from collector.ingest import ca
from collector.ingest.presented import Presented

House = Any  # the class in this folder's conftest.py
DAY = 86400.0


@pytest.fixture
def authority(tmp_path: Path) -> ca.Authority:
    return ca.create(tmp_path / "ca", at=0.0)


def test_it_is_made_anew_when_a_third_of_its_life_is_left(authority: ca.Authority) -> None:
    now = [0.0]
    presented = Presented(authority, ["localhost"], lambda: now[0])
    assert presented.ends == {"server": 90 * DAY, "authority": 3652 * DAY}
    for at, anew, end in ((59 * DAY, False, 90 * DAY), (60 * DAY, True, 150 * DAY), (60 * DAY, False, 150 * DAY)):
        now[0] = at
        assert (presented.renew(), presented.ends["server"]) == (anew, end)


def test_it_is_not_made_anew_for_ever_when_the_authority_itself_ends(authority: ca.Authority) -> None:
    now = [3640 * DAY]
    presented = Presented(authority, ["localhost"], lambda: now[0])
    now[0] += DAY
    assert not presented.renew()
    assert presented.ends["server"] == presented.ends["authority"]


def test_only_our_own_certificate_is_told_as_this_collectors(authority: ca.Authority) -> None:
    told = Presented(authority, ["localhost"], lambda: 0.0).series("srv/8443")
    assert sorted((labels.get("certificate"), labels.get("collector")) for labels in told) == [
        ("authority", ""),
        ("server", "srv/8443"),
    ]


def test_the_next_connection_sees_the_new_one_and_open_streams_go_on(house: House) -> None:
    def shown(port: int) -> bytes:
        return hashlib.sha256(ssl.get_server_certificate(("127.0.0.1", port)).encode()).digest()

    async def main() -> None:
        identity = house.enroll("pc1")
        async with (
            house.running(server_certificates=6.0) as ingest,
            house.agent(ingest.bound, identity) as agent,
        ):
            await agent.greet()
            ports = (ingest.bound.enrollment_port,)
            before = [await asyncio.to_thread(shown, port) for port in ports]
            async with asyncio.timeout(20):
                while [await asyncio.to_thread(shown, port) for port in ports] == before:  # noqa: ASYNC110
                    await asyncio.sleep(0.5)
            schema = house.wire.gauges(1)
            await agent.say(schema)
            await agent.say(house.wire.batch(schema, 1, [1.0]))
            await agent.hear("ack")
            async with house.agent(ingest.bound, identity) as again:
                await again.greet()

    asyncio.run(main())


def test_a_certificate_signed_by_the_companys_authority_is_believed_by_its_root_alone(
    house: House, tmp_path: Path
) -> None:
    from tests.collector.ingest.company import link, written  # noqa: PLC0415 - keys are made when asked for

    root = link("Acme root")
    for name in ("ca.pem", "ca-key.pem"):
        (house.folder / "ca" / name).unlink()
    house.authority = ca.adopt(house.folder / "ca", *written(tmp_path / "given", link("Acme devices", root), root))

    async def main() -> None:
        agent_id, certificate, key = house.enroll("pc1")
        leaf, between = x509.load_pem_x509_certificates(certificate)
        leaf.verify_directly_issued_by(between)
        async with house.running() as ingest:
            credentials = grpc.ssl_channel_credentials(root.pem, key, certificate)
            async with grpc.aio.secure_channel(f"127.0.0.1:{ingest.bound.port}", credentials) as channel:
                await asyncio.wait_for(channel.channel_ready(), 10)
            async with house.agent(ingest.bound, (agent_id, certificate, key)) as agent:
                await agent.greet()

    asyncio.run(main())
