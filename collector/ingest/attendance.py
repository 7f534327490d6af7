"""Keeps every host's presence: pure steps in memory at once, rows and timeline in one transaction a little later.

Lives in the event loop's thread, except `look` and `write`, which touch the database and run in a worker thread.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from collector.ingest.stamp import Identity
from collector.labels import Labels
from collector.presence import Policy, Presence, Standing, step
from collector.presence.states import (
    CollectorStarted,
    DeadlinePassed,
    Event,
    LiveBatch,
    SaidGoodbye,
    StreamEnded,
    Welcomed,
)
from collector.presence.table import explanation
from collector.store import enrollments, hosts, machines
from collector.store.engine import Store, clock
from collector.store.errors import StoreError

STATES = tuple(Presence)
_TOLD = (Presence.ONLINE, Presence.AWAY_PLANNED, Presence.AWAY_UNEXPLAINED)
_MAX_NOTES = 10_000

log = logging.getLogger(__name__)
Describe = Callable[[str, str, Mapping[Labels, float]], None]


@dataclass(slots=True)
class Member:
    """One host: who it is, its session, where it stands, what its timeline last said."""

    identity: Identity
    gen: int
    standing: Standing
    told: str
    connected: bool = False
    ours: bool = True  # False: another collector holds it and keeps its presence


@dataclass(frozen=True, slots=True)
class Note:
    """One entry for a host's timeline."""

    host: str
    at: float
    kind: str
    detail: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look at the database showed; times are the database's."""

    at: float
    revoked: frozenset[str]
    overdue: tuple[str, ...]
    active: Mapping[str, Identity] | None  # None: not asked for this time
    copied: frozenset[str] = frozenset()  # two computers use their identity; asked for with `active`
    elsewhere: Mapping[str, hosts.Host] = field(default_factory=dict)  # what other collectors say of theirs


@dataclass(slots=True)
class Due:
    """What waits to be written."""

    standings: dict[str, tuple[int, Standing]] = field(default_factory=dict)
    touched: dict[str, int] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)


class Attendance:
    """Made with what `load` read. `describe` is the engine's; `now` our clock."""

    def __init__(
        self,
        store: Store,
        policy: Policy,
        describe: Describe,
        now: Callable[[], float],
        collector: str | None = None,
    ) -> None:
        self._store = store
        self._collector = collector  # None: there is no other
        self._policy = policy
        self._describe = describe
        self._now = now
        self._members: dict[str, Member] = {}
        self._due = Due()
        self._blind = False
        self._copied: frozenset[str] = frozenset()

    # --- worker thread ---

    def load(self) -> None:
        """At our own start: everybody from the database, nobody down for the grace. Raises StoreError."""
        with self._store.read() as conn:
            found = hosts.active_identities(conn)
        for host in found:
            self._members[host.id] = self._member(host)
        self._excuse_the_silent()
        self.write(self.take())

    def look(self, *, everybody: bool, lead: bool = False) -> Seen:
        """Once a second: who is refused, whose deadline has passed; now and then who is there. Raises StoreError."""
        with self._store.read() as conn:
            at = clock(conn)
            found = hosts.active_identities(conn) if everybody else []
            active = {h.id: identity_of(h) for h in found} if everybody else None
            overdue = tuple(host.id for host in hosts.overdue(conn, at, collector=self._collector, lead=lead))
            copied = machines.duplicates(conn, at) if everybody else frozenset()
            elsewhere = {h.id: h for h in found if not self._is_ours(h)}
            return Seen(at, frozenset(enrollments.revoked_serials(conn)), overdue, active, copied, elsewhere)

    def write(self, due: Due) -> None:
        """One transaction; rows of sessions that were fenced meanwhile stay as they are. Raises StoreError."""
        if not (due.standings or due.touched or due.notes):
            return
        with self._store.write() as conn:
            hosts.touch(conn, list(due.touched.items()), self._now())
            for host, (gen, s) in due.standings.items():
                values = (s.presence.value, s.reason, s.since, s.deadline)
                hosts.set_presence(conn, host, gen, *values, collector=self._collector)
            for note in due.notes:
                hosts.add_host_event(conn, note.host, note.at, note.kind, note.detail)

    # --- event loop ---

    def take(self) -> Due:
        """What is to be written now; give it to `write`, and to `keep` if that failed."""
        due, self._due = self._due, Due()
        return due

    def keep(self, due: Due) -> None:
        """What could not be written goes before what came meanwhile."""
        newer = self._due
        self._due = Due(
            {**due.standings, **newer.standings},
            {**due.touched, **newer.touched},
            [*due.notes, *newer.notes][-_MAX_NOTES:],
        )

    def welcomed(self, identity: Identity, gen: int, absence: str, clean: bool) -> None:
        """A session was opened; `absence` is the reason the agent tells of its last stop, if any."""
        member = self._members.get(identity.agent_id)
        if member is None:
            member = Member(identity, gen, Standing(Presence.UNKNOWN), "never_seen")
            self._members[identity.agent_id] = member
        was = member.standing
        member.identity, member.gen, member.connected, member.ours = identity, gen, True, True
        reason = explanation(absence, clean)
        if reason and was.presence in (Presence.AWAY_UNEXPLAINED, Presence.UNKNOWN):
            self.note(identity.agent_id, "absence_explained", {"reason": reason, "since": was.since})
        self._step(member, Welcomed())

    def took(self, found: Iterable[hosts.Host]) -> None:
        """Hosts of a collector that is dead: as after a start of our own, nobody of them is down for the grace."""
        for host in found:
            member = self._members.get(host.id)
            if member is None or member.gen < host.session_gen:
                self._members[host.id] = member = self._member(host)
                self._excuse(host.id, member)

    def lost(self, gone: Mapping[str, int]) -> None:
        """Another collector holds these hosts (instance -> our generation) now and keeps their presence."""
        for member in self._members.values():
            if member.gen <= gone.get(member.identity.instance, -1):
                member.ours = member.connected = False

    def live(self, host: str) -> None:
        """A fresh sample arrived."""
        member = self._members.get(host)
        if member is not None:
            self._due.touched[host] = member.gen
            if member.standing.presence is not Presence.ONLINE or member.standing.deadline is not None:
                self._step(member, LiveBatch())

    def goodbye(self, host: str, reason: str, expected_back: float) -> None:
        """The agent said it goes."""
        if host in self._members:
            self._step(self._members[host], SaidGoodbye(reason, expected_back))

    def ended(self, host: str, gen: int) -> None:
        """The session's stream ended; an older session's end says nothing."""
        member = self._members.get(host)
        if member is not None and member.gen == gen:
            member.connected = False
            self._step(member, StreamEnded())

    def offset(self, host: str, seconds: float) -> None:
        """The agent's wall clock minus ours."""
        self._tell_one(host, "czuwak_host_clock_offset_seconds", seconds)

    def certificate(self, host: str, end: float) -> None:
        """When the certificate ends that the host's stream was opened with."""
        self._tell_one(host, "czuwak_host_certificate_expiry_timestamp_seconds", end)

    def copied(self, host: str) -> None:
        """Another computer tried to speak as this host just now."""
        self._copied |= {host}
        self._tell_one(host, "czuwak_host_duplicate_identity", 1.0)

    def note(self, host: str, kind: str, detail: Mapping[str, object]) -> None:
        """One entry for the host's timeline."""
        self._due.notes.append(Note(host, self._now(), kind, detail))
        del self._due.notes[:-_MAX_NOTES]

    def judge(self, seen: Seen) -> tuple[str, ...]:
        """Draws the conclusions of a look; returns the hosts that are gone from the installation."""
        if self._blind:
            # We could not see: nobody's silence counts from before.
            self._blind = False
            log.info("The database answers again.", extra={"action": "database_recovered"})
            self._excuse_the_silent()
            return ()
        for host in seen.overdue:
            member = self._members.get(host)
            deadline = member.standing.deadline if member else None
            if member is not None and deadline is not None and deadline <= seen.at:
                self._step(member, DeadlinePassed())
        for row in seen.elsewhere.values():
            self._hear_of(row)
        # A connected one that is missing was enrolled after the look; a retired one's stream is cut by its serial.
        active = self._members if seen.active is None else seen.active
        if seen.active is not None:
            self._tell_copied(seen.copied)
        gone = tuple(h for h, member in self._members.items() if h not in active and not member.connected)
        for host in gone:
            del self._members[host]
        return gone

    def trouble(self, error: StoreError) -> None:
        """The database did not answer."""
        if not self._blind:
            log.warning("Presence cannot be kept: %s", error, extra={"action": "database_away"})
        self._blind = True

    def counts(self) -> dict[Presence, int]:
        """How many hosts stand where."""
        found = dict.fromkeys(STATES, 0)
        for member in self._members.values():
            found[member.standing.presence] += 1
        return found

    def _tell_copied(self, copied: frozenset[str]) -> None:
        # Told each time: another collector may have seen it, and ours may have been restarted since.
        for host in copied | self._copied:
            self._tell_one(host, "czuwak_host_duplicate_identity", float(host in copied))
        self._copied = copied

    def _tell_one(self, host: str, name: str, value: float) -> None:
        member = self._members.get(host)
        if member is not None:
            self._describe(host, member.identity.instance, {member.identity.series(name): value})

    def _excuse_the_silent(self) -> None:
        for host, member in self._members.items():
            self._excuse(host, member)

    def _excuse(self, host: str, member: Member) -> None:
        if member.ours and not member.connected and member.told != "never_seen":
            self._step(member, CollectorStarted())
        self._tell(host, member)

    def _hear_of(self, row: hosts.Host) -> None:
        """What its own collector says of a host: for rules that look at the whole fleet."""
        member = self._members.get(row.id)
        if member is not None and (member.ours or member.standing == _standing(row)):
            return  # ours by a session opened since the look, or no news
        self._members[row.id] = member = self._member(row)
        self._tell(row.id, member)

    def _member(self, row: hosts.Host) -> Member:
        return Member(identity_of(row), row.session_gen, _standing(row), row.presence, ours=self._is_ours(row))

    def _is_ours(self, row: hosts.Host) -> bool:
        return self._collector is None or row.collector_id == self._collector

    def _step(self, member: Member, event: Event) -> None:
        host, before = member.identity.agent_id, member.standing
        after = step(before, event, self._now(), class_=member.identity.class_, policy=self._policy)
        if isinstance(event, SaidGoodbye | Welcomed) or after != before:
            member.standing = after
            self._due.standings[host] = (member.gen, after)
            self._tell(host, member)
        if after.presence in _TOLD and after.presence.value != member.told:
            detail = {"presence": after.presence.value, "reason": after.reason, "was": member.told}
            member.told = after.presence.value
            self.note(host, "presence", detail)

    def _tell(self, host: str, member: Member) -> None:
        identity = member.identity
        values = {
            identity.series("czuwak_host_presence", state=state.value): float(member.standing.presence is state)
            for state in STATES
        }
        self._describe(host, identity.instance, values)


def identity_of(host: hosts.Host) -> Identity:
    """What is stamped on a host's series."""
    return Identity(host.id, host.instance, host.name, host.company, host.site, host.class_)


def _standing(host: hosts.Host) -> Standing:
    known = host.presence in {state.value for state in STATES}
    presence = Presence(host.presence) if known else Presence.UNKNOWN
    return Standing(presence, host.presence_reason, host.presence_since, host.deadline)
