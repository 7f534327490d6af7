"""A certificate we know, and proof of its key, for a new certificate of the same identity.

Served where no client certificate is asked for: an expired one could not pass there. Proven before any write.
"""

from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from collector.ingest.ca import Authority, key_hash, read_csr, serial_of
from collector.ingest.errors import CsrError, EnrollmentError
from collector.store import certificates, enrollments
from collector.store.engine import Store
from collector.store.errors import StoreError
from czuwak.v1 import enrollment_pb2 as pb

PREFIX = b"czuwak renew 1\n"
LATE_SECONDS = 90 * 86400.0  # a laptop that was away returns by itself within this; later it enrols again
_TRIES = 5
_MAX_PEM = 16 << 10


@dataclass(frozen=True, slots=True)
class Renewed:
    """What an agent gets; times are Unix seconds."""

    host_id: str
    certificate_pem: str
    not_before: float
    not_after: float


def renew(store: Store, authority: Authority, request: pb.RenewRequest, at: float) -> Renewed:
    """The whole renewal in one transaction, tried again where it lost a race. Raises EnrollmentError."""
    old = _proven(request)
    try:
        new_key = key_hash(read_csr(request.csr_der))
    except CsrError as error:
        raise EnrollmentError("INVALID_ARGUMENT", str(error)) from error
    for _ in range(_TRIES):
        try:
            return _renew_once(store, authority, request, old, new_key, at)
        except StoreError as error:
            if not error.again:
                raise EnrollmentError("UNAVAILABLE", "The collector's database is away; try again later.") from error
    raise EnrollmentError("ABORTED", "Too many renewals at once; try again.")


def _renew_once(
    store: Store, authority: Authority, request: pb.RenewRequest, old: x509.Certificate, new_key: str, at: float
) -> Renewed:
    with store.write() as conn:
        known = certificates.known(conn, serial_of(old), lock=True)
        # A serial alone proves nothing: anybody could make a certificate with it. Ours is the one we kept.
        if known is None or x509.load_pem_x509_certificate(known.pem.encode()) != old:
            detail = "This certificate was not issued here; enrol this computer again."
            raise EnrollmentError("PERMISSION_DENIED", detail)
        _refuse(known, request.machine_fingerprint, at)
        again = certificates.of_key(conn, known.host_id, new_key)
        if again is not None and again.serial == known.serial:
            raise EnrollmentError("INVALID_ARGUMENT", "A renewal needs a new key.")
        if again is not None and not again.ended and not again.superseded and again.not_after > at:
            return _renewed(again.host_id, again.pem, again.not_after)
        issued = authority.sign_agent(request.csr_der, known.host_id, at)
        enrollments.add_certificate(
            conn,
            known.host_id,
            serial=issued.serial,
            pem=issued.certificate_pem,
            not_after=issued.not_after,
            at=at,
            key_hash=new_key,
        )
    return _renewed(known.host_id, issued.certificate_pem, issued.not_after)


def _refuse(known: certificates.Known, fingerprint: str, at: float) -> None:
    if known.ended:
        raise EnrollmentError("PERMISSION_DENIED", "This identity was revoked; enrol this computer again.")
    if known.superseded:
        detail = "A newer certificate of this identity is in use, so this is an old copy; enrol this computer again."
        raise EnrollmentError("PERMISSION_DENIED", detail)
    if at > known.not_after + LATE_SECONDS:
        days = LATE_SECONDS / 86400
        detail = f"This certificate ended more than {days:g} days ago; enrol this computer again."
        raise EnrollmentError("PERMISSION_DENIED", detail)
    if fingerprint and known.machine_fingerprint not in ("", fingerprint[:128]):
        detail = "This identity belongs to another computer; enrol this one again."
        raise EnrollmentError("PERMISSION_DENIED", detail)


def _proven(request: pb.RenewRequest) -> x509.Certificate:
    """The certificate whose key made the signature."""
    if len(request.certificate) > _MAX_PEM:
        raise EnrollmentError("INVALID_ARGUMENT", "The certificate is too long.")
    try:
        certificate = x509.load_pem_x509_certificate(request.certificate.encode())
        key = certificate.public_key()
    except ValueError as error:
        raise EnrollmentError("INVALID_ARGUMENT", "The certificate is not PEM.") from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise EnrollmentError("INVALID_ARGUMENT", "The certificate's key is not a P-256 key.")
    try:
        key.verify(request.signature, PREFIX + request.csr_der, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise EnrollmentError("UNAUTHENTICATED", "The signature does not prove the certificate's key.") from error
    return certificate


def _renewed(host_id: str, pem: str, not_after: float) -> Renewed:
    begin = x509.load_pem_x509_certificate(pem.encode()).not_valid_before_utc.timestamp()
    return Renewed(host_id, pem, begin, not_after)
