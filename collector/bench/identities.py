"""Enrolled hosts for a bench, without a call of enrolment each: rows in the store, certificates in a folder."""

from pathlib import Path

import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from collector.ingest import ca
from collector.store import Store, hosts
from collector.store import tables as t

CA, KEY = "ca.pem", "agent.key"


def make(folder: Path, authority: ca.Authority, store: Store, count: int, at: float, *, class_: str = "server") -> Path:
    """`count` hosts bench-00000 and on, in one transaction: `folder` gets ca.pem, agent.key and one NAME.pem each.

    Their rows are written as enrolment would, but in bulk: a fleet is there within seconds.
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
    named = {f"00000000-0000-4000-8000-{number:012d}": f"bench-{number:05d}" for number in range(count)}
    issued = {host_id: authority.sign_agent(request, host_id, at) for host_id in named}
    for host_id, name in named.items():
        (folder / f"{name}.pem").write_text(issued[host_id].certificate_pem)
    with store.write() as conn:
        owner = hosts.companies(conn)[0].id
        rows = [_host(host_id, name, owner, class_, at) for host_id, name in named.items()]
        conn.execute(sa.insert(t.host), rows)
        conn.execute(sa.insert(t.enrollment), [_enrollment(host_id, name, at) for host_id, name in named.items()])
        conn.execute(sa.insert(t.certificate), [_certificate(host_id, one, at) for host_id, one in issued.items()])
    return folder


def _host(host_id: str, name: str, owner: int, class_: str, at: float) -> dict[str, object]:
    return {
        "id": host_id,
        "company_id": owner,
        "site": "bench",
        "class": class_,
        "name": name,
        "instance": name,
        "presence": "never_seen",
        "presence_reason": "",
        "presence_since": at,
        "session_gen": 0,
        "agent_version": "",
        "facts": {},
        "first_seen": at,
        "approved_at": at,
        "machine_fingerprint": "",
    }


def _enrollment(host_id: str, name: str, at: float) -> dict[str, object]:
    return {"id": name, "key_hash": name, "host_id": host_id, "at": at}


def _certificate(host_id: str, one: ca.Issued, at: float) -> dict[str, object]:
    told = {"serial": one.serial, "pem": one.certificate_pem, "not_after": one.not_after}
    return {**told, "host_id": host_id, "issued_at": at, "key_hash": ""}


def names(folder: Path) -> list[str]:
    """The agents whose certificates are there, in order."""
    return sorted(path.stem for path in folder.glob("*.pem") if path.name != CA)


def key_of(folder: Path, name: str) -> bytes:
    """The agent's private key: its own, else the one all share."""
    own = folder / f"{name}.key"
    return (own if own.exists() else folder / KEY).read_bytes()
