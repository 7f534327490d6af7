"""A certificate authority's chain: from the one that signs up to its self-signed root, checked link by link. Pure."""

from collections.abc import Sequence
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from collector.ingest.errors import CaError

SigningKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_MOST_LINKS = 6
_LEAST_RSA_BITS = 2048


def read_key(pem: bytes, where: str) -> SigningKey:
    """The key a certificate authority signs with: EC P-256, P-384 or RSA from 2048 bits. Raises CaError."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except TypeError as error:
        raise CaError(f"{where} is encrypted; decrypt it first: openssl pkey -in {where} -out PLAIN") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CaError(f"{where} is not a private key in PEM; it is damaged or another file.") from error
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1):
        return key
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= _LEAST_RSA_BITS:
        return key
    raise CaError(f"{where} is no key we sign with; make one of EC P-256, EC P-384 or RSA from {_LEAST_RSA_BITS} bits.")


def read_chain(pem: bytes, where: str) -> tuple[x509.Certificate, ...]:
    """All certificates in the text, in order. Raises CaError."""
    try:
        return tuple(x509.load_pem_x509_certificates(pem))
    except ValueError as error:
        raise CaError(f"{where} holds no certificate in PEM; it is damaged or another file.") from error


def check(chain: Sequence[x509.Certificate], key: SigningKey, where: str) -> None:
    """Raises CaError unless the first may sign and every link is signed by the next, up to a self-signed root."""
    if len(chain) > _MOST_LINKS:
        raise CaError(f"{where} holds {len(chain)} certificates; a chain has at most {_MOST_LINKS}.")
    if key.public_key() != chain[0].public_key():
        raise CaError(f"The key and the first certificate of {where} do not belong together.")
    for depth, certificate in enumerate(chain):
        _check_may_sign(certificate, depth, where)
    for lower, upper in pairwise(chain):
        if not _signed_by(lower, upper):
            raise CaError(f"{where}: {_name(lower)} is not signed by {_name(upper)}, which follows it.")
    root = chain[-1]
    if not _signed_by(root, root):
        told = f"{where} ends with {_name(root)}, which {_name(root, issuer=True)} signed"
        raise CaError(f"{told}; add the certificates up to the self-signed root, which agents believe.")


def check_times(chain: Sequence[x509.Certificate], at: float, where: str) -> None:
    """Raises CaError for a chain that is not valid at this time: new authorities are not taken over when over."""
    for certificate in chain:
        if not certificate.not_valid_before_utc.timestamp() <= at < certificate.not_valid_after_utc.timestamp():
            raise CaError(f"{where}: {_name(certificate)} has ended or does not begin yet; take one that is valid.")


def digest_for(key: SigningKey) -> hashes.SHA256 | hashes.SHA384:
    """The hash that fits the key."""
    large = isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP384R1)
    return hashes.SHA384() if large else hashes.SHA256()


def _check_may_sign(certificate: x509.Certificate, depth: int, where: str) -> None:
    try:
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (x509.ExtensionNotFound, ValueError) as error:
        raise CaError(
            f"{where}: {_name(certificate)} is not a certificate authority's (no basicConstraints)."
        ) from error
    if not basic.ca:
        raise CaError(f"{where}: {_name(certificate)} is not a certificate authority's (CA:FALSE).")
    if basic.path_length is not None and basic.path_length < depth:
        raise CaError(f"{where}: {_name(certificate)} allows only {basic.path_length} authorities below it.")
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return
    if not usage.key_cert_sign:
        raise CaError(f"{where}: {_name(certificate)} may not sign certificates (keyUsage).")


def _signed_by(lower: x509.Certificate, upper: x509.Certificate) -> bool:
    try:
        lower.verify_directly_issued_by(upper)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _name(certificate: x509.Certificate, *, issuer: bool = False) -> str:
    name = certificate.issuer if issuer else certificate.subject
    return name.rfc4514_string() or "a certificate without a name"
