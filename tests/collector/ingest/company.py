"""A company's own authorities, made as a test asks."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
YEAR = dt.timedelta(days=365)


@dataclass(frozen=True)
class Link:
    """One authority of a chain."""

    certificate: x509.Certificate
    key: Key

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def key_pem(self, password: bytes | None = None) -> bytes:
        locked = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)


def link(name: str, above: Link | None = None, key: Key | None = None, **changes: Any) -> Link:
    """An authority signed by `above`, or by itself; `changes`: ca, path_length, usage, start, end."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    ca = changes.get("ca", True)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(above.certificate.subject if above else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(changes.get("start", now - YEAR))
        .not_valid_after(changes.get("end", now + YEAR))
        .add_extension(x509.BasicConstraints(ca, changes.get("path_length") if ca else None), critical=True)
    )
    if "usage" in changes:
        flags = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign",
             "encipher_only", "decipher_only"), False,
        )  # fmt: skip
        usage = x509.KeyUsage(digital_signature=True, key_cert_sign=changes["usage"], **flags)
        builder = builder.add_extension(usage, critical=True)
    return Link(builder.sign(above.key if above else key, hashes.SHA256()), key)


def written(folder: Path, *chain: Link, key: bytes | None = None) -> tuple[Path, Path]:
    """(certificates, key) as files; the first of the chain signs."""
    folder.mkdir(exist_ok=True)
    (folder / "chain.pem").write_bytes(b"".join(each.pem for each in chain))
    (folder / "key.pem").write_bytes(chain[0].key_pem() if key is None else key)
    return folder / "chain.pem", folder / "key.pem"
