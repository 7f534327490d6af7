"""The alert step as a machine: any run of true, false, no data, hosts away and restarts keeps its promises."""

from dataclasses import dataclass, field, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from collector.alerts.alert import Alert, AlertChanges, AlertState, EventKind
from collector.head import STALE, Head
from collector.labels import Labels
from collector.promql import evaluate, plan
from collector.rules.alerting import Context, State, restore, step
from collector.rules.model import AlertRule
from collector.rules.schedule import rules_key

SERIES = tuple(Labels.of(__name__="m", instance=name) for name in "abc")
ENDS = (EventKind.RECOVERED, EventKind.GONE)
Values = tuple[float, ...]


@dataclass
class Run:
    """One collector: its memory, its database and what it told."""

    rule: AlertRule
    context: Context
    state: State = field(default_factory=State)
    rows: dict[str, Alert] = field(default_factory=dict)
    told: list[tuple[float, EventKind, str]] = field(default_factory=list)

    def step(self, head: Head, at: float) -> AlertChanges:
        taken = step(self.rule, self.state, evaluate(self.rule.plan, head.select, at), at, self.context)
        self.state = taken.state
        self.rows |= {alert.key: alert for alert in taken.changes.upserts}
        for key in taken.changes.deletes:
            del self.rows[key]
        self.told += [(told.at, told.kind, told.key) for told in taken.changes.events]
        return taken.changes

    def restart(self, at: float) -> None:
        self.state = restore(self.rows.values())
        self.context = replace(self.context, started_at=at)


class Alerts(RuleBasedStateMachine):
    """`steady` never restarts; `shaken` restarts at any moment from its database alone."""

    @initialize(wait=st.sampled_from((0.0, 20.0, 60.0)), keep=st.sampled_from((0.0, 30.0)))
    def begin(self, wait: float, keep: float) -> None:
        judged = AlertRule("A", "m > 0", plan("m > 0"), wait, keep, {}, {"summary": "{{ $value }}"}, 1, "u")
        self.online = True
        context = Context(rules_key, 0.0, lambda _labels: self.online, unknown_after=90.0, gone_after=200.0)
        self.head = Head()
        self.steady, self.shaken = Run(judged, context), Run(judged, context)
        self.at = 0.0
        self.silent_since: dict[str, float] = {}
        self.long_gap = False

    @rule(
        values=st.tuples(*[st.sampled_from((0.0, 1.0, 2.0, STALE))] * 3),
        seconds=st.sampled_from((1.0, 15.0, 40.0, 120.0)),
    )
    def evaluate(self, values: Values, seconds: float) -> None:
        self.at += seconds
        self.head.set(SERIES, values, self.at)
        self.note_gaps(values)
        before = dict(self.steady.state.alerts)
        changes = self.steady.step(self.head, self.at)
        self.shaken.step(self.head, self.at)
        self.check_events(changes, before, values)
        self.check_rows()
        self.check_restarts()

    @rule()
    def restart(self) -> None:
        self.shaken.restart(self.at)

    @precondition(lambda self: hasattr(self, "online"))
    @rule(online=st.booleans())
    def host(self, online: bool) -> None:
        self.online = online

    def note_gaps(self, values: Values) -> None:
        """From its second evaluation without data on, a restart may rightly tell `unknown` later."""
        for labels, value in zip(SERIES, values, strict=True):
            key = rules_key(Labels.of(alertname="A", instance=labels.get("instance")))
            if value in (0.0, 1.0, 2.0):
                self.silent_since[key] = self.at
            elif self.at - self.silent_since.get(key, self.at) > 90.0:
                self.long_gap = True

    def check_events(self, changes: AlertChanges, before: dict[str, Alert], values: Values) -> None:
        now = {
            rules_key(Labels.of(alertname="A", instance=labels.get("instance"))): value
            for labels, value in zip(SERIES, values, strict=True)
        }
        for told in changes.events:
            was = before.get(told.key)
            firing = was is not None and was.state is AlertState.FIRING
            assert firing is (told.kind is not EventKind.FIRED)
            if told.kind is EventKind.RECOVERED:
                assert now[told.key] == 0.0
            if told.kind is EventKind.FIRED:
                assert now[told.key] > 0
                assert told.at - told.started_at >= self.steady.rule.for_seconds
            if told.kind in (EventKind.UNKNOWN, EventKind.GONE):
                assert now[told.key] not in (0.0, 1.0, 2.0)

    def check_rows(self) -> None:
        """What is stored is what is held, but for what is refreshed in memory only."""
        for run in (self.steady, self.shaken):
            assert run.rows.keys() == run.state.alerts.keys()
            for key, row in run.rows.items():
                held = run.state.alerts[key]
                assert (row.state, row.active_since, row.fired_at) == (held.state, held.active_since, held.fired_at)
                assert (row.keep_since, row.unknown_since) == (held.keep_since, held.unknown_since)

    def check_restarts(self) -> None:
        if not self.long_gap:
            assert self.shaken.told == self.steady.told
        for run in (self.steady, self.shaken):
            self.check_order(run)

    def check_order(self, run: Run) -> None:
        """Fired and ended take turns; unknown and known take turns in between."""
        for key in {key for _, _, key in run.told}:
            firing = unknown = False
            for kind in (kind for _, kind, k in run.told if k == key):
                assert firing is (kind is not EventKind.FIRED)
                assert kind is not EventKind.UNKNOWN or not unknown
                assert kind is not EventKind.KNOWN or unknown
                firing = kind not in ENDS
                unknown = kind is EventKind.UNKNOWN or (unknown and kind is EventKind.CHANGED)


Alerts.TestCase.settings = settings(max_examples=80, stateful_step_count=50, deadline=None)
TestAlerts = Alerts.TestCase
