"""The certificate authority, our own or the company's: signs agents' keys with one fixed profile.

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
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from collector.ingest import chain as links
from collector.ingest.errors import CaError, CsrError

KEY_FILE = "ca-key.pem"
CERTIFICATE_FILE = "ca.pem"
AGENT_URI = "czuwak://agent/"

_DAY = 86400.0
_CA_DAYS = 3652
AGENT_SECONDS = 30 * _DAY  # renewed at half life, see docs/decisions/0005
SERVER_SECONDS = 90 * _DAY
_BACKDATED = 30.0  # a certificate begins a thirtieth of its life before it is made, at most a day
_MAX_CSR_BYTES = 8192


@dataclass(frozen=True, slots=True)
class Issued:
    """One agent certificate; `serial` is lower-case hex, `not_after` Unix seconds."""

    serial: str
    certificate_pem: str
    not_after: float
    not_before: float = 0.0


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """What a listener presents: its private key and the chain of leaf and authority, both PEM."""

    key_pem: bytes
    chain_pem: bytes
    not_after: float


@dataclass(frozen=True, slots=True)
class Authority:
    """A loaded authority; makes certificates, keeps no record of them.

    `above` are the certificates from the one above ours up to the root; our own authority is its own root.
    """

    certificate: x509.Certificate
    key: links.SigningKey
    above: tuple[x509.Certificate, ...] = ()
    agent_seconds: float = AGENT_SECONDS
    server_seconds: float = SERVER_SECONDS

    @property
    def ca_pem(self) -> bytes:
        """Whom agents and listeners believe: the whole chain, the root last, PEM."""
        return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in (self.certificate, *self.above))

    @property
    def fingerprint(self) -> str:
        """`sha256:` and 64 hex digits over the root's certificate in DER: what agents pin."""
        root = self.above[-1] if self.above else self.certificate
        return f"sha256:{root.fingerprint(hashes.SHA256()).hex()}"

    @property
    def not_after(self) -> float:
        """When the first certificate of the chain ends, Unix seconds."""
        return min(each.not_valid_after_utc.timestamp() for each in (self.certificate, *self.above))

    def sign_agent(self, csr_der: bytes, agent_id: str, at: float) -> Issued:
        """Certificate for the key in the request; raises CsrError."""
        key = read_csr(csr_der)
        begin, end = self._life(at, self.agent_seconds)
        builder = _profile(key, agent_id, begin, end, self.certificate).add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(AGENT_URI + agent_id)]), critical=False
        )
        made = self._sign(builder, ExtendedKeyUsageOID.CLIENT_AUTH)
        return Issued(serial_of(made), self._presented(made).decode(), end, begin)

    def server_certificate(self, names: Iterable[str], at: float) -> ServerCertificate:
        """Key and chain for a listener reached under these host names and addresses; the root is shown for pinning."""
        key = ec.generate_private_key(ec.SECP256R1())
        begin, end = self._life(at, self.server_seconds)
        alternatives = [_general_name(name) for name in dict.fromkeys(names)]
        builder = _profile(key.public_key(), "Czuwak collector", begin, end, self.certificate).add_extension(
            x509.SubjectAlternativeName(alternatives), critical=False
        )
        made = self._sign(builder, ExtendedKeyUsageOID.SERVER_AUTH)
        return ServerCertificate(_key_pem(key), made.public_bytes(serialization.Encoding.PEM) + self.ca_pem, end)

    def _life(self, at: float, seconds: float) -> tuple[float, float]:
        # Begun earlier: a computer whose clock is some hours slow must still be able to connect and be told so.
        # Nothing outlives who signed it: OpenSSL would refuse it anyway, and nobody would know why.
        return float(int(at - min(_DAY, seconds / _BACKDATED))), min(float(int(at + seconds)), self.not_after)

    def _presented(self, made: x509.Certificate) -> bytes:
        """With what is between it and the root: whoever believes the root alone can check it."""
        between = (self.certificate, *self.above)[:-1]
        return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in (made, *between))

    def _sign(self, builder: x509.CertificateBuilder, usage: x509.ObjectIdentifier) -> x509.Certificate:
        return builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False).sign(
            self.key, links.digest_for(self.key)
        )


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


def adopt(directory: Path, certificates: Path, key: Path, *, at: float | None = None) -> Authority:
    """Takes over the company's authority: its certificate with the chain up to the root, and its key. Raises CaError.

    Nothing is written unless all of it fits; never overwrites.
    """
    try:
        chain_pem, key_pem = certificates.read_bytes(), key.read_bytes()
    except OSError as error:
        raise CaError(f"Cannot read {error.filename}: {error.strerror}.") from error
    chain = links.read_chain(chain_pem, str(certificates))
    signing = links.read_key(key_pem, str(key))
    links.check(chain, signing, str(certificates))
    links.check_times(chain, time.time() if at is None else at, str(certificates))
    made = Authority(chain[0], signing, chain[1:])
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_new(directory / KEY_FILE, _key_pem(signing), 0o600)
        _write_new(directory / CERTIFICATE_FILE, made.ca_pem, 0o644)
        _sync_directory(directory)
    except FileExistsError as error:
        raise CaError(f"{error.filename} exists already; a certificate authority is chosen once and kept.") from error
    except OSError as error:
        raise CaError(f"Cannot keep the certificate authority in {directory}: {error.strerror}.") from error
    return made


def load(directory: Path, *, agent_seconds: float = AGENT_SECONDS, server_seconds: float = SERVER_SECONDS) -> Authority:
    """The authority in `directory`; raises CaError if missing, damaged or its key readable by others."""
    key_pem = _read_private(directory / KEY_FILE)
    try:
        chain_pem = (directory / CERTIFICATE_FILE).read_bytes()
    except OSError as error:
        raise CaError(f"Cannot read {error.filename}: {error.strerror}. Run `czuwak init` first.") from error
    try:
        key = links.read_key(key_pem, str(directory / KEY_FILE))
        chain = links.read_chain(chain_pem, str(directory / CERTIFICATE_FILE))
        links.check(chain, key, str(directory / CERTIFICATE_FILE))
    except CaError as error:
        told = f"The certificate authority in {directory} is damaged; restore both files from a backup"
        raise CaError(f"{told}: {error}") from error
    return Authority(chain[0], key, chain[1:], agent_seconds, server_seconds)


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
    key: ec.EllipticCurvePublicKey, name: str, begin: float, end: float, issuer: x509.Certificate
) -> x509.CertificateBuilder:
    return (
        _base(_common_name(name), issuer.subject, key, begin, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs=False), critical=True)
        .add_extension(_authority_key(issuer), critical=False)
    )


def _authority_key(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    try:
        named = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:  # a company's own authority need not have one
        key = issuer.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey)  # noqa: S101 - checked when it was loaded
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(key)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(named)


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


def _key_pem(key: links.SigningKey) -> bytes:
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
