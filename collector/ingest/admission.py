"""Who may open a stream: the certificate we issued, in use, of a host in service, on the computer it is bound to."""

from collections.abc import Sequence
from dataclasses import dataclass

from collector.alerts.alert import Alert
from collector.ingest.arrival import NOTHING_TOLD, Arrival, arrived
from collector.ingest.facts import facts_of
from collector.ingest.peer import Peer
from collector.store import Connection, certificates, hosts, machines
from collector.store.alerts import alerts_by_host
from collector.store.engine import Store, clock
from czuwak.v1 import ingest_pb2 as pb

# The agent knows by the words "waits for approval" that it need not be enrolled again.
WAITS = "This computer waits for approval: somebody has to run `czuwak host approve` or press Approve."
ENDED = "This identity is not valid here (any more); enrol this computer again."
REPLACED = "A newer certificate of this identity is in use, so this is an old copy; enrol this computer again."


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why not: one word for the metric, one sentence for the agent."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Session:
    """What the database gave: a generation, 0 for an identity that has ended; or that another computer owns it.

    `first` is the first sight of that other computer for a while.
    """

    gen: int = 0
    foreign: bool = False
    first: bool = False
    alerts: Sequence[Alert] = ()  # the host's, as they stood when this collector got it
    arrival: Arrival = NOTHING_TOLD


def admitted(store: Store, peer: Peer) -> hosts.Host | Refusal:
    """The host behind a certificate, or why it may not speak. Raises StoreError."""
    with store.read() as conn:
        known = certificates.known(conn, peer.serial)
        host = hosts.host(conn, peer.agent_id, None)
    if known is None or host is None or known.host_id != host.id or known.ended:
        return Refusal("revoked", ENDED)
    if known.superseded:
        return Refusal("superseded", REPLACED)
    return host if host.approved_at is not None else Refusal("approval", WAITS)


def open_sessions(
    store: Store, asked: Sequence[tuple[Peer, pb.Hello]], at: float, *, collector: str | None = None
) -> tuple[Session, ...]:
    """Sessions for the computers the identities are bound to, in one transaction. Raises StoreError."""
    # In the order in which everybody locks hosts.
    order = sorted(range(len(asked)), key=lambda place: asked[place][0].agent_id)
    opened: dict[int, Session] = {}
    with store.write() as conn:
        for place in order:
            opened[place] = _open(conn, *asked[place], at, collector)
    return tuple(opened[place] for place in range(len(asked)))


def _open(conn: Connection, peer: Peer, hello: pb.Hello, at: float, collector: str | None) -> Session:
    """An older certificate ends with the session."""
    fingerprint = hello.machine_fingerprint[:128]
    if machines.foreign(conn, peer.agent_id, fingerprint):
        return Session(foreign=True, first=machines.mark_duplicate(conn, peer.agent_id, at))
    before = hosts.host(conn, peer.agent_id, None)
    gen = hosts.open_session(
        conn,
        peer.agent_id,
        at=at,
        facts=facts_of(hello.facts),
        version=hello.agent_version[:64],
        fingerprint=fingerprint,
        collector=collector,
    )
    if gen:
        certificates.use(conn, peer.serial, at)
    arrival = arrived(conn, before, gen, hello, clock(conn)) if gen and before is not None else NOTHING_TOLD
    return Session(gen, alerts=alerts_by_host(conn, peer.agent_id), arrival=arrival)


def copied(store: Store, peer: Peer, at: float) -> Session:
    """Notes that two computers spoke at once. Raises StoreError."""
    with store.write() as conn:
        return Session(foreign=True, first=machines.mark_duplicate(conn, peer.agent_id, at))
