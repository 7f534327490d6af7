"""Renewal against a real TLS listener: the proof, a lost reply, and a crash between any two writes."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as pem
from cryptography.hazmat.primitives.asymmetric import ec

from agent import files, identity, renew
from agent.errors import AgentError, IdentityMissingError, RefusedError, RenewError
from agent.identity import Identity
from czuwak.v1 import enrollment_pb2 as pb
from czuwak.v1 import enrollment_pb2_grpc as rpc
from tests.agent.conftest import Authority, write_identity


@dataclass
class Renewals(rpc.EnrollmentServiceServicer):
    """Signs for whoever proves the old key; the same new key gets the same certificate."""

    ca: Authority
    requests: list[pb.RenewRequest] = field(default_factory=list)
    given: dict[bytes, str] = field(default_factory=dict)
    lose: int = 0
    refuse: str = ""
    change: dict[str, Any] = field(default_factory=dict)
    where: str = ""

    def Enroll(  # noqa: N802 - the protocol's name
        self, request: pb.EnrollRequest, context: grpc.ServicerContext
    ) -> pb.EnrollResponse:
        raise NotImplementedError

    def Renew(  # noqa: N802 - the protocol's name
        self, request: pb.RenewRequest, context: grpc.ServicerContext
    ) -> pb.RenewResponse:
        self.requests.append(request)
        old = x509.load_pem_x509_certificate(request.certificate.encode()).public_key()
        assert isinstance(old, ec.EllipticCurvePublicKey)
        try:
            old.verify(request.signature, b"czuwak renew 1\n" + request.csr_der, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "not proven")
        if self.refuse:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, self.refuse)
        key = x509.load_der_x509_csr(request.csr_der).public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        raw = key.public_bytes(pem.Encoding.DER, pem.PublicFormat.SubjectPublicKeyInfo)
        made = self.given.setdefault(raw, self.ca.sign("agent", key).public_bytes(pem.Encoding.PEM).decode())
        if self.lose:
            self.lose -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "lost")
        reply = {"certificate": made, "ca_certificates": self.ca.issued.pem.decode()}
        return pb.RenewResponse(**{**reply, **self.change})


@pytest.fixture
def service(ca: Authority) -> Iterator[Renewals]:
    serving = Renewals(ca)
    leaf = ca.issue("collector")
    server = grpc.server(ThreadPoolExecutor(2))
    rpc.add_EnrollmentServiceServicer_to_server(serving, server)
    credentials = grpc.ssl_server_credentials([(leaf.key_pem, leaf.pem + ca.issued.pem)])
    serving.where = f"127.0.0.1:{server.add_secure_port('127.0.0.1:0', credentials)}"
    server.start()
    yield serving
    server.stop(None).wait(10)


@pytest.fixture
def request_(service: Renewals, ca: Authority, tmp_path: Path) -> renew.Request:
    folder = write_identity(tmp_path / "identity", ca, "127.0.0.1:8443", days=3)
    return renew.Request(folder, service.where, machine_fingerprint="f" * 64)


def fits(owned: Identity) -> bool:
    """Whether key and certificate belong together, without which no stream can be opened."""
    key = pem.load_pem_private_key(owned.key, None)
    return key.public_key() == x509.load_pem_x509_certificate(owned.certificate).public_key()


def test_the_old_key_proves_the_new_one_and_the_new_pair_is_in_its_places(
    service: Renewals, request_: renew.Request
) -> None:
    before = identity.load(request_.directory)
    until = renew.renew(request_)
    after = identity.load(request_.directory)
    assert fits(after)
    assert after.key != before.key
    assert (after.facts.agent_id, after.facts.not_after) == (before.facts.agent_id, until)
    assert service.requests[0].certificate.encode() == before.certificate
    assert service.requests[0].machine_fingerprint == "f" * 64
    modes = {path.name: path.stat().st_mode & 0o777 for path in request_.directory.iterdir()}
    assert modes == {"key.pem": 0o600, "cert.pem": 0o644, "ca.pem": 0o644, "identity.json": 0o644}


def test_half_of_the_new_life_is_when_to_renew_again(request_: renew.Request) -> None:
    assert identity.renewal_due(identity.load(request_.directory).facts, 0.0) is False  # of an old file: unknown
    until = renew.renew(request_)
    facts = identity.load(request_.directory).facts
    assert not identity.renewal_due(facts, until - 16 * 86400)
    assert identity.renewal_due(facts, until - 14 * 86400)


def test_a_lost_reply_repeats_to_the_same_certificate(service: Renewals, request_: renew.Request) -> None:
    before = identity.load(request_.directory)
    service.lose = 1
    with pytest.raises(RenewError, match=r"did not renew the certificate \(lost\); it is tried again"):
        renew.renew(request_)
    assert identity.load(request_.directory) == before
    renew.renew(request_)
    assert service.requests[0].csr_der != b""
    assert len(service.given) == 1


def test_a_renewed_identity_can_be_renewed_again(service: Renewals, request_: renew.Request) -> None:
    for number in (1, 2):
        renew.renew(request_)
        assert len(service.given) == number


class Crash(BaseException):
    """The power is cut."""


def cut_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """The process dies at the step after so many: every write and every removal is one."""
    left = [steps]

    def counted(work: Callable[..., None]) -> Callable[..., None]:
        def step(*given: Any) -> None:
            if not left[0]:
                raise Crash
            left[0] -= 1
            work(*given)

        return step

    monkeypatch.setattr(files, "write", counted(files.write))
    monkeypatch.setattr(files, "remove", counted(files.remove))


@pytest.mark.parametrize("steps", range(8))
def test_a_crash_between_any_two_steps_leaves_a_pair_that_fits_and_the_next_try_ends_it(
    request_: renew.Request, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    with monkeypatch.context() as patched:
        cut_after(patched, steps)
        if steps < 7:
            with pytest.raises(Crash):
                renew.renew(request_)
        else:
            renew.renew(request_)
    assert fits(identity.load(request_.directory))
    renew.renew(request_)
    assert fits(identity.load(request_.directory))
    assert not (request_.directory / "renewed.pem").exists()
    assert not (request_.directory / "renewal-key.pem").exists()


def test_a_new_authority_is_taken_over_with_the_certificate(
    service: Renewals, request_: renew.Request, other_ca: Authority
) -> None:
    both = (service.ca.issued.pem + other_ca.issued.pem).decode()
    service.change = {"ca_certificates": both}
    renew.renew(request_)
    assert identity.load(request_.directory).ca.decode() == both


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"certificate": "rubbish"}, "not a certificate; nothing kept"),
        ({"ca_certificates": ""}, "not a certificate; nothing kept"),
    ],
)
def test_an_answer_that_is_no_certificate_changes_nothing(
    service: Renewals, request_: renew.Request, change: dict[str, str], told: str
) -> None:
    before = identity.load(request_.directory)
    service.change = change
    with pytest.raises(RenewError, match=told):
        renew.renew(request_)
    assert identity.load(request_.directory) == before


def test_a_certificate_for_another_key_changes_nothing(
    service: Renewals, request_: renew.Request, ca: Authority
) -> None:
    before = identity.load(request_.directory)
    service.change = {"certificate": ca.issue("agent").pem.decode()}
    with pytest.raises(RenewError, match="for another key; nothing kept"):
        renew.renew(request_)
    assert identity.load(request_.directory) == before


def test_a_refusal_is_told_in_the_collectors_words(service: Renewals, request_: renew.Request) -> None:
    service.refuse = "This identity was revoked; enrol this computer again."
    with pytest.raises(RefusedError, match="refused to renew the certificate: This identity was revoked; enrol"):
        renew.renew(request_)


def test_a_collector_that_is_not_there_leaves_all_as_it_is(
    request_: renew.Request, free_port: Callable[[], int]
) -> None:
    before = identity.load(request_.directory)
    with pytest.raises(RenewError, match="refuses connections"):
        renew.renew(renew.Request(request_.directory, f"127.0.0.1:{free_port()}"))
    assert identity.load(request_.directory) == before


def test_without_an_identity_there_is_nothing_to_renew(tmp_path: Path) -> None:
    with pytest.raises(IdentityMissingError):
        renew.renew(renew.Request(tmp_path / "identity", "127.0.0.1:1"))


def test_a_damaged_pair_is_named(request_: renew.Request) -> None:
    files.write(request_.directory / "renewed.pem", b"rubbish", files.PRIVATE)
    with pytest.raises(AgentError, match=r"renewed\.pem is damaged: remove it"):
        identity.load(request_.directory)


def test_the_enrolment_listener_is_that_of_the_enrolment_or_the_usual_one(request_: renew.Request) -> None:
    owned = identity.load(request_.directory)
    assert identity.enrollment_of(owned, None, ("collector", 1)) == ("collector", 8444)
    assert identity.enrollment_of(owned, ("configured", 2), ("collector", 1)) == ("configured", 2)
