"""One round: every probe isolated and timed, so that the agent's own health is a metric. Time comes in."""

import logging
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from agent.probes import AnyProbe, NoDataError
from agent.sample import Family, Kind, Sample, labels

logger = logging.getLogger(__name__)

SUCCESS = Family("node_scrape_collector_success", Kind.GAUGE, "1 if the collector read its subject.")
NO_DATA = Family("czuwak_agent_probe_no_data", Kind.GAUGE, "1 if this host has no such subject; absent otherwise.")
DURATION = Family("node_scrape_collector_duration_seconds", Kind.GAUGE, "How long the collector took.")
ROUND_DURATION = Family("czuwak_agent_round_duration_seconds", Kind.GAUGE, "How long the whole round took.")
DROPPED = Family(
    "czuwak_agent_round_dropped_samples", Kind.GAUGE, "Samples left out of the round: not a number, or there already."
)


@dataclass(frozen=True, slots=True)
class Part:
    """Which samples of a round one collector gave: `samples[start:stop]`; `failure` says why there are none."""

    collector: str
    start: int
    stop: int
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Round:
    """All samples of one moment: `at` in Unix seconds, `boottime_ns` on the clock that does not stop in sleep.

    `suspended_ns`: how much of that this boot has slept.
    """

    at: float
    boottime_ns: int
    samples: tuple[Sample, ...]
    parts: tuple[Part, ...] = ()
    suspended_ns: int = 0


def take_round(
    probes: Iterable[AnyProbe],
    *,
    wall: float,
    boottime_ns: int,
    clock: Callable[[], float],
    previous: Round | None = None,
    suspended_ns: int = 0,
) -> Round:
    """Read every probe once. Never raises for what a probe does; no two samples share name and labels, none is NaN.

    `clock` gives seconds for durations. With the `previous` round a failure is told once, not at every round.
    """
    began = clock()
    collected = _Collected({part.collector: part.failure for part in previous.parts} if previous else {})
    for probe in probes:
        collected.run(probe, clock)
    collected.keep((Sample(DROPPED, (), collected.dropped), Sample(ROUND_DURATION, (), clock() - began)))
    return Round(wall, boottime_ns, tuple(collected.samples), tuple(collected.parts), suspended_ns)


class _Collected:
    """A round in the making."""

    def __init__(self, failed_before: dict[str, str]) -> None:
        self.samples: list[Sample] = []
        self.parts: list[Part] = []
        self.dropped = 0
        self._seen: set[tuple[str, tuple[tuple[str, str], ...]]] = set()
        self._failed_before = failed_before

    def run(self, probe: AnyProbe, clock: Callable[[], float]) -> None:
        start, began, failure, own = len(self.samples), clock(), "", labels(collector=probe.name)
        found: list[Sample] = []
        try:
            found = list(probe.samples(probe.read()))
        except NoDataError as reason:
            failure = str(reason)
            found = [Sample(NO_DATA, own, 1.0)]
            logger.debug("Collector %s has no data: %s", probe.name, reason, extra={"action": "probe_no_data"})
        except Exception as error:  # noqa: BLE001 - the agent's boundary: whatever one subject does, the others are read
            failure = f"{type(error).__name__}: {error}"
            self._tell(probe.name, failure)
        self.keep(found)
        self.keep((Sample(DURATION, own, clock() - began), Sample(SUCCESS, own, float(not failure))))
        self.parts.append(Part(probe.name, start, len(self.samples), failure))

    def keep(self, samples: Iterable[Sample]) -> None:
        self.samples.extend(self._fit(samples))

    def _fit(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        for sample in samples:
            key = (sample.family.name, sample.labels)
            if math.isnan(sample.value) or key in self._seen:
                self.dropped += 1
                logger.debug("Dropped a sample of %s", sample.family.name, extra={"action": "sample_dropped"})
                continue
            self._seen.add(key)
            yield sample

    def _tell(self, collector: str, failure: str) -> None:
        level = logging.DEBUG if self._failed_before.get(collector) == failure else logging.WARNING
        logger.log(level, "Collector %s failed: %s", collector, failure, extra={"action": "probe_failed"})
