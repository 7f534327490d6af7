"""What the shadow finds out, put into effect: live alerts get their true start, missed incidents their timeline row.

Owned by the engine's thread.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from collector.alerts.alert import Alert, AlertChanges, AlertState
from collector.ingest.events import Waiting
from collector.ingest.shadow import Past, Shadow
from collector.metrics import Metrics
from collector.rules.lookback import Episode
from collector.rules.model import Group
from collector.rules.schedule import Schedule
from collector.store.errors import StoreError
from collector.store.gaps import Missed

SLICE = 0.05  # seconds of the engine's time at once: what is due now waits no longer
MOST_UNWRITTEN = 10_000
log = logging.getLogger(__name__)
EdgeOf = Callable[[str], tuple[int, float]]  # host -> session whose live edge rules have seen, when that came


@dataclass(frozen=True, slots=True)
class Found:
    """Acks that may go with the next commit, and changes that commit has to write."""

    waiting: tuple[Waiting, ...] = ()
    changes: tuple[AlertChanges, ...] = ()


class Hindsight:
    """`missed` writes rows and raises when it cannot: then they are kept, and with them the acks."""

    def __init__(
        self, groups: Sequence[Group], schedule: Schedule, missed: Callable[[Sequence[Missed]], None], metrics: Metrics
    ) -> None:
        self._schedule = schedule
        self._missed = missed
        self._metrics = metrics
        self._unwritten: list[Missed] = []
        self._gated: list[Waiting] = []
        self._pasts: list[Past] = []  # whose live edge has yet to say whether they go on
        self._held: dict[str, list[Alert]] | None = None
        self._turned_away = 0
        self.shadow = Shadow(groups, self._alerts_of)

    @property
    def busy(self) -> bool:
        """A look is under way: come again soon."""
        return self.shadow.busy

    def reload(self, groups: Sequence[Group]) -> tuple[Waiting, ...]:
        """Other rules: looks under way end, their acks may go."""
        held = self.give_up()
        self.shadow = Shadow(groups, self._alerts_of)
        return held

    def give_up(self) -> tuple[Waiting, ...]:
        """Something is wrong with the past of the hosts inside: the present goes on without it."""
        held = (*self._gated, *self.shadow.close())
        self._gated = []
        return held

    def work(self, now: float, edge_of: EdgeOf) -> Found:
        """A slice of looking; what it settled."""
        self._held = None
        looked = self.shadow.work(now, time.perf_counter() + SLICE)
        self._note(looked.episodes)
        self._gated += looked.waiting
        changes = tuple(self._settle(past, now, edge_of) for past in looked.pasts)
        return Found(self._write(), changes)

    def judged(self, at: float, edge_of: EdgeOf) -> None:
        """After an evaluation: what was true at the end of a backlog and is not held at the live edge has ended."""
        if not self._pasts:
            return
        keys = {alert.key for alert in self._schedule.alerts()}
        for past in tuple(self._pasts):
            gen, _ = edge_of(past.host)
            if gen >= past.gen:
                self._pasts.remove(past)
                over = [alert for alert in past.outcome.alive if _fired(alert) and alert.key not in keys]
                self._note(
                    [Episode(_name(a), a, a.active_since, past.at) for a in over if a.active_since >= past.judged]
                )
            elif at - past.at > 86_400.0:
                self._pasts.remove(past)

    def measure(self) -> None:
        """Our own metrics."""
        self._metrics.lookback_hosts.set(self.shadow.hosts)
        self._metrics.lookback_bytes.set(self.shadow.size)
        self._metrics.lookback_refused.inc(self.shadow.turned_away - self._turned_away)
        self._turned_away = self.shadow.turned_away

    def _settle(self, past: Past, now: float, edge_of: EdgeOf) -> AlertChanges:
        seen = edge_of(past.host)[0] >= past.gen
        self._pasts.append(past)
        alive = [alert for alert in past.outcome.alive if alert.labels.get("instance") == past.instance]
        return self._schedule.backdate(alive, past.outcome.ended, min(past.at, now), begin=not seen)

    def _note(self, episodes: Sequence[Episode]) -> None:
        self._unwritten += [_row(one) for one in episodes]
        del self._unwritten[:-MOST_UNWRITTEN]

    def _write(self) -> tuple[Waiting, ...]:
        if self._unwritten:
            try:
                self._missed(self._unwritten)
            except StoreError as error:
                log.warning("Missed incidents wait for the database: %s", error, extra={"action": "database_away"})
                return ()
            self._metrics.missed.inc(len(self._unwritten))
            self._unwritten = []
        held, self._gated = tuple(self._gated), []
        return held

    def _alerts_of(self, instance: str) -> Sequence[Alert]:
        if self._held is None:
            self._held = {}
            for alert in self._schedule.alerts():
                self._held.setdefault(alert.labels.get("instance"), []).append(alert)
        return self._held.get(instance, ())


def _fired(alert: Alert) -> bool:
    return alert.state is AlertState.FIRING


def _name(alert: Alert) -> str:
    return alert.labels.get("alertname")


def _row(episode: Episode) -> Missed:
    words = episode.alert.annotations
    return Missed(
        instance=episode.instance,
        rule=episode.rule,
        key=episode.alert.key,
        start=episode.start,
        end=episode.end,
        value=episode.alert.value,
        summary=words.get("summary", ""),
        summary_pl=words.get("summary_pl", ""),
    )
