"""Any order of faults, recoveries, silence, people and crashes: the promises about tickets hold after every step."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy.engine import Connection

from collector.alerts.alert import Alert, AlertChanges, AlertEvent, AlertState, EventKind
from collector.intake import Actor, Intake, NotAllowed, Policy
from collector.labels import Labels, dedup_key
from collector.store import Store, StoreError, alerts, open_store, tickets, upgrade, users
from collector.store.hosts import add_company
from collector.store.tables import ticket as ticket_table
from collector.tickets.action import Action, Comment, Move, Take
from collector.tickets.ticket import Status, Ticket

SETTLE, WINDOW = 50.0, 200.0
KEYS = st.sampled_from(range(3))
ENDED = {Status.RESOLVED, Status.CLOSED}


@cache
def empty_database() -> bytes:
    """An upgraded SQLite file: migrating it once is enough."""
    with tempfile.TemporaryDirectory(prefix="czuwak-desk-") as folder:
        path = Path(folder) / "czuwak.db"
        upgrade(f"sqlite:///{path}")
        return path.read_bytes()


@dataclass
class Fault:
    """What the oracle knows of one alert: whether it fires, since when, and which episode that is."""

    labels: Labels
    firing: bool = False
    unknown: bool = False
    began: float = 0.0
    episode: int = 0
    spent: bool = False  # a person ended the ticket of this episode
    tickets: set[int] = field(default_factory=set)

    @property
    def key(self) -> str:
        return dedup_key("acme", "rules", self.labels)


class Desk(RuleBasedStateMachine):
    """Intake over a real SQLite file, beside an oracle that only counts episodes."""

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="czuwak-desk-")
        path = Path(self.folder.name) / "czuwak.db"
        path.write_bytes(empty_database())
        self.store: Store = open_store(f"sqlite:///{path}")
        with self.store.write() as conn:
            add_company(conn, "acme", "Acme", 1.0)
            self.anna = Actor(users.add_user(conn, "anna", "Anna", "h", at=1.0).id, "Anna")
        self.intake = Intake(self.store, Policy(settle=SETTLE, reopen_window=WINDOW))
        self.faults = [Fault(Labels.of(alertname="A", instance=f"srv-{i}", company="acme")) for i in range(3)]
        self.at = 1000.0

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            self.folder.cleanup()

    @rule(seconds=st.sampled_from([1.0, 30.0, 60.0, 150.0, 400.0]))
    def time_passes(self, seconds: float) -> None:
        self.at += seconds

    @rule(which=KEYS, again=st.booleans())
    def fires(self, which: int, again: bool) -> None:
        fault = self.faults[which]
        if not fault.firing:
            fault.firing, fault.unknown, fault.spent, fault.began = True, False, False, self.at
            fault.episode += 1
            self.at += 1.0
        elif not again:
            return
        told = self.tell(fault, EventKind.FIRED)
        assert [a.episode for a in told] == [fault.episode]

    @rule(which=KEYS, statement=st.integers(1, 12))
    def fires_and_the_database_is_lost(self, which: int, statement: int) -> None:
        fault = self.faults[which]
        if fault.firing:
            return
        before = self.everything()
        began, fault.began = fault.began, self.at
        try:
            with lost(self.store, statement):
                self.tell(fault, EventKind.FIRED)
        except StoreError:
            assert self.everything() == before
            fault.began = began
        else:
            fault.firing, fault.unknown, fault.spent = True, False, False
            fault.episode += 1
        self.at += 1.0

    @rule(which=KEYS, kind=st.sampled_from([EventKind.RECOVERED, EventKind.GONE]), twice=st.booleans())
    def ends(self, which: int, kind: EventKind, twice: bool) -> None:
        fault = self.faults[which]
        if not fault.firing:
            return
        fault.firing = False
        for _ in range(1 + twice):
            self.tell(fault, kind)
        current = self.current(fault)
        if current is not None and kind is EventKind.GONE:
            assert current.status in ENDED
        if current is not None and kind is EventKind.RECOVERED and current.status is not Status.CLOSED:
            assert current.recovered_at is not None

    @rule(which=KEYS)
    def goes_silent_or_speaks(self, which: int) -> None:
        fault = self.faults[which]
        if not fault.firing:
            return
        before = self.current(fault)
        fault.unknown = not fault.unknown
        self.tell(fault, EventKind.UNKNOWN if fault.unknown else EventKind.KNOWN)
        after = self.current(fault)
        assert (before and before.status) == (after and after.status)
        assert (before and before.recovered_at) == (after and after.recovered_at)

    @rule(which=KEYS, hard=st.booleans())
    def changes(self, which: int, hard: bool) -> None:
        fault = self.faults[which]
        if fault.firing:
            self.tell(fault, EventKind.CHANGED, severity="critical" if hard else "info")

    @rule(which=KEYS, action=st.sampled_from([Take(), Comment("x"), *(Move(s) for s in Status)]))
    def somebody_acts(self, which: int, action: Action) -> None:
        fault = self.faults[which]
        current = self.current(fault)
        if current is None:
            return
        try:
            after = self.intake.act(current.number, [action], self.anna, self.at)
        except NotAllowed:
            assert self.current(fault) == current
        else:
            fault.spent = fault.firing and after.status in ENDED

    @rule()
    def the_worker_ticks(self) -> None:
        touched = {t.number for t in self.everything() if not t.untouched}
        firing = {t.number for t in self.everything() if self.fault_of(t).firing}
        closed = set(self.intake.settle(self.at))
        assert not closed & touched
        assert not closed & firing

    @precondition(lambda self: hasattr(self, "store"))
    @invariant()
    def every_key_has_one_open_ticket_at_most(self) -> None:
        open_ = [t.dedup_key for t in self.everything() if t.closed_at is None]
        assert len(open_) == len(set(open_))

    @precondition(lambda self: hasattr(self, "store"))
    @invariant()
    def every_episode_has_exactly_one_ticket(self) -> None:
        found = self.everything()
        for fault in self.faults:
            mine = [t for t in found if t.dedup_key == fault.key]
            assert sum(t.occurrences for t in mine) == fault.episode
            assert len({t.episode for t in mine}) == len(mine)
            assert max((t.episode for t in mine), default=0) == fault.episode

    @precondition(lambda self: hasattr(self, "store"))
    @invariant()
    def a_firing_fault_stands_in_the_queue_unless_a_person_ended_it(self) -> None:
        for fault in self.faults:
            current = self.current(fault)
            if fault.firing:
                assert current is not None
                assert (current.status in ENDED) == fault.spent
                assert fault.spent or current.recovered_at is None
                assert fault.spent or (current.unknown_since is not None) in {fault.unknown, False}

    @precondition(lambda self: hasattr(self, "store"))
    @invariant()
    def times_and_status_agree_and_the_timeline_has_no_event_twice(self) -> None:
        for ticket in self.everything():
            assert (ticket.closed_at is not None) == (ticket.status is Status.CLOSED)
            assert (ticket.resolved_at is not None) == (ticket.status in ENDED)
            with self.store.read() as conn:
                keys = [e.source_event_key for e in tickets.timeline(conn, ticket.id) if e.source_event_key]
            assert len(keys) == len(set(keys))

    @precondition(lambda self: hasattr(self, "store"))
    @invariant()
    def the_alert_rows_are_those_that_fire(self) -> None:
        with self.store.read() as conn:
            rows = {a.key: a.episode for a in alerts.load_alerts(conn)}
        assert rows == {f.key: f.episode for f in self.faults if f.firing}

    def tell(self, fault: Fault, kind: EventKind, severity: str = "warning") -> tuple[Alert, ...]:
        over = kind in {EventKind.RECOVERED, EventKind.GONE}
        event = AlertEvent(
            kind=kind,
            source="rules",
            key=fault.key,
            labels=fault.labels.with_({"severity": severity}),
            annotations={"summary": "x"},
            value=1.0,
            at=self.at,
            started_at=fault.began,
            rule="uid",
            rule_name="A",
        )
        self.at += 1.0
        row = Alert(fault.key, "uid", fault.labels, AlertState.FIRING, fault.began, self.at, 1.0, episode=fault.episode)
        changes = AlertChanges(() if over else (row,), (fault.key,) if over else (), (event,))
        return tuple(self.intake.alerts(changes, self.at))

    def everything(self) -> list[Ticket]:
        with self.store.read() as conn:
            ids = conn.scalars(sa.select(ticket_table.c.id).order_by(ticket_table.c.id)).all()
            return [t for t in (tickets.find(conn, i, None) for i in ids) if t]

    def current(self, fault: Fault) -> Ticket | None:
        mine = [t for t in self.everything() if t.dedup_key == fault.key]
        return max(mine, key=lambda t: t.episode, default=None)

    def fault_of(self, ticket: Ticket) -> Fault:
        return next(f for f in self.faults if f.key == ticket.dedup_key)


@contextmanager
def lost(store: Store, number: int) -> Iterator[None]:
    """The server is lost at one statement."""
    left = [number]

    def fail(_conn: Connection, *_rest: object) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise sa.exc.OperationalError("x", {}, OSError("the server is gone"))

    sa.event.listen(store._engine, "before_cursor_execute", fail)
    try:
        yield
    finally:
        sa.event.remove(store._engine, "before_cursor_execute", fail)


TestDesk = Desk.TestCase
TestDesk.settings = settings(
    max_examples=30, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
