"""Which hosts this collector holds: what the engine's thread may judge, and how it learns of what it gained or lost.

All of it runs in the engine's thread but `look`, `enter` and `leave`, which touch the database only. The database
decides: what is believed here too long is refused there (see store/fencing.py) and comes back as lost.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from collector.alerts.alert import Alert, AlertChanges
from collector.intake import Judged
from collector.labels import Labels
from collector.rules.schedule import Commit, Schedule
from collector.store import Connection, collectors, hosts, leases
from collector.store import alerts as alert_rows
from collector.store.engine import Store
from collector.store.errors import StoreError
from collector.store.fencing import NO_HOST, OWN, Holding

_NEVER = -2

log = logging.getLogger(__name__)
Lost = Callable[[Mapping[str, int]], None]  # host -> generation that is over


@dataclass(frozen=True, slots=True)
class Sighting:
    """What one look showed: every host's holder, who else lives, the lead's generation, what was taken over."""

    held: Mapping[str, tuple[int, str | None]] = field(default_factory=dict)  # instance -> generation, holder
    others: frozenset[str] = frozenset()  # names of the other living collectors
    lead: int = 0
    taken: Sequence[hosts.Host] = ()  # hosts of the dead that are ours from now on
    alerts: Sequence[Alert] = ()  # of the hosts taken
    homeless: Sequence[Alert] | None = None  # of no host, when the lead is new
    failing: collectors.Failing = frozenset()  # rules the other living collectors cannot judge


class Custody:
    """One per ingest process. `lost` hears of hosts whose streams must end here."""

    def __init__(self, store: Store, collector: str, name: str) -> None:
        self._store = store
        self.collector = collector
        self.name = name
        self.lost: Lost = lambda _gone: None
        self._gens: dict[str, int] = {}
        self._hosts: dict[str, str] = {}  # instance -> host: a new computer may get an old one's instance
        self._foreign: frozenset[str] = frozenset()
        self._others: frozenset[str] = frozenset()
        self._lead = 0
        self._looking = threading.Lock()
        self._over = False
        self._pending: set[str] = set()  # refused by a commit, still in the schedule
        self._doubtful: frozenset[str] = frozenset()  # alerts of commits that failed
        self._failing: collectors.Failing = frozenset()  # rules, when they were last judged here

    # --- any thread: the database alone ---

    def enter(self) -> Sighting:
        """At the start: registers this process and looks. Raises StoreError."""
        with self._store.write() as conn:
            collectors.register(conn, self.collector, self.name)
        return self.look(0)

    def look(self, lead: int) -> Sighting:
        """A sign of life, the lead if it is free, the hosts of the dead if we have it. Raises StoreError."""
        with self._looking:
            return self._look(lead)

    def _look(self, lead: int) -> Sighting:
        if self._over:
            raise StoreError("this collector has told its end")
        with self._store.write() as conn:  # alone: whoever froze with the lease's lock must not make us look dead
            at = collectors.beat(conn, self.collector, self._failing)
        with self._store.write() as conn:
            gen = leases.acquire(conn, leases.LEAD, self.collector)
            taken = hosts.attend(conn, self.collector, at) if gen else ()
            others = collectors.others(conn, self.collector, at)
            return Sighting(
                hosts.holders(conn) if others or lead != gen else {},
                frozenset(other.name for other in others),
                gen,
                taken,
                alert_rows.alerts_by_instance(conn, (host.instance for host in taken)),
                alert_rows.alerts_of_no_host(conn) if gen != lead or not lead else None,
                frozenset(rule for other in others for rule in other.failing),
            )

    def leave(self) -> None:
        """The orderly end: hosts and lead are free at once, and no look takes it back. Raises StoreError."""
        with self._looking, self._store.write() as conn:
            self._over = True
            leases.release(conn, leases.LEAD, self.collector)
            collectors.stop(conn, self.collector)

    # --- the engine's thread ---

    @property
    def lead(self) -> int:
        """The generation of the lead; 0 where another collector has it."""
        return self._lead

    def owns(self, labels: Labels) -> bool:
        """Whether an alert with these labels may begin here."""
        instance = labels.get("instance")
        if instance in self._gens:
            return True
        if instance and instance in self._foreign:
            return False
        own = labels.get(OWN)
        return own == self.name or (self._lead > 0 and (not own or own not in self._others))

    def commit(self, judged: Callable[[AlertChanges, float, Holding], Judged]) -> Commit:
        """The schedule's commit, under what is held then."""

        def committed(changes: AlertChanges, at: float) -> Sequence[Alert]:
            try:
                done = judged(changes, at, Holding(self.collector, self.name, self._gens, self._lead))
            except StoreError:
                self._doubtful |= changes.keys
                raise
            self._pending |= done.lost
            return done.stored

        return committed

    def recall(self, schedule: Schedule, at: float) -> None:
        """Before an evaluation: of a commit that failed only the answer may be lost. What stands is read.

        What is owed must be committed first, for the schedule holds it already. Raises StoreError.
        """
        if not self._doubtful:
            return
        with self._store.read() as conn:
            stored = alert_rows.alerts_by_key(conn, self._doubtful)
        schedule.recall(self._doubtful, [alert for alert in stored if self.owns(alert.labels)], at)
        self._doubtful = frozenset()

    def still(self, conn: Connection, instances: Iterable[str]) -> frozenset[str]:
        """Which of these hosts are ours to the end of the transaction."""
        rows = hosts.fence(conn, instances)
        return frozenset(i for i, row in rows.items() if row == (self._gens.get(i), self.collector))

    def settle(self, schedule: Schedule) -> None:
        """After an evaluation: forgets what its commits were refused, keeps what the next look is to tell."""
        self._failing = schedule.failing()
        if self._pending:
            lost, self._pending = self._pending, set()
            self._forget(schedule, lost)

    def started(self, seen: Sighting) -> list[Alert]:
        """What `enter` saw, before there is a schedule: the alerts to begin with."""
        self._know(seen)
        self._gens |= {host.instance: host.session_gen for host in seen.taken}
        self._hosts |= {host.instance: host.id for host in seen.taken}
        return [*seen.alerts, *(alert for alert in seen.homeless or () if self.owns(alert.labels))]

    def hold(self, schedule: Schedule, at: float, host: str, instance: str, gen: int, alerts: Iterable[Alert]) -> None:
        """A session of this host was opened here; `alerts` are its as they stood then."""
        before = self._gens.get(instance, _NEVER) if self._hosts.get(instance, host) == host else _NEVER
        if gen <= before:
            return
        self._gens[instance], self._hosts[instance] = gen, host
        if gen != before + 1:  # otherwise nobody had it in between: what is in memory is fresher
            schedule.release(lambda labels: labels.get("instance") == instance)
            schedule.adopt(alerts, at)

    def apply(self, schedule: Schedule, at: float, seen: Sighting) -> None:
        """Draws the conclusions of a look."""
        gone = {i for i, gen in self._gens.items() if _elsewhere(seen.held.get(i), gen, self.collector)}
        if self._lead and self._lead != seen.lead:
            gone.add(NO_HOST)
        self._forget(schedule, gone)
        self._know(seen)
        by_instance: dict[str | None, list[Alert]] = {}
        for alert in seen.alerts:
            by_instance.setdefault(alert.labels.get("instance"), []).append(alert)
        for host in seen.taken:
            self.hold(schedule, at, host.id, host.instance, host.session_gen, by_instance.get(host.instance, ()))
        if seen.homeless is not None and seen.lead:
            schedule.release(lambda labels: self._homeless(labels) and labels.get(OWN) != self.name)
            schedule.adopt([a for a in seen.homeless if self.owns(a.labels) and a.labels.get(OWN) != self.name], at)
        schedule.hear(seen.failing)

    def _know(self, seen: Sighting) -> None:
        if seen.lead and seen.lead != self._lead:
            log.info("This collector has the lead.", extra={"action": "lead_taken", "gen": seen.lead})
        self._lead, self._others = seen.lead, seen.others
        self._foreign = frozenset(i for i, (_, holder) in seen.held.items() if holder != self.collector)

    def _homeless(self, labels: Labels) -> bool:
        instance = labels.get("instance")
        return instance not in self._gens and instance not in self._foreign

    def _forget(self, schedule: Schedule, lost: set[str]) -> None:
        if not lost:
            return
        mine = lost & self._gens.keys()
        ended = {self._hosts.pop(instance): self._gens.pop(instance) for instance in mine}
        if NO_HOST in lost:
            self._lead = 0
        self._foreign |= mine
        others = NO_HOST in lost

        def leaves(labels: Labels) -> bool:
            instance = labels.get("instance")
            if instance and instance in lost:
                return True
            return others and labels.get(OWN) != self.name and self._homeless(labels)

        schedule.release(leaves)
        if ended:
            log.info("Other collectors hold %d hosts now.", len(ended), extra={"action": "hosts_lost"})
            self.lost(ended)


def _elsewhere(seen: tuple[int, str | None] | None, gen: int, collector: str) -> bool:
    """A look may be older than a session opened since: only a newer generation of another's counts."""
    return seen is not None and seen[1] != collector and seen[0] > gen
