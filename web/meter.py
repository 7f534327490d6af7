"""What the web process counts about itself, and how its metrics and the ingest process' become one page."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)  # seconds
NO_ROUTE = "none"

# Families that every process has of its own: on the common page a label tells them apart.
PER_PROCESS = ("process_", "python_")


@dataclass(frozen=True, slots=True)
class Meter:
    """The web process' own registry; made once per application."""

    registry: CollectorRegistry
    requests: Counter
    seconds: Histogram

    def count(self, route: str | None, method: str, status: int, seconds: float) -> None:
        """One answered request; `route` is the template (`/ticket/<number>`), never the path that was asked for."""
        named = route or NO_ROUTE
        self.requests.labels(named, method if method in METHODS else "other", str(status)).inc()
        self.seconds.labels(named).observe(seconds)


def meter() -> Meter:
    """A meter that has counted nothing."""
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    prefix = "czuwak_collector_web"
    return Meter(
        registry,
        Counter(f"{prefix}_requests", "Answered requests", ("route", "method", "status"), registry=registry),
        Histogram(f"{prefix}_request_seconds", "Time to answer", ("route",), buckets=BUCKETS, registry=registry),
    )


def page(registry: CollectorRegistry, ingest: str | None) -> bytes:
    """One page, Prometheus text 0.0.4, of the web's registry and the ingest process' text; None: it did not answer."""
    families = {family.name: family for family in labelled(registry.collect(), "web")}
    for family in labelled(text_string_to_metric_families(ingest or ""), "ingest"):
        families.setdefault(family.name, family)
        if families[family.name] is not family:
            families[family.name].samples.extend(family.samples)
    up = Metric("czuwak_collector_ingest_up", "1 while the ingest process answers", "gauge")
    up.add_sample(up.name, {}, float(ingest is not None))
    return rendered([*families.values(), up])


def labelled(families: Iterable[Metric], process: str) -> Iterator[Metric]:
    """The families, those that every process has with the process' name on every sample."""
    for family in families:
        if family.name.startswith(PER_PROCESS):
            family.samples = [
                Sample(each.name, {**each.labels, "process": process}, each.value) for each in family.samples
            ]
        yield family


def rendered(families: Iterable[Metric]) -> bytes:
    """The families as text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Families(tuple(families)))
    return generate_latest(registry)


@dataclass(frozen=True, slots=True, eq=False)
class Families(Collector):
    """Families that were collected already, in the shape the library renders."""

    families: tuple[Metric, ...]

    def collect(self) -> Iterable[Metric]:
        """The families as they are."""
        return self.families
