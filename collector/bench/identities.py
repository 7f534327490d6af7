"""Enrolled hosts for a bench, without a call of enrolment each: rows in the store, certificates in a folder."""

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from collector.ingest import ca
from collector.store import Store, enrollments, hosts

CA, KEY = "ca.pem", "agent.key"


def make(folder: Path, authority: ca.Authority, store: Store, count: int, at: float, *, class_: str = "server") -> Path:
    """`count` hosts bench-00000 and on, in one transaction: `folder` gets ca.pem, agent.key and one NAME.pem each.

    They share one private key, which no real fleet does; what tells agents apart is the certificate alone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    request = csr.public_bytes(serialization.Encoding.DER)
    (folder / CA).write_bytes(authority.ca_pem)
    (folder / KEY).touch(0o600)
    (folder / KEY).write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    with store.write() as conn:
        company = hosts.companies(conn)[0].slug
        for number in range(count):
            name, host_id = f"bench-{number:05d}", f"00000000-0000-4000-8000-{number:012d}"
            issued = authority.sign_agent(request, host_id, at)
            (folder / f"{name}.pem").write_text(issued.certificate_pem)
            enrollments.add_host(
                conn, host_id=host_id, company=company, site="bench", class_=class_, name=name, enrollment_id=name,
                key_hash=name, serial=issued.serial, certificate_pem=issued.certificate_pem,
                not_after=issued.not_after, at=at,
            )  # fmt: skip
    return folder


def names(folder: Path) -> list[str]:
    """The agents whose certificates are there, in order."""
    return sorted(path.stem for path in folder.glob("*.pem") if path.name != CA)


def key_of(folder: Path, name: str) -> bytes:
    """The agent's private key: its own, else the one all share."""
    own = folder / f"{name}.key"
    return (own if own.exists() else folder / KEY).read_bytes()
