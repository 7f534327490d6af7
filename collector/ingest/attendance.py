"""Keeps every host's presence: pure steps in memory at once, rows and timeline in one transaction a little later.

Lives in the event loop's thread, except `look` and `write`, which touch the database and run in a worker thread.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from collector.ingest.arrival import NOTHING_TOLD, Arrival
from collector.ingest.databasetime import GAP, DatabaseTime
from collector.ingest.member import Claim, Due, Judgement, Member, Note, change, member_of, standing_of
from collector.ingest.outages import Outages
from collector.ingest.own import named
from collector.ingest.stamp import Identity
from collector.labels import Labels
from collector.presence import Policy, Presence, Standing, step
from collector.presence.account import DIP, LEAST_SLEEP, WEEK, Cause, reboots_to_tell
from collector.presence.hours import working_days
from collector.presence.returning import Returning
from collector.presence.states import (
    OUTAGES,
    PATIENT,
    ClockJumped,
    CollectorStarted,
    Event,
    LiveBatch,
    OutageOver,
    SaidGoodbye,
    StreamEnded,
    Welcomed,
)
from collector.presence.table import serverlike
from collector.store import Connection, enrollments, hosts, machines
from collector.store import presence as rows
from collector.store.engine import Store, clock
from collector.store.errors import StoreError

STATES = tuple(Presence)
_TOLD = (Presence.ONLINE, Presence.AWAY_PLANNED, Presence.AWAY_UNEXPLAINED)
_AWAY = (Presence.AWAY_PLANNED, Presence.AWAY_UNEXPLAINED)
_MAX_NOTES = 10_000
_HOUR = 3600.0
_DAY = 86_400.0
_LATE = 10.0  # seconds in which a ticket that was on its way may still open
BLIND = "czuwak_collector_blind_seconds"
_PRESENCE = {state: Labels.of({"__name__": "czuwak_host_presence", "state": state.value}) for state in STATES}

log = logging.getLogger(__name__)
Describe = Callable[[str, Labels, Mapping[Labels, float]], None]
Excuse = Callable[[str, str, float], object]  # host, reason, at: closes what its silence opened


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look at the database showed; times are the database's."""

    at: float
    revoked: frozenset[str]
    overdue: tuple[str, ...]
    active: Mapping[str, Identity] | None  # None: not asked for this time
    copied: frozenset[str] = frozenset()  # two computers use their identity; asked for with `active`
    elsewhere: Mapping[str, hosts.Host] = field(default_factory=dict)  # what other collectors say of theirs
    read: float | None = None  # the steady clock beside `at`
    crashes: Mapping[str, tuple[tuple[float, bool], ...]] | None = None  # None: not asked for this time


class Attendance:
    """Made with what `load` read. `describe` is the engine's, `excuse` intake's; of `now` only differences are used.

    `at` in every value is the database's time, carried on between two looks.
    """

    def __init__(
        self,
        store: Store,
        policy: Policy,
        describe: Describe,
        now: Callable[[], float],
        collector: str | None = None,
        *,
        name: str = "",
        excuse: Excuse = lambda _host, _reason, _at: (),
        database_clock: Callable[[Connection], float] = clock,
    ) -> None:
        self._store = store
        self._collector = collector  # None: there is no other
        self._policy = policy
        self._describe = describe
        self._now = DatabaseTime(now)
        self._excuse_ticket = excuse
        self._clock = database_clock
        self._returning = Returning()
        self._outages = Outages(policy, describe, {"collector": name} if name else {})
        self._name = name
        self._crashed: set[str] = set()
        self._want_crashes = False
        self._blind_since: float | None = None
        self._blind_told = 0.0
        self._calm_at = self._days_from = self._days_due = 0.0
        self._members: dict[str, Member] = {}
        self._due = Due()
        self._blind = False
        self._copied: frozenset[str] = frozenset()

    # --- worker thread ---

    def load(self) -> None:
        """At our own start: everybody from the database, nobody down for the grace. Raises StoreError."""
        with self._store.read() as conn:
            self._now.set(self._clock(conn))
            found = hosts.active_identities(conn)
            crashed = rows.crashes(conn, self._now() - WEEK)
            heard = rows.last_heard(conn)
        for host in found:
            self._members[host.id] = self._member(host)
        self._outages.restore(self._members.values(), self._now())
        self._take_crashes(crashed)
        self._was_blind(0.0 if heard is None else self._now() - heard, "stopped")
        self._excuse_the_silent()
        self.write(self.take())

    def look(self, *, everybody: bool, lead: bool = False) -> Seen:
        """Once a second: who is refused, whose deadline has passed; now and then who is there. Raises StoreError."""
        with self._store.read() as conn:
            at, read = self._clock(conn), self._now.read()
            overdue = tuple(host.id for host in hosts.overdue(conn, at, collector=self._collector, lead=lead))
            everybody = everybody or (bool(overdue) and self._collector is not None)  # how many are silent with them?
            active = {named[0]: Identity(*named) for named in hosts.identities(conn)} if everybody else None
            copied = machines.duplicates(conn, at) if everybody else frozenset()
            others = hosts.held_elsewhere(conn, self._collector) if everybody and self._collector else ()
            elsewhere = {host.id: host for host in others}
            crashed = rows.crashes(conn, at - WEEK) if self._want_crashes else None
            revoked = frozenset(enrollments.revoked_serials(conn))
            return Seen(at, revoked, overdue, active, copied, elsewhere, read, crashed)

    def claim(self, claims: Iterable[Claim]) -> dict[str, Standing]:
        """Draws conclusions in the database, each only if the host is still as it was seen; who won. Raises StoreError.

        What the timeline says of an outage is in the same transaction.
        """
        won: dict[str, Standing] = {}
        with self._store.write() as conn:
            for to, seen in self._concluded(claims).items():
                same = rows.Conclusion(to.presence.value, to.reason, to.since, to.deadline)
                ours = sorted(rows.claim(conn, seen, same))
                won |= dict.fromkeys(ours, to)
                hosts.add_host_events(conn, (line for host in ours for line in self._lines(host, to)))
        return won

    def _lines(self, host: str, to: Standing) -> Iterator[hosts.Line]:
        """What the timeline says of a conclusion."""
        member = self._members.get(host)
        if to.reason in OUTAGES:
            yield hosts.Line(host, to.since, rows.OUTAGE, {"reason": to.reason})
        elif member is not None and to.presence in _TOLD and to.presence.value != member.told:
            yield hosts.Line(host, to.since, "presence", change(to, member.told))

    def write(self, due: Due) -> None:
        """One transaction; rows of sessions that were fenced meanwhile stay as they are. Raises StoreError."""
        for host, (reason, _) in due.late.items():
            self.excuse(host, reason)
        if due.standings or due.touched or due.notes or due.slept:
            self._write_rows(due)

    def excuse(self, host: str, reason: str) -> None:
        """Closes what the silence of a host has opened that explains it now. Raises StoreError."""
        self._excuse_ticket(host, reason, self._now())

    def _write_rows(self, due: Due) -> None:
        with self._store.write() as conn:
            rows.note_sleep(conn, due.slept)
            hosts.touch(conn, list(due.touched.items()), self._now())
            standings = (
                hosts.Standing(host, gen, s.presence.value, s.reason, s.since, s.deadline)
                for host, (gen, s) in due.standings.items()
            )
            hosts.set_presences(conn, standings, collector=self._collector)
            gens = {note.host: note.gen for note in due.notes if note.gen is not None}
            current = hosts.current(conn, gens)
            told = (n for n in due.notes if n.gen is None or (n.host in current and n.gen == gens[n.host]))
            hosts.add_host_events(conn, (hosts.Line(n.host, n.at, n.kind, n.detail) for n in told))

    # --- event loop ---

    def take(self) -> Due:
        """What is to be written now; give it to `write`, and to `keep` if that failed."""
        due, self._due = self._due, Due()
        # Again and again for a moment: the ticket may be in a commit that is under way.
        self._due.late = {host: told for host, told in due.late.items() if self._now() < told[1]}
        return due

    def keep(self, due: Due) -> None:
        """What could not be written goes before what came meanwhile."""
        newer = self._due
        self._due = Due(
            {**due.standings, **newer.standings},
            {**due.touched, **newer.touched},
            [*due.notes, *newer.notes][-_MAX_NOTES:],
            {**due.slept, **newer.slept},
            {**due.late, **newer.late},
        )

    def welcomed(self, identity: Identity, gen: int, arrival: Arrival = NOTHING_TOLD, *, slept: float = 0.0) -> None:
        """A session was opened; `arrival` is what its Hello explained, `slept` how long its boot has slept."""
        member = self._members.get(identity.agent_id)
        if member is None:
            member = Member(identity, gen, Standing(Presence.UNKNOWN), "never_seen")
            self._members[identity.agent_id] = member
        member.identity, member.gen, member.connected, member.ours = identity, gen, True, True
        member.seen, member.slept = self._now(), slept
        if arrival.late:
            self._due.late[identity.agent_id] = (arrival.account.reason, self._now() + _LATE)
        if arrival.account.cause is Cause.CRASH:
            member.crashes = (*member.crashes, (self._now(), arrival.crash_told))
            self._crashed.add(identity.agent_id)
        self._step(member, Welcomed())
        self._tell_crashes(identity.agent_id, member)

    def took(self, found: Iterable[hosts.Host]) -> None:
        """Hosts of a collector that is dead: as after a start of our own, nobody of them is down for the grace."""
        for host in found:
            member = self._members.get(host.id)
            if member is None or member.gen < host.session_gen:
                self._members[host.id] = member = self._member(host)
                self._excuse(host.id, member)
                self._returning.began()
                self._want_crashes = True

    def lost(self, gone: Mapping[str, int]) -> None:
        """Another collector holds these hosts (host -> our generation) now and keeps their presence."""
        for host, gen in gone.items():
            member = self._members.get(host)
            if member is not None and member.gen <= gen:
                member.ours = member.connected = False

    def live(self, host: str) -> None:
        """A fresh sample arrived."""
        member = self._members.get(host)
        if member is not None:
            self._due.touched[host] = member.gen
            member.seen = self._now()
            if member.excused:  # only now: a stream may end before it tells anything
                member.excused = False
                self._returning.came(member.seen)
            if member.standing.presence is not Presence.ONLINE or member.standing.deadline is not None:
                self._step(member, LiveBatch())

    def goodbye(self, host: str, reason: str, expected_back: float) -> None:
        """The agent said it goes."""
        if host in self._members:
            self._step(self._members[host], SaidGoodbye(reason, expected_back))

    def beat(self, host: str, slept: float) -> None:
        """How long the host's boot has slept by now: a stream may outlive a nap."""
        member = self._members.get(host)
        if member is None or slept < member.slept + LEAST_SLEEP:
            return
        self.note(host, "slept", {"seconds": slept - member.slept})
        member.slept = slept
        self._due.slept[host] = (member.gen, slept)

    def ended(self, host: str, gen: int) -> None:
        """The session's stream ended; an older session's end says nothing."""
        member = self._members.get(host)
        if member is not None and member.gen == gen:
            member.connected = False
            self._step(member, StreamEnded())

    def offset(self, host: str, seconds: float) -> None:
        """The agent's wall clock minus ours."""
        self._tell_one(host, "czuwak_host_clock_offset_seconds", seconds)

    def certificate(self, host: str, end: float, life: float) -> None:
        """When the certificate ends that the host's stream was opened with, and the seconds it was made for."""
        self._tell_one(host, "czuwak_host_certificate_life_seconds", life)
        self._tell_one(host, "czuwak_host_certificate_expiry_timestamp_seconds", end)

    def copied(self, host: str) -> None:
        """Another computer tried to speak as this host just now."""
        self._copied |= {host}
        self._tell_one(host, "czuwak_host_duplicate_identity", 1.0)

    def note(self, host: str, kind: str, detail: Mapping[str, object]) -> None:
        """One entry for the host's timeline."""
        member = self._members.get(host)
        self._due.notes.append(Note(host, self._now(), kind, detail, member.gen if member else None))
        del self._due.notes[:-_MAX_NOTES]

    def judge(self, seen: Seen) -> Judgement:
        """What follows from a look. After trouble of our own, or a step of the clock, nobody's silence is judged."""
        before, passed = self._now(), self._now.look(seen.at, seen.read)
        if passed.jumped:
            fields = {"action": "clock_jumped", "seconds": round(passed.jump)}
            log.warning("The database's clock was moved by %.0f s.", passed.jump, extra=fields)
            self._shift(passed.jump)
        if self._blind or passed.gap > GAP:
            self._see_again(before, passed.gap)
        elif not passed.jumped:
            self._returning.look(seen.at)
            gone = self._take_rows(seen)
            overdue = [host for host in seen.overdue if self._is_due(host, seen.at)]
            claims = self._outages.judge(self._members, overdue, seen.at, self._returning.until)
            self._round(seen.at)
            return Judgement(gone, tuple(claims))
        return Judgement()

    def settle(self, won: Mapping[str, Standing], claims: Iterable[Claim]) -> None:
        """Takes over the conclusions that were won, but for hosts that changed meanwhile: theirs is written next."""
        for claim in claims:
            for host, gen, before in claim.hosts:
                member = self._members.get(host)
                if member is None or (member.gen, member.standing) != (gen, before):
                    continue
                if host not in won:  # the row says something else: written again, unless we are fenced
                    self._due.standings[host] = (gen, before)
                else:
                    member.standing, member.excused = won[host], False
                    self._tell(host, member)
                    if member.standing.presence in _TOLD:
                        member.told = member.standing.presence.value  # its line came with the claim
        for host in self._outages.settle(self._members, self._now()):
            self._step(self._members[host], OutageOver())

    def _take_rows(self, seen: Seen) -> tuple[str, ...]:
        if seen.crashes is not None:
            self._want_crashes = False
            self._take_crashes(seen.crashes)
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
            self._blind_since = self._now()
        self._blind = True

    def counts(self) -> dict[Presence, int]:
        """How many hosts stand where."""
        found = dict.fromkeys(STATES, 0)
        for member in self._members.values():
            found[member.standing.presence] += 1
        return found

    def _is_due(self, host: str, at: float) -> bool:
        member = self._members.get(host)
        if member is None or not member.ours or host in self._due.standings:
            return False  # what is in memory is newer than the row
        deadline = member.standing.deadline
        returning = member.excused and at < self._returning.until + self._policy.silence
        return deadline is not None and deadline <= at and not returning

    def _concluded(self, claims: Iterable[Claim]) -> dict[Standing, list[rows.Seen]]:
        found: dict[Standing, list[rows.Seen]] = {}
        for claim in claims:
            for host, gen, before in claim.hosts:
                member = self._members.get(host)
                if member is not None:
                    class_ = member.identity.class_
                    to = step(before, claim.event, self._now(), class_=class_, policy=self._policy)
                    found.setdefault(to, []).append(rows.Seen(host, gen, before.deadline))
        return found

    def _see_again(self, at: float, gap: float) -> None:
        """We could not see: nobody's silence counts from before."""
        if self._blind:
            log.info("The database answers again.", extra={"action": "database_recovered"})
        since = self._blind_since
        self._was_blind(gap if since is None else at - since, "database" if self._blind else "stopped")
        self._blind, self._blind_since = False, None
        self._excuse_the_silent()

    def _was_blind(self, seconds: float, reason: str) -> None:
        self._calm_at = self._now() + self._policy.grace + self._policy.silence + self._policy.backlog
        if seconds > _DAY:
            self._days_from = self._now()
        self._tell_blind(seconds if seconds > self._policy.blind else 0.0, reason)

    def _tell_blind(self, seconds: float, reason: str = "") -> None:
        self._blind_told = self._now() if seconds else 0.0
        labels = {"__name__": BLIND, **({"collector": self._name} if self._name else {})}
        if seconds:
            said = {"action": "was_blind", "reason": reason}
            log.warning("This collector saw nothing for %.0f s.", seconds, extra=said)
        self._describe("\0collector", Labels(), {Labels.of(labels): seconds})

    def _shift(self, seconds: float) -> None:
        self._returning.jumped(seconds)
        for member in self._members.values():
            if member.ours:
                member.seen += seconds
                self._step(member, ClockJumped(seconds))

    def _round(self, at: float) -> None:
        """What changes by time alone."""
        for host in tuple(self._crashed):
            self._tell_crashes(host, self._members.get(host))
        if self._blind_told and at - self._blind_told > _HOUR:
            self._tell_blind(0.0)
        if at >= max(self._calm_at, self._days_due):
            self._days_due = at + _HOUR
            for host, member in self._members.items():
                self._tell_days(host, member, at)

    def _take_crashes(self, crashed: Mapping[str, tuple[tuple[float, bool], ...]]) -> None:
        for host in crashed.keys() & self._members.keys():
            self._members[host].crashes = crashed[host]
            self._crashed.add(host)
            self._tell_crashes(host, self._members[host])

    def _tell_crashes(self, host: str, member: Member | None) -> None:
        if member is None:
            self._crashed.discard(host)
            return
        at = self._now()
        number = reboots_to_tell(member.crashes, at, server=serverlike(member.identity.class_))
        self._tell_one(host, "czuwak_host_unexpected_reboots", float(number))
        if not number and all(at - when > DIP for when, _ in member.crashes):
            self._crashed.discard(host)

    def _tell_days(self, host: str, member: Member, at: float) -> None:
        if not member.ours or member.identity.class_ not in (*PATIENT, "kiosk"):
            return
        away = member.standing.presence in _AWAY
        since = max(member.standing.since, self._days_from)
        days = working_days(since, at, self._policy.zone, self._policy.off) if away else 0
        if days != member.days:
            member.days = days
            self._tell_one(host, "czuwak_host_away_working_days", float(days))

    def _tell_copied(self, copied: frozenset[str]) -> None:
        # Told each time: another collector may have seen it, and ours may have been restarted since.
        for host in copied | self._copied:
            self._tell_one(host, "czuwak_host_duplicate_identity", float(host in copied))
        self._copied = copied

    def _tell_one(self, host: str, name: str, value: float) -> None:
        member = self._members.get(host)
        if member is not None:
            self._describe(host, member.identity.shared(), {named(name): value})

    def _excuse_the_silent(self) -> None:
        self._returning.began()
        for host, member in self._members.items():
            self._excuse(host, member)

    def _excuse(self, host: str, member: Member) -> None:
        if member.ours and not member.connected and member.told != "never_seen":
            self._step(member, CollectorStarted())
            member.excused = member.standing.deadline is not None
        self._tell(host, member)

    def _hear_of(self, row: hosts.Host) -> None:
        """What its own collector says of a host: for rules that look at the whole fleet."""
        member = self._members.get(row.id)
        if member is not None and member.ours:
            return  # by a session opened since the look
        if member is not None and member.standing == standing_of(row):
            member.seen = row.last_seen or 0.0
            return
        self._members[row.id] = member = self._member(row)
        self._tell(row.id, member)

    def _member(self, row: hosts.Host) -> Member:
        return member_of(row, ours=self._collector is None or row.collector_id == self._collector)

    def _step(self, member: Member, event: Event) -> None:
        host, before = member.identity.agent_id, member.standing
        after = step(before, event, self._now(), class_=member.identity.class_, policy=self._policy)
        if isinstance(event, SaidGoodbye | Welcomed) or after != before:
            member.standing = after
            self._due.standings[host] = (member.gen, after)
            self._tell(host, member)
        self._note_change(member)

    def _note_change(self, member: Member) -> None:
        host, after = member.identity.agent_id, member.standing
        if after.presence in _TOLD and after.presence.value != member.told:
            detail = change(after, member.told)
            member.told = after.presence.value
            self.note(host, "presence", detail)

    def _tell(self, host: str, member: Member) -> None:
        values = {labels: float(member.standing.presence is state) for state, labels in _PRESENCE.items()}
        late = member.standing.presence is Presence.AWAY_UNEXPLAINED and member.standing.reason != "silent"
        values[named("czuwak_host_overdue")] = float(late)
        if member.days and member.standing.presence not in _AWAY:
            member.days = 0
            values[named("czuwak_host_away_working_days")] = 0.0
        self._describe(host, member.identity.shared(), values)
