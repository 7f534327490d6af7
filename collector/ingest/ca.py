"""The embedded certificate authority: makes itself once, signs agents' keys with one fixed profile.

Touches its own directory and nothing else. Whatever a signing request asks for is ignored.
"""

import datetime as dt
import hashlib
import ipaddress
import os
import stat
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from collector.ingest.errors import CaError, CsrError

KEY_FILE = "ca-key.pem"
CERTIFICATE_FILE = "ca.pem"
AGENT_URI = "czuwak://agent/"

_DAY = 86400.0
_CA_DAYS = 3652
# A year each: there is no renewal yet, and a fleet must not fall silent after a month. See docs/decisions/0004.
_AGENT_DAYS = 365
_SERVER_DAYS = 365
_MAX_CSR_BYTES = 8192


@dataclass(frozen=True, slots=True)
class Issued:
    """One agent certificate; `serial` is lower-case hex, `not_after` Unix seconds."""

    serial: str
    certificate_pem: str
    not_after: float


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """What a listener presents: its private key and the chain of leaf and authority, both PEM."""

    key_pem: bytes
    chain_pem: bytes
    not_after: float


@dataclass(frozen=True, slots=True)
class Authority:
    """A loaded authority; makes certificates, keeps no record of them."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def ca_pem(self) -> bytes:
        """The authority's certificate, PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def fingerprint(self) -> str:
        """`sha256:` and 64 hex digits over the authority's certificate in DER."""
        return f"sha256:{self.certificate.fingerprint(hashes.SHA256()).hex()}"

    @property
    def not_after(self) -> float:
        """When the authority itself ends, Unix seconds."""
        return self.certificate.not_valid_after_utc.timestamp()

    def sign_agent(self, csr_der: bytes, agent_id: str, at: float) -> Issued:
        """Certificate of a year for the key in the request; raises CsrError."""
        key = read_csr(csr_der)
        end = at + _AGENT_DAYS * _DAY
        builder = _profile(key, agent_id, at, end, self.certificate).add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(AGENT_URI + agent_id)]), critical=False
        )
        made = self._sign(builder, ExtendedKeyUsageOID.CLIENT_AUTH)
        return Issued(serial_of(made), made.public_bytes(serialization.Encoding.PEM).decode(), end)

    def server_certificate(self, names: Iterable[str], at: float) -> ServerCertificate:
        """Key and chain of a year for a listener reached under these host names and addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        end = at + _SERVER_DAYS * _DAY
        alternatives = [_general_name(name) for name in dict.fromkeys(names)]
        builder = _profile(key.public_key(), "Czuwak collector", at, end, self.certificate).add_extension(
            x509.SubjectAlternativeName(alternatives), critical=False
        )
        made = self._sign(builder, ExtendedKeyUsageOID.SERVER_AUTH)
        return ServerCertificate(_key_pem(key), made.public_bytes(serialization.Encoding.PEM) + self.ca_pem, end)

    def _sign(self, builder: x509.CertificateBuilder, usage: x509.ObjectIdentifier) -> x509.Certificate:
        return builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False).sign(self.key, hashes.SHA256())


def create(directory: Path, *, at: float | None = None, name: str = "Czuwak CA") -> Authority:
    """Makes key (0600) and certificate (10 years) in `directory`; never overwrites. Raises CaError."""
    at = time.time() if at is None else at
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _common_name(name)
    certificate = (
        _base(subject, subject, key.public_key(), at - _DAY, at + _CA_DAYS * _DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_new(directory / KEY_FILE, _key_pem(key), 0o600)
        _write_new(directory / CERTIFICATE_FILE, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
        _sync_directory(directory)
    except FileExistsError as error:
        raise CaError(f"{error.filename} exists already; a certificate authority is made once and kept.") from error
    except OSError as error:
        raise CaError(f"Cannot make the certificate authority in {directory}: {error.strerror}.") from error
    return Authority(certificate, key)


def load(directory: Path) -> Authority:
    """The authority in `directory`; raises CaError if missing, damaged or its key readable by others."""
    key_pem = _read_private(directory / KEY_FILE)
    try:
        key = serialization.load_pem_private_key(key_pem, password=None)
        certificate = x509.load_pem_x509_certificate((directory / CERTIFICATE_FILE).read_bytes())
    except OSError as error:
        raise CaError(f"Cannot read {error.filename}: {error.strerror}. Run `czuwak init` first.") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CaError(f"The certificate authority in {directory} is damaged; restore it from a backup.") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise CaError(f"{KEY_FILE} and {CERTIFICATE_FILE} in {directory} do not belong together; restore both.")
    return Authority(certificate, key)


def read_csr(csr_der: bytes) -> ec.EllipticCurvePublicKey:
    """The key a request (PKCS #10, DER) proves to hold; raises CsrError. Only P-256: gRPC's TLS offers no Ed25519."""
    if len(csr_der) > _MAX_CSR_BYTES:
        raise CsrError(f"The signing request is larger than {_MAX_CSR_BYTES} bytes.")
    try:
        csr = x509.load_der_x509_csr(csr_der)
        key, valid = csr.public_key(), csr.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise CsrError("The signing request is not a PKCS #10 request in DER.") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise CsrError("The signing request's key is not a P-256 key.")
    if not valid:
        raise CsrError("The signing request's signature does not prove its key.")
    return key


def key_hash(key: ec.EllipticCurvePublicKey) -> str:
    """64 hex digits that name a public key."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def serial_of(certificate: x509.Certificate) -> str:
    """A certificate's serial number in lower-case hex, as it is kept in the database."""
    return f"{certificate.serial_number:x}"


def agent_of(certificate: x509.Certificate) -> str | None:
    """The agent_id in a certificate's SAN URI; None if it is not an agent's."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return None
    uris = [u for u in names.get_values_for_type(x509.UniformResourceIdentifier) if u.startswith(AGENT_URI)]
    return uris[0].removeprefix(AGENT_URI) if len(uris) == 1 else None


def _profile(
    key: ec.EllipticCurvePublicKey, name: str, at: float, end: float, issuer: x509.Certificate
) -> x509.CertificateBuilder:
    # A day back: a computer whose clock is some hours slow must still be able to connect and be told so.
    return (
        _base(_common_name(name), issuer.subject, key, at - _DAY, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs=False), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
                issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
            ),
            critical=False,
        )
    )


def _base(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, start: float, end: float
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(dt.datetime.fromtimestamp(int(start), dt.UTC))
        .not_valid_after(dt.datetime.fromtimestamp(int(end), dt.UTC))
    )


def _key_usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write_new(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_private(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        raise CaError(f"Cannot read {path}: {error.strerror}. Run `czuwak init` first.") from error
    with os.fdopen(descriptor, "rb") as file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            raise CaError(f"{path} can be read by others; run: chmod 600 {path}")
        return file.read()
