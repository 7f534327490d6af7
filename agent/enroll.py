"""Trades a join token for an identity: the key is made here and never leaves, the CA is pinned by fingerprint.

Imported only while enrolling: the running agent does without cryptography. Until a reply came, key and enrolment id
stay on disk, so that a lost reply repeats to the same identity.
"""

import json
import secrets
import stat
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grpc
import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from agent import __version__, channel, files, keys
from agent.errors import EnrollError, FingerprintError, RefusedError
from agent.identity import CA, CERTIFICATE, ENROLLMENT_PORT, FACTS, KEY, RENEWED, Facts, half_life
from agent.text import joined, normal_fingerprint, plain, split_address
from agent.trust import presented_ca
from czuwak.v1 import enrollment_pb2 as pb
from czuwak.v1 import enrollment_pb2_grpc as rpc

TIMEOUT_SECONDS = 30.0
PENDING = "enrollment.json"
PENDING_KEY = "enrollment-key.pem"
MAX_TOKEN = 4096
_REFUSALS = {
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
}


@dataclass(frozen=True, slots=True)
class Request:
    """One enrolment. Either a `fingerprint` (sha256 hex of the CA certificate) or a `ca_file`, or both."""

    collector: str
    token: str
    directory: Path
    fingerprint: str | None = None
    ca_file: Path | None = None
    server_name: str | None = None
    hostname: str = ""
    machine_fingerprint: str = ""

    def __repr__(self) -> str:
        return f"Request({self.collector}, {self.directory})"


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What came of it."""

    agent_id: str
    host: str
    collector: str
    not_after: float
    waits: bool = False  # a person has yet to approve the host


def enroll(request: Request, fetch_ca: Callable[[str, int, str], bytes] = presented_ca) -> Enrolled:
    """Make or resume an enrolment and write the identity. Raises EnrollError; then an earlier identity is untouched."""
    try:
        host, port = split_address(request.collector, ENROLLMENT_PORT)
    except ValueError as error:
        raise EnrollError(str(error)) from error
    ca = _trusted_ca(request, fetch_ca, host, port)
    enrollment_id, key = _pending(request.directory)
    reply = _ask(request, joined((host, port)), ca, enrollment_id, key)
    return _store(request, reply, key, ca, joined((host, port)))


def read_token(source: str) -> str:
    """The join token from a file, or from standard input for `-`. Raises EnrollError; never shows the token."""
    try:
        text = sys.stdin.read(MAX_TOKEN) if source == "-" else _small_text(Path(source))
    except OSError as error:
        raise EnrollError(f"{source}: {error.strerror}; put the join token into a file only you can read") from error
    except UnicodeDecodeError as error:
        raise EnrollError(f"{source} is not a join token: it is not text") from error
    token = text.strip()
    if not token or not token.isprintable() or " " in token:
        raise EnrollError(f"{source} is not a join token: expected the one word `czuwak token create` printed")
    return token


def _trusted_ca(request: Request, fetch: Callable[[str, int, str], bytes], host: str, port: int) -> bytes:
    try:
        pinned = normal_fingerprint(request.fingerprint) if request.fingerprint else None
    except ValueError as error:
        raise EnrollError(str(error)) from error
    if request.ca_file is None:
        if pinned is None:
            raise EnrollError("tell whom to trust: --ca-fingerprint SHA256 or --ca-file FILE")
        return fetch(host, port, pinned)
    try:
        pem = request.ca_file.read_bytes()
        found = [each.fingerprint(hashes.SHA256()).hex() for each in x509.load_pem_x509_certificates(pem)]
    except (OSError, ValueError) as error:
        raise EnrollError(f"{request.ca_file} is not a readable PEM certificate: {error}") from error
    if pinned is not None and pinned not in found:
        told = ", ".join(f"sha256:{each}" for each in found)
        raise FingerprintError(f"{request.ca_file} has the fingerprint {told}, not the pinned sha256:{pinned}")
    return pem


def _pending(directory: Path) -> tuple[str, keys.Key]:
    try:
        enrollment_id = str(json.loads((directory / PENDING).read_text())["enrollment_id"])
        return enrollment_id, keys.decoded((directory / PENDING_KEY).read_bytes())
    except (OSError, ValueError, KeyError, TypeError):
        pass  # nothing pending, or a torn write of a start that never asked: begin afresh
    enrollment_id, key = secrets.token_hex(16), keys.make()
    try:
        files.write(directory / PENDING_KEY, keys.encoded(key), files.PRIVATE)
        files.write(directory / PENDING, json.dumps({"enrollment_id": enrollment_id}).encode(), files.PRIVATE)
    except OSError as error:
        raise EnrollError(f"cannot write to {directory}: {error.strerror}; choose another --identity DIR") from error
    return enrollment_id, key


def _ask(request: Request, target: str, ca: bytes, enrollment_id: str, key: keys.Key) -> pb.EnrollResponse:
    message = pb.EnrollRequest(
        token=request.token,
        enrollment_id=enrollment_id,
        csr_der=keys.signing_request(key),
        hostname=request.hostname,
        machine_fingerprint=request.machine_fingerprint,
        agent_version=__version__,
    )
    with channel.secure(target, ca=ca, server_name=request.server_name or "") as open_channel:
        try:
            return rpc.EnrollmentServiceStub(open_channel).Enroll(message, timeout=TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            raise _error_of(channel.failure_of(error), target) from error


def _error_of(failure: channel.Failure, target: str) -> EnrollError:
    if failure.code in _REFUSALS:
        return RefusedError(f"{target} refused to enroll this machine: {failure.details or failure.code.name}")
    default = f"{target} did not enroll this machine ({failure.code.name}: {failure.details or 'no details'})"
    return EnrollError(f"{channel.meaning(failure, target) or default}; run the same command again, it resumes")


def _store(request: Request, reply: pb.EnrollResponse, key: keys.Key, ca: bytes, target: str) -> Enrolled:
    not_after = _checked(reply, key, ca)
    facts = Facts(
        plain(reply.agent_id),
        plain(reply.host),
        plain(reply.collector),
        request.server_name or "",
        not_after,
        target,
        half_life(time.time(), not_after),
    )
    try:
        _write(request.directory, reply, facts)
    except OSError as error:
        raise EnrollError(
            f"cannot write to {request.directory}: {error.strerror};"
            " make room and run the same command again, it resumes"
        ) from error
    return Enrolled(facts.agent_id, facts.host, facts.collector, not_after, reply.waits_for_approval)


def _write(directory: Path, reply: pb.EnrollResponse, facts: Facts) -> None:
    # identity.json comes last: what is there without it is not an identity yet, and the enrolment still pending.
    private = (directory / PENDING_KEY).read_bytes()
    files.remove(directory / RENEWED)  # of an identity that is given up
    for name, data, mode in (
        (KEY, private, files.PRIVATE),
        (CERTIFICATE, reply.certificate.encode(), files.PUBLIC),
        (CA, reply.ca_certificates.encode(), files.PUBLIC),
        (FACTS, msgspec.json.encode(facts), files.PUBLIC),
    ):
        files.write(directory / name, data, mode)
    files.remove(directory / PENDING)
    files.remove(directory / PENDING_KEY)


def _checked(reply: pb.EnrollResponse, key: keys.Key, ca: bytes) -> float:
    try:
        certificate = x509.load_pem_x509_certificate(reply.certificate.encode())
        authorities = x509.load_pem_x509_certificates(reply.ca_certificates.encode())
    except ValueError as error:
        raise EnrollError("the collector answered with something that is not a certificate; nothing kept") from error
    pinned = x509.load_pem_x509_certificates(ca)
    if certificate.public_key() != key.public_key() or not any(each in authorities for each in pinned):
        raise EnrollError("the collector answered with a certificate for another key or of another CA; nothing kept")
    return certificate.not_valid_after_utc.timestamp()


def _small_text(path: Path) -> str:
    if not stat.S_ISREG(path.stat().st_mode):
        raise EnrollError(f"{path} is not a regular file")
    with path.open(encoding="utf-8") as file:
        return file.read(MAX_TOKEN)
