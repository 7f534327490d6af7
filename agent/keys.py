"""The agent's private keys with cryptography: made, kept as PEM, proven. Imported only to enroll and to renew."""

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as pem
from cryptography.hazmat.primitives.asymmetric import ec

Key = ec.EllipticCurvePrivateKey


def make() -> Key:
    """A new key."""
    return ec.generate_private_key(ec.SECP256R1())


def encoded(key: Key) -> bytes:
    """PKCS #8, PEM, not encrypted: the file's mode keeps it."""
    return key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.NoEncryption())


def decoded(data: bytes) -> Key:
    """The key in a PEM file. Raises ValueError for anything else."""
    try:
        key = pem.load_pem_private_key(data, password=None)
    except TypeError as error:
        raise ValueError("the key is encrypted") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("not a key of the agent's kind")  # noqa: TRY004 - the file's content is wrong
    return key


def read(path: Path) -> Key | None:
    """The key in a file; None where there is none or a torn one."""
    try:
        return decoded(path.read_bytes())
    except (OSError, ValueError):
        return None


def signing_request(key: Key) -> bytes:
    """PKCS #10, DER. The collector ignores every name in it; its signature proves the key."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(pem.Encoding.DER)


def signature(key: Key, message: bytes) -> bytes:
    """ECDSA with SHA-256."""
    return key.sign(message, ec.ECDSA(hashes.SHA256()))
