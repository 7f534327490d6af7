"""A new certificate for the key this machine proves to hold: the command behind `czuwak-agent renew`.

Imported only while renewing: the running agent starts this as a child. One file, replaced in one step, is the new pair;
only then key and certificate are put in their places, so that after a crash at any line there is a pair that fits.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import msgspec
from cryptography import x509

from agent import channel, files, identity, keys
from agent.errors import IdentityError, RefusedError, RenewError
from agent.identity import CA, CERTIFICATE, FACTS, KEY, RENEWED, Identity, half_life
from czuwak.v1 import enrollment_pb2 as pb
from czuwak.v1 import enrollment_pb2_grpc as rpc

PREFIX = b"czuwak renew 1\n"
PENDING_KEY = "renewal-key.pem"
TIMEOUT_SECONDS = 30.0
_REFUSALS = {
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
}


@dataclass(frozen=True, slots=True)
class Request:
    """One renewal: where the identity is, where the enrolment listener, under which name it shows its certificate."""

    directory: Path
    target: str
    server_name: str = ""
    machine_fingerprint: str = ""


def renew(request: Request) -> float:
    """Until when the new certificate is good, Unix seconds. Raises RenewError, RefusedError, IdentityError.

    The old pair stays in use until the new one is whole. A lost reply repeats to the same certificate.
    """
    identity.load(request.directory)  # first of all: what is wrong with it is its own error
    try:
        with _alone(request.directory):
            settle(request.directory)
            owned = identity.load(request.directory)
            key = _pending(request.directory, owned)
            reply = _ask(request, owned, key)
            return _store(request.directory, owned, reply, key)
    except OSError as error:
        raise RenewError(
            f"{error.filename or request.directory}: {error.strerror}; the old certificate stays"
        ) from error


def settle(directory: Path) -> None:
    """Finish what a crash left half done: a whole new pair goes to its places. Raises OSError, IdentityError."""
    path = directory / RENEWED
    if path.exists():
        certificate, key = identity.split_pair(path)
        files.write(directory / KEY, key, files.PRIVATE)
        files.write(directory / CERTIFICATE, certificate, files.PUBLIC)
        files.remove(path)


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Two renewals at once would each overwrite what the other was given."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _pending(directory: Path, owned: Identity) -> keys.Key:
    """The key of an earlier attempt whose reply was lost, or a new one. Kept before anybody is asked."""
    pending = keys.read(directory / PENDING_KEY)
    # A crash right after the last renewal leaves the key that is in use now.
    if pending is not None and keys.encoded(pending) != owned.key:
        return pending
    made = keys.make()
    files.write(directory / PENDING_KEY, keys.encoded(made), files.PRIVATE)
    return made


def _ask(request: Request, owned: Identity, key: keys.Key) -> pb.RenewResponse:
    signing_request = keys.signing_request(key)
    try:
        proof = keys.signature(keys.decoded(owned.key), PREFIX + signing_request)
    except ValueError as error:
        raise IdentityError(f"{request.directory / KEY}: {error}; enroll again with --replace") from error
    message = pb.RenewRequest(
        certificate=owned.certificate.decode("ascii", "replace"),
        csr_der=signing_request,
        signature=proof,
        machine_fingerprint=request.machine_fingerprint,
    )
    with channel.secure(request.target, ca=owned.ca, server_name=request.server_name) as open_channel:
        try:
            return rpc.EnrollmentServiceStub(open_channel).Renew(message, timeout=TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            raise _error_of(channel.failure_of(error), request.target) from error


def _error_of(failure: channel.Failure, target: str) -> RenewError | RefusedError:
    told = failure.details or failure.code.name
    if failure.code in _REFUSALS:
        return RefusedError(f"{target} refused to renew the certificate: {told}")
    if failure.code is grpc.StatusCode.UNIMPLEMENTED:
        return RenewError(f"{target} cannot renew certificates: the collector is older than this agent; upgrade it")
    meaning = channel.meaning(failure, target) or f"{target} did not renew the certificate ({told})"
    return RenewError(f"{meaning}; it is tried again")


def _store(directory: Path, owned: Identity, reply: pb.RenewResponse, key: keys.Key) -> float:
    not_after = _checked(reply, key)
    certificate, authorities = reply.certificate.encode(), reply.ca_certificates.encode()
    if authorities != owned.ca:
        files.write(directory / CA, authorities, files.PUBLIC)
    # From this one step on the new pair is the identity's.
    files.write(directory / RENEWED, identity.joined_pair(certificate, keys.encoded(key)), files.PRIVATE)
    facts = msgspec.structs.replace(owned.facts, not_after=not_after, renew_at=half_life(time.time(), not_after))
    files.write(directory / FACTS, msgspec.json.encode(facts), files.PUBLIC)
    settle(directory)
    files.remove(directory / PENDING_KEY)
    return not_after


def _checked(reply: pb.RenewResponse, key: keys.Key) -> float:
    try:
        certificate = x509.load_pem_x509_certificate(reply.certificate.encode())
        x509.load_pem_x509_certificates(reply.ca_certificates.encode())
    except ValueError as error:
        raise RenewError("the collector answered with something that is not a certificate; nothing kept") from error
    if certificate.public_key() != key.public_key():
        raise RenewError("the collector answered with a certificate for another key; nothing kept")
    return certificate.not_valid_after_utc.timestamp()
