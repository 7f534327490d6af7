"""Renewal: who may, who may not, and that a lost reply costs nothing."""

import asyncio
import threading
import time
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from collector.ingest import ca
from collector.ingest.errors import EnrollmentError
from collector.ingest.renewal import PREFIX, Renewed, renew
from collector.store import certificates, hosts
from czuwak.v1 import enrollment_pb2 as pb
from czuwak.v1 import enrollment_pb2_grpc
from tests.collector.ingest.test_ca import csr

House = Any  # the class in this folder's conftest.py
DAY = 86400.0
NEW = ec.generate_private_key(ec.SECP256R1())
Identity = tuple[str, bytes, bytes]


def asked(identity: Identity, key: ec.EllipticCurvePrivateKey = NEW, **changes: Any) -> pb.RenewRequest:
    old = serialization.load_pem_private_key(identity[2], password=None)
    assert isinstance(old, ec.EllipticCurvePrivateKey)
    request = csr(key)
    signature = old.sign(PREFIX + request, ec.ECDSA(hashes.SHA256()))
    fields = {"certificate": identity[1].decode(), "csr_der": request, "signature": signature}
    return pb.RenewRequest(**{**fields, **changes})


def renewed(house: House, request: pb.RenewRequest, after: float = 0.0) -> Renewed:
    return renew(house.store, house.authority, request, time.time() + after)


def refusal(house: House, request: pb.RenewRequest, after: float = 0.0) -> EnrollmentError:
    with pytest.raises(EnrollmentError) as caught:
        renewed(house, request, after)
    return caught.value


def serial(pem: bytes | str) -> str:
    return ca.serial_of(x509.load_pem_x509_certificate(pem if isinstance(pem, bytes) else pem.encode()))


def kept(house: House) -> int:
    with house.store.read() as conn:
        return int(conn.exec_driver_sql("select count(*) from certificate").scalar() or 0)


def test_a_known_certificate_and_its_key_get_a_new_certificate_of_the_same_identity(house: House) -> None:
    identity = house.enroll("pc1")
    made = renewed(house, asked(identity), after=15 * DAY)
    certificate = x509.load_pem_x509_certificate(made.certificate_pem.encode())
    assert ca.agent_of(certificate) == identity[0] == made.host_id
    assert certificate.public_key() == NEW.public_key()
    assert made.not_after == certificate.not_valid_after_utc.timestamp()
    assert made.not_before == certificate.not_valid_before_utc.timestamp()


def test_a_lost_reply_repeats_to_the_same_certificate(house: House) -> None:
    identity = house.enroll("pc1")
    first, again = (renewed(house, asked(identity)) for _ in range(2))
    assert again == first
    assert kept(house) == 2


def test_two_requests_at_once_get_one_certificate(house: House) -> None:
    identity = house.enroll("pc1")
    made: list[Renewed] = []
    threads = [threading.Thread(target=lambda: made.append(renewed(house, asked(identity)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 1
    assert len(made) == 4


def test_a_reply_lost_for_so_long_that_it_ended_is_given_anew(house: House) -> None:
    identity = house.enroll("pc1")
    first = renewed(house, asked(identity))
    again = renewed(house, asked(identity), after=31 * DAY)
    assert again.not_after > first.not_after


@pytest.mark.parametrize(("days", "returns"), [(31, True), (119, True), (121, False)])
def test_an_expired_laptop_returns_within_ninety_days(house: House, days: float, returns: bool) -> None:
    identity = house.enroll("pc1")
    if returns:
        assert renewed(house, asked(identity), after=days * DAY).not_after > time.time() + days * DAY
    else:
        refused = refusal(house, asked(identity), after=days * DAY)
        assert (refused.code, str(refused)) == (
            "PERMISSION_DENIED",
            "This certificate ended more than 90 days ago; enrol this computer again.",
        )


@pytest.mark.parametrize("end", [hosts.revoke, hosts.retire])
@pytest.mark.parametrize("days", [0.0, 40.0])
def test_a_revoked_or_retired_one_never_returns(house: House, end: Any, days: float) -> None:
    identity = house.enroll("pc1")
    pending = asked(identity)
    renewed(house, pending)
    with house.store.write() as conn:
        end(conn, identity[0], time.time())
    for request in (pending, asked(identity, ec.generate_private_key(ec.SECP256R1()))):
        assert "was revoked" in str(refusal(house, request, days * DAY))


def test_the_old_one_renews_until_the_new_one_is_used(house: House) -> None:
    identity = house.enroll("pc1")
    first = renewed(house, asked(identity))
    another = ec.generate_private_key(ec.SECP256R1())
    second = renewed(house, asked(identity, another), after=60.0)
    with house.store.write() as conn:
        assert certificates.use(conn, serial(second.certificate_pem), time.time() + 61)
        assert not certificates.use(conn, serial(second.certificate_pem), time.time() + 62)
        for older in (identity[1], first.certificate_pem):
            found = certificates.known(conn, serial(older))
            assert found is not None
            assert found.superseded
    assert "A newer certificate of this identity is in use" in str(refusal(house, asked(identity)))


def test_another_computer_gets_nothing_for_a_copied_key(house: House) -> None:
    identity = house.enroll("pc1")
    with house.store.write() as conn:
        hosts.open_session(conn, identity[0], at=1.0, facts={}, version="1", fingerprint="board-1")
    assert "belongs to another computer" in str(refusal(house, asked(identity, machine_fingerprint="board-2")))
    assert renewed(house, asked(identity, machine_fingerprint="board-1")).host_id == identity[0]


def _forged(identity: Identity) -> str:
    """A certificate with a known serial and identity, made by somebody else."""
    known = x509.load_pem_x509_certificate(identity[1])
    builder = x509.CertificateBuilder(
        known.issuer, known.subject, NEW.public_key(), known.serial_number,
        known.not_valid_before_utc, known.not_valid_after_utc, list(known.extensions),
    )  # fmt: skip
    return builder.sign(NEW, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def test_a_forged_certificate_with_a_known_serial_gets_nothing(house: House) -> None:
    identity = house.enroll("pc1")
    request = csr(ec.generate_private_key(ec.SECP256R1()))
    signature = NEW.sign(PREFIX + request, ec.ECDSA(hashes.SHA256()))
    forged = pb.RenewRequest(certificate=_forged(identity), csr_der=request, signature=signature)
    assert "was not issued here" in str(refusal(house, forged))
    assert kept(house) == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"signature": b""}, "UNAUTHENTICATED"),
        ({"signature": b"x" * 70}, "UNAUTHENTICATED"),
        ({"csr_der": csr(ec.generate_private_key(ec.SECP256R1()))}, "UNAUTHENTICATED"),
        ({"certificate": "rubbish"}, "INVALID_ARGUMENT"),
        ({"certificate": ""}, "INVALID_ARGUMENT"),
        ({"certificate": "x" * 20_000}, "INVALID_ARGUMENT"),
    ],
)
def test_what_is_not_proven_writes_nothing(house: House, changes: dict[str, Any], code: str) -> None:
    assert refusal(house, asked(house.enroll("pc1"), **changes)).code == code
    assert kept(house) == 1


def test_a_request_that_is_not_proven_by_its_own_key_is_refused(house: House) -> None:
    identity = house.enroll("pc1")
    old = serialization.load_pem_private_key(identity[2], password=None)
    assert isinstance(old, ec.EllipticCurvePrivateKey)
    wrong = csr(rsa.generate_private_key(65537, 2048))
    signature = old.sign(PREFIX + wrong, ec.ECDSA(hashes.SHA256()))
    assert refusal(house, asked(identity, csr_der=wrong, signature=signature)).code == "INVALID_ARGUMENT"


def test_the_same_key_again_is_no_renewal(house: House) -> None:
    identity = house.enroll("pc1")
    old = serialization.load_pem_private_key(identity[2], password=None)
    assert isinstance(old, ec.EllipticCurvePrivateKey)
    assert "needs a new key" in str(refusal(house, asked(identity, old)))


def test_renewal_over_the_wire_needs_no_client_certificate(house: House) -> None:
    async def main() -> None:
        identity = house.enroll("pc1")
        async with house.running() as ingest:
            credentials = grpc.ssl_channel_credentials(house.authority.ca_pem)
            target = f"127.0.0.1:{ingest.bound.enrollment_port}"
            async with grpc.aio.secure_channel(target, credentials) as channel:
                stub = enrollment_pb2_grpc.EnrollmentServiceStub(channel)
                made = await stub.Renew(asked(identity))
                assert made.ca_certificates.encode() == house.authority.ca_pem
                assert made.not_before < time.time() < made.not_after
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await stub.Renew(asked(identity, signature=b"no"))
                assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED

    asyncio.run(main())
