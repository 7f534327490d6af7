"""Enrolment against a real TLS server that presents its certificate and its CA's."""

import datetime as dt
import io
import json
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization as pem
from cryptography.hazmat.primitives.asymmetric import ec

from agent import files, identity
from agent.enroll import Request, enroll, read_token
from agent.errors import EnrollError, FingerprintError, RefusedError
from czuwak.v1 import enrollment_pb2 as pb
from czuwak.v1 import enrollment_pb2_grpc as rpc
from tests.agent.conftest import Authority


class Enrollment(rpc.EnrollmentServiceServicer):
    """Signs for one token; the same enrolment id with the same key gives the same identity."""

    def __init__(self, ca: Authority) -> None:
        self.ca = ca
        self.requests: list[pb.EnrollRequest] = []
        self.given: dict[tuple[str, bytes], str] = {}
        self.lose = 0
        self.where = ""
        self.change: dict[str, Any] = {}

    def Enroll(  # noqa: N802 - the protocol's name
        self, request: pb.EnrollRequest, context: grpc.ServicerContext
    ) -> pb.EnrollResponse:
        self.requests.append(request)
        if request.token != "good-token":
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "the join token is used up\n\x1b[31m")
        signing = x509.load_der_x509_csr(request.csr_der)
        assert signing.is_signature_valid
        key = signing.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        raw = key.public_bytes(pem.Encoding.DER, pem.PublicFormat.SubjectPublicKeyInfo)
        agent = self.given.setdefault((request.enrollment_id, raw), f"agent-{len(self.given) + 1}")
        if self.lose:
            self.lose -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "lost")
        reply: dict[str, Any] = {
            "agent_id": agent,
            "certificate": self.ca.sign(agent, key).public_bytes(pem.Encoding.PEM).decode(),
            "ca_certificates": self.ca.issued.pem.decode(),
            "host": "pc-7",
            "collector": "127.0.0.1:8443",
        }
        return pb.EnrollResponse(**{**reply, **self.change})

    def Renew(  # noqa: N802 - the protocol's name
        self, request: pb.RenewRequest, context: grpc.ServicerContext
    ) -> pb.RenewResponse:
        raise NotImplementedError


@pytest.fixture
def service(ca: Authority) -> Iterator[Enrollment]:
    serving = Enrollment(ca)
    leaf = ca.issue("collector")
    server = grpc.server(ThreadPoolExecutor(2))
    rpc.add_EnrollmentServiceServicer_to_server(serving, server)
    port = server.add_secure_port(
        "127.0.0.1:0", grpc.ssl_server_credentials([(leaf.key_pem, leaf.pem + ca.issued.pem)])
    )
    server.start()
    serving.where = f"127.0.0.1:{port}"
    yield serving
    server.stop(None).wait(10)


@pytest.fixture
def request_(service: Enrollment, tmp_path: Path) -> Request:
    return Request(
        service.where,
        "good-token",
        tmp_path / "identity",
        fingerprint=service.ca.issued.fingerprint,
        hostname="pc-7.example",
        machine_fingerprint="f" * 64,
    )


def test_a_token_and_a_fingerprint_become_an_identity(service: Enrollment, request_: Request) -> None:
    enrolled = enroll(request_)
    assert (enrolled.agent_id, enrolled.host, enrolled.collector) == ("agent-1", "pc-7", "127.0.0.1:8443")
    owned = identity.load(request_.directory)
    key = pem.load_pem_private_key(owned.key, None)
    certificate = x509.load_pem_x509_certificate(owned.certificate)
    assert certificate.public_key() == key.public_key()
    assert owned.ca == service.ca.issued.pem
    assert owned.facts.not_after == certificate.not_valid_after_utc.timestamp() > dt.datetime.now().timestamp()  # noqa: DTZ005
    asked = service.requests[0]
    assert (asked.hostname, asked.machine_fingerprint, asked.token) == ("pc-7.example", "f" * 64, "good-token")


def test_the_key_is_private_and_nothing_pending_is_left(request_: Request) -> None:
    enroll(request_)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in request_.directory.iterdir()}
    assert modes == {"key.pem": 0o600, "cert.pem": 0o644, "ca.pem": 0o644, "identity.json": 0o644}
    assert stat.S_IMODE(request_.directory.stat().st_mode) == 0o700


def test_a_lost_reply_repeats_to_the_same_identity(service: Enrollment, request_: Request) -> None:
    service.lose = 1
    with pytest.raises(
        EnrollError, match=r"did not enroll this machine \(UNAVAILABLE: lost\); run the same command again, it resumes"
    ):
        enroll(request_)
    assert not (request_.directory / "identity.json").exists()
    assert enroll(request_).agent_id == "agent-1"
    assert service.requests[0].enrollment_id == service.requests[1].enrollment_id
    assert len(service.given) == 1


def test_a_torn_pending_file_begins_afresh(request_: Request) -> None:
    request_.directory.mkdir()
    (request_.directory / "enrollment.json").write_text('{"enrollment')
    assert enroll(request_).agent_id == "agent-1"


def test_a_wrong_fingerprint_sends_nothing(service: Enrollment, request_: Request) -> None:
    with pytest.raises(FingerprintError) as refused:
        enroll(replace(request_, fingerprint="0" * 64))
    assert service.ca.issued.fingerprint in str(refused.value)
    assert "Nothing was sent" in str(refused.value)
    assert service.requests == []
    assert not request_.directory.exists()


@pytest.mark.parametrize("form", ["sha256:{}", "SHA256:{}", " {} "])
def test_a_fingerprint_is_taken_in_the_forms_people_copy(service: Enrollment, request_: Request, form: str) -> None:
    digits = service.ca.issued.fingerprint
    colons = ":".join(digits[i : i + 2] for i in range(0, 64, 2)).upper()
    enroll(replace(request_, fingerprint=form.format(colons)))


def test_a_fingerprint_that_is_none_is_refused(request_: Request) -> None:
    with pytest.raises(EnrollError, match="64 hex digits"):
        enroll(replace(request_, fingerprint="abc"))


def test_a_ca_file_serves_instead_of_a_fingerprint(service: Enrollment, request_: Request, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(service.ca.issued.pem)
    enroll(replace(request_, fingerprint=None, ca_file=tmp_path / "ca.pem"))


def test_a_ca_file_of_another_ca_sends_nothing(
    service: Enrollment, request_: Request, other_ca: Authority, tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").write_bytes(other_ca.issued.pem)
    with pytest.raises(FingerprintError, match="not the pinned"):
        enroll(replace(request_, ca_file=tmp_path / "ca.pem"))
    with pytest.raises(EnrollError, match="a certificate our CA did not sign"):
        enroll(replace(request_, fingerprint=None, ca_file=tmp_path / "ca.pem"))
    assert service.requests == []


def test_nobody_to_trust_is_refused(request_: Request) -> None:
    with pytest.raises(EnrollError, match="--ca-fingerprint SHA256 or --ca-file"):
        enroll(replace(request_, fingerprint=None))


def test_a_refused_token_is_told_in_one_clean_line(request_: Request) -> None:
    with pytest.raises(RefusedError) as refused:
        enroll(replace(request_, token="bad-token"))
    assert "the join token is used up" in str(refused.value)
    assert str(refused.value).isprintable()
    assert "bad-token" not in str(refused.value)


def test_a_collector_that_is_not_there_is_named(request_: Request, free_port: object) -> None:
    assert callable(free_port)
    where = f"127.0.0.1:{free_port()}"
    with pytest.raises(EnrollError, match=f"cannot reach the enrolment listener {where}"):
        enroll(replace(request_, collector=where))


@pytest.mark.parametrize(
    "change", [{"certificate": "x"}, {"ca_certificates": ""}, {"certificate": "ca"}, {"ca_certificates": "other"}]
)
def test_a_reply_that_does_not_fit_is_not_kept(
    service: Enrollment, request_: Request, other_ca: Authority, change: dict[str, str]
) -> None:
    pems = {"ca": service.ca.issued.pem.decode(), "other": other_ca.issued.pem.decode()}
    service.change = {name: pems.get(text, text) for name, text in change.items()}
    with pytest.raises(EnrollError, match="nothing kept"):
        enroll(request_)
    assert not (request_.directory / "key.pem").exists()


def test_a_full_disk_keeps_the_enrolment_pending(
    service: Enrollment, request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = files.write

    def full(path: Path, data: bytes, mode: int = files.PUBLIC) -> None:
        if path.name == "cert.pem":
            raise OSError(28, "No space left on device")
        write(path, data, mode)

    monkeypatch.setattr(files, "write", full)
    with pytest.raises(EnrollError, match="No space left on device; make room and run the same command again"):
        enroll(request_)
    monkeypatch.undo()
    assert enroll(request_).agent_id == "agent-1"
    assert len(service.given) == 1


def test_a_hostile_reply_cannot_write_control_characters(service: Enrollment, request_: Request) -> None:
    service.change = {"host": "pc\x1b[2J\n7"}
    assert enroll(request_).host == "pc [2J 7"
    assert json.loads((request_.directory / "identity.json").read_text())["host"] == "pc [2J 7"


def test_an_identity_stays_until_another_one_is_complete(service: Enrollment, request_: Request) -> None:
    enroll(request_)
    before = {path.name: path.read_bytes() for path in request_.directory.iterdir()}
    with pytest.raises(RefusedError):
        enroll(replace(request_, token="bad-token"))
    assert {name: (request_.directory / name).read_bytes() for name in before} == before
    assert len(service.given) == 1


def test_a_request_never_shows_its_token(request_: Request) -> None:
    assert "good-token" not in repr(request_)


def test_a_token_is_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "join").write_text("abc-123\n")
    assert read_token(str(tmp_path / "join")) == "abc-123"


def test_a_token_is_read_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("abc-123\n"))
    assert read_token("-") == "abc-123"


@pytest.mark.parametrize("content", [b"", b"two words", b"\xff\xfe", b"a\x00b"])
def test_what_is_no_token_is_refused_without_being_shown(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "join").write_bytes(content)
    with pytest.raises(EnrollError, match="is not a join token"):
        read_token(str(tmp_path / "join"))


def test_a_missing_token_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(EnrollError, match="No such file"):
        read_token(str(tmp_path / "none"))
    with pytest.raises(EnrollError, match="not a regular file"):
        read_token(str(tmp_path))
