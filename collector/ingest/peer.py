"""Who is at the other end of a TLS connection: taken from its certificate and from nothing else."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cryptography import x509

from collector.ingest.ca import agent_of, serial_of


@dataclass(frozen=True, slots=True)
class Peer:
    """An agent's certificate: whose it is, its serial in hex, when it ends, how many seconds it was made for."""

    agent_id: str
    serial: str
    not_after: float = 0.0
    life: float = 0.0


def peer_of(auth: Mapping[str, Iterable[bytes]]) -> Peer | None:
    """The agent behind a gRPC context's `auth_context()`; None if it shows no agent's certificate."""
    for pem in auth.get("x509_pem_cert", ()):
        try:
            certificate = x509.load_pem_x509_certificate(pem)
        except ValueError:
            return None
        agent_id = agent_of(certificate)
        end = certificate.not_valid_after_utc.timestamp()
        life = end - certificate.not_valid_before_utc.timestamp()
        return Peer(agent_id, serial_of(certificate), end, life) if agent_id else None
    return None
