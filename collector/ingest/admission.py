"""Who may open a stream: the certificate we issued, in use, of a host in service, on the computer it is bound to."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from collector.alerts.alert import Alert
from collector.ingest.arrival import NOTHING_TOLD, Arrival, arrived
from collector.ingest.facts import facts_of
from collector.ingest.peer import Peer
from collector.labels import INSTANCE
from collector.store import Connection, certificates, hosts, machines
from collector.store.alerts import alerts_by_instance
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


def admitted(store: Store, peers: Sequence[Peer]) -> tuple[hosts.Host | Refusal, ...]:
    """The hosts behind certificates, or why they may not speak. Raises StoreError."""
    with store.read() as conn:
        known = certificates.all_known(conn, {peer.serial for peer in peers})
        found = hosts.by_ids(conn, {peer.agent_id for peer in peers})
    return tuple(_judged(known.get(peer.serial), found.get(peer.agent_id)) for peer in peers)


def _judged(known: certificates.Known | None, host: hosts.Host | None) -> hosts.Host | Refusal:
    if known is None or host is None or known.host_id != host.id or known.ended:
        return Refusal("revoked", ENDED)
    if known.superseded:
        return Refusal("superseded", REPLACED)
    return host if host.approved_at is not None else Refusal("approval", WAITS)


def open_sessions(
    store: Store, asked: Sequence[tuple[Peer, pb.Hello]], at: float, *, collector: str | None = None
) -> tuple[Session, ...]:
    """Sessions for the computers the identities are bound to, in one transaction. Raises StoreError."""
    opened: dict[int, Session] = {}
    with store.write() as conn:
        for turn in _turns(asked):
            found = _open(conn, {asked[place][0].agent_id: asked[place] for place in turn}, at, collector)
            opened |= {place: found[asked[place][0].agent_id] for place in turn}
    return tuple(opened[place] for place in range(len(asked)))


def _turns(asked: Sequence[tuple[Peer, pb.Hello]]) -> list[list[int]]:
    """Places of the questions, each agent's in a turn of its own: a later session of an agent fences the one before."""
    turns: list[list[int]] = []
    before: Counter[str] = Counter()
    for place, (peer, _) in enumerate(asked):
        if before[peer.agent_id] == len(turns):
            turns.append([])
        turns[before[peer.agent_id]].append(place)
        before[peer.agent_id] += 1
    return turns


def _open(
    conn: Connection, asked: Mapping[str, tuple[Peer, pb.Hello]], at: float, collector: str | None
) -> dict[str, Session]:
    """By agent. An older certificate ends with the session. A herd's sessions cost a few statements, not some each."""
    before = hosts.locked(conn, asked)
    said = {
        agent: hosts.Opening(facts_of(hello.facts), hello.agent_version[:64], hello.machine_fingerprint[:128])
        for agent, (_, hello) in asked.items()
        if agent in before
    }
    foreign = {agent for agent, one in said.items() if machines.foreign(before[agent], one.fingerprint)}
    bound = {agent: one for agent, one in said.items() if agent not in foreign}
    gens = hosts.open_sessions(conn, bound, before, at=at, collector=collector)
    certificates.use_all(conn, {asked[agent][0].serial for agent in gens}, at)
    alerts: dict[str, list[Alert]] = {}
    for alert in alerts_by_instance(conn, (before[agent].instance for agent in gens)):
        alerts.setdefault(alert.labels.get(INSTANCE), []).append(alert)
    there, opened = sorted(gens), dict[str, Session]()
    told = arrived(conn, ((before[agent], gens[agent], asked[agent][1]) for agent in there), clock(conn))
    arrivals = dict(zip(there, told, strict=True))
    for agent in sorted(asked):
        if agent in foreign:
            opened[agent] = Session(foreign=True, first=machines.mark_duplicate(conn, agent, at))
        elif agent in gens:
            mine = alerts.get(before[agent].instance, ())
            opened[agent] = Session(gens[agent], alerts=mine, arrival=arrivals[agent])
        else:
            opened[agent] = Session()
    return opened


def copied(store: Store, peer: Peer, at: float) -> Session:
    """Notes that two computers spoke at once. Raises StoreError."""
    with store.write() as conn:
        return Session(foreign=True, first=machines.mark_duplicate(conn, peer.agent_id, at))
