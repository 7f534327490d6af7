import asyncio
import time
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from collector.ingest import ca
from collector.ingest.enrollment import Limiter, _address, enroll
from collector.ingest.errors import EnrollmentError
from collector.store import hosts, tokens
from czuwak.v1 import enrollment_pb2 as pb
from czuwak.v1 import enrollment_pb2_grpc

House = Any  # the class in this folder's conftest.py


def csr(key: ec.EllipticCurvePrivateKey, name: str = "ignored") -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.DER)


KEY = ec.generate_private_key(ec.SECP256R1())


def asked(token: str, **changes: Any) -> pb.EnrollRequest:
    fields: dict[str, Any] = {
        "token": token,
        "enrollment_id": "0123456789abcdef",
        "csr_der": csr(KEY),
        "hostname": "pc1",
        "machine_fingerprint": "board-1",
    }
    return pb.EnrollRequest(**{**fields, **changes})


def refusal(house: House, request: pb.EnrollRequest) -> EnrollmentError:
    with pytest.raises(EnrollmentError) as caught:
        enroll(house.store, house.authority, request, time.time())
    return caught.value


def test_a_token_and_a_key_make_a_host(house: House) -> None:
    made = enroll(house.store, house.authority, asked(house.token()), time.time())
    assert (made.host.name, made.host.instance, made.host.company) == ("pc1", "pc1", "acme")
    assert (made.host.site, made.host.class_, made.host.machine_fingerprint) == ("waw", "server", "board-1")
    certificate = x509.load_pem_x509_certificate(made.certificate_pem.encode())
    assert ca.agent_of(certificate) == made.host.id


def test_a_lost_reply_costs_nothing_and_spends_nothing(house: House) -> None:
    token = house.token()
    first = enroll(house.store, house.authority, asked(token), time.time())
    again = enroll(house.store, house.authority, asked(token), time.time())
    assert (again.host.id, again.certificate_pem) == (first.host.id, first.certificate_pem)
    with house.store.read() as conn:
        assert [t.used for t in tokens.tokens(conn)] == [1]
        assert len(hosts.hosts(conn, scope=None)) == 1


def test_the_same_enrolment_with_another_key_is_refused(house: House) -> None:
    token = house.token(uses=2)
    enroll(house.store, house.authority, asked(token), time.time())
    other = csr(ec.generate_private_key(ec.SECP256R1()))
    assert refusal(house, asked(token, csr_der=other)).code == "ALREADY_EXISTS"


def test_a_revoked_host_does_not_come_back_by_its_old_enrolment(house: House) -> None:
    token = house.token()
    made = enroll(house.store, house.authority, asked(token), time.time())
    with house.store.write() as conn:
        hosts.revoke(conn, made.host.id, time.time())
    assert refusal(house, asked(token)).code == "PERMISSION_DENIED"


def test_the_same_name_twice_gets_two_instances(house: House) -> None:
    token = house.token(uses=2)
    enroll(house.store, house.authority, asked(token), time.time())
    second = enroll(house.store, house.authority, asked(token, enrollment_id="another-0123456789"), time.time())
    assert second.host.instance == "pc1.acme"


def test_a_misused_token_is_refused_with_its_reason(house: House) -> None:
    used = house.token()
    enroll(house.store, house.authority, asked(used), time.time())
    again = {"enrollment_id": "another-0123456789"}
    assert "used up" in str(refusal(house, asked(used, **again)))
    assert "expired" in str(refusal(house, asked(house.token(expires_at=time.time() - 1), **again)))
    assert "only for hosts named web-*" in str(refusal(house, asked(house.token(pattern="web-*"), **again)))
    error = refusal(house, asked("czj_nonsense", **again))
    assert (error.code, "not known" in str(error)) == ("PERMISSION_DENIED", True)


@pytest.mark.parametrize(
    "changes",
    [
        {"csr_der": b"rubbish"},
        {"hostname": ""},
        {"hostname": "a b"},
        {"hostname": "<script>"},
        {"hostname": "x" * 300},
        {"enrollment_id": "short"},
        {"enrollment_id": "x" * 65},
        {"token": ""},
        {"token": "x" * 300},
    ],
)
def test_a_wrong_request_spends_no_token(house: House, changes: dict[str, Any]) -> None:
    assert refusal(house, asked(**{"token": house.token(), **changes})).code == "INVALID_ARGUMENT"
    with house.store.read() as conn:
        assert [t.used for t in tokens.tokens(conn)] == [0]


def test_a_key_that_is_not_proven_writes_nothing(house: House) -> None:
    forged = bytearray(csr(KEY))
    forged[-1] ^= 1
    assert "does not prove" in str(refusal(house, asked(house.token(), csr_der=bytes(forged))))
    with house.store.read() as conn:
        assert hosts.hosts(conn, scope=None) == []


def test_enrolment_over_the_wire_gives_an_identity_that_can_stream(house: House) -> None:
    async def main() -> None:
        async with house.running() as ingest:
            credentials = grpc.ssl_channel_credentials(house.authority.ca_pem)
            target = f"127.0.0.1:{ingest.bound.enrollment_port}"
            async with grpc.aio.secure_channel(target, credentials) as channel:
                stub = enrollment_pb2_grpc.EnrollmentServiceStub(channel)
                made = await stub.Enroll(asked(house.token()))
                assert (made.host, made.collector) == ("pc1", ingest.bound.advertise)
                assert made.ca_certificates.encode() == house.authority.ca_pem
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await stub.Enroll(asked("czj_nonsense", enrollment_id="another-0123456789"))
                assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
                assert refused.value.details() == "This join token is not known here."
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await stub.Enroll(asked("x" * 20_000))
                assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            key = KEY.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            identity = (made.agent_id, made.certificate.encode(), key)
            async with house.agent(ingest.bound, identity) as agent:
                assert (await agent.greet()).session_gen == 1

    asyncio.run(main())


def test_a_flood_from_one_address_is_slowed_and_others_are_not() -> None:
    now = [0.0]
    limiter = Limiter(lambda: now[0], burst=2, rate=1.0, peers=2)
    limiter.spend("a")
    limiter.spend("a")
    with pytest.raises(EnrollmentError, match="Too many"):
        limiter.spend("a")
    limiter.spend("b")
    now[0] = 1.0
    limiter.spend("a")
    limiter.spend("c")
    assert set(limiter._left) == {"a", "c"}


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:10.0.0.1:5000", "ipv4:10.0.0.1"),
        ("ipv6:%5B2001:db8:1:2:aaaa::1%5D:5000", "2001:db8:1:2"),
    ],
)
def test_a_peer_is_its_address_without_the_port(peer: str, address: str) -> None:
    assert _address(peer) == address
