"""The collector's own metrics in a registry of its own; made in the composition root, handed to who counts."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 2.5, 5.0)


class Metrics:
    """Every family of the ingest process. Counters and histograms are safe to use from any thread."""

    def __init__(self) -> None:
        self.registry = r = CollectorRegistry()
        self.batches = Counter("czuwak_collector_batches", "Batches by what became of them.", ["result"], registry=r)
        self.lost = Counter("czuwak_collector_lost_batches", "Batches agents had to drop.", registry=r)
        self.overload = Gauge("czuwak_collector_overload_level", "0: calm, up to 4: senders are refused.", registry=r)
        self.missed = Counter(
            "czuwak_collector_missed_incidents", "Conditions over again before anybody could see them.", registry=r
        )
        self.lookback_hosts = Gauge("czuwak_collector_lookback_hosts", "Hosts whose backlog is looked at.", registry=r)
        self.lookback_bytes = Gauge("czuwak_collector_lookback_bytes", "Memory of those backlogs.", registry=r)
        self.lookback_refused = Counter(
            "czuwak_collector_lookback_refused", "Backlogs taken without a look back, for want of memory.", registry=r
        )
        self.samples = Counter("czuwak_collector_samples", "Values taken into the head.", registry=r)
        self.streams = Gauge("czuwak_collector_streams", "Agents connected now.", registry=r)
        self.refused = Counter("czuwak_collector_streams_refused", "Streams refused by reason.", ["reason"], registry=r)
        self.enrollments = Counter("czuwak_collector_enrollments", "Enrolments by outcome.", ["result"], registry=r)
        self.renewals = Counter("czuwak_collector_renewals", "Renewed certificates by outcome.", ["result"], registry=r)
        self.evaluation = Histogram(
            "czuwak_collector_evaluation_seconds", "Judging all groups that were due.", registry=r, buckets=_FAST
        )
        self.commit = Histogram(
            "czuwak_collector_commit_seconds", "One transaction of alerts and tickets.", registry=r, buckets=_FAST
        )
        self.ack_lag = Histogram(
            "czuwak_collector_ack_lag_seconds", "From a batch's append to its ack.", registry=r, buckets=_FAST
        )
        self.failures = Counter(
            "czuwak_collector_engine_failures", "Failed work of the engine by kind.", ["work"], registry=r
        )
        self.database_up = Gauge("czuwak_collector_database_up", "1 while the database takes writes.", registry=r)
        self.database_errors = Counter("czuwak_collector_database_errors", "Failed transactions.", registry=r)
        self.rules_failing = Gauge("czuwak_collector_rules_failing", "Rules whose last evaluation failed.", registry=r)
        self.group_seconds = Gauge(
            "czuwak_collector_rule_group_last_duration_seconds",
            "The group's last evaluation.",
            ["file", "group"],
            registry=r,
        )
        self.group_missed = Gauge(
            "czuwak_collector_rule_group_missed_evaluations",
            "Evaluations of the group left out so far, for others took too long.",
            ["file", "group"],
            registry=r,
        )
        self._groups: frozenset[tuple[str, str]] = frozenset()
        self.alerts = Gauge("czuwak_collector_alerts", "Alerts held, by state.", ["state"], registry=r)
        self.inbox = Gauge("czuwak_collector_inbox_depth", "Work waiting for the engine.", registry=r)
        self.waiting = Gauge("czuwak_collector_unacked_batches", "Batches waiting for a commit.", registry=r)
        self.head_hosts = Gauge("czuwak_collector_head_hosts", "Hosts with samples in memory.", registry=r)
        self.head_series = Gauge("czuwak_collector_head_series", "Series in memory.", registry=r)
        self.head_samples = Gauge("czuwak_collector_head_samples", "Samples in memory.", registry=r)
        self.head_bytes = Gauge("czuwak_collector_head_bytes", "Memory of the head's arrays.", registry=r)
        self.hosts = Gauge("czuwak_collector_hosts", "Hosts by presence.", ["presence"], registry=r)
        self.certificate_end = Gauge(
            "czuwak_collector_certificate_expiry_timestamp_seconds",
            "When a certificate of our own ends.",
            ["certificate"],
            registry=r,
        )

    def judged(self, groups: Mapping[tuple[str, str], tuple[float, int]]) -> None:
        """By file and group: seconds of its last evaluation, and how many were left out. Those not named are gone."""
        for name in self._groups - groups.keys():
            self.group_seconds.remove(*name)
            self.group_missed.remove(*name)
        self._groups = frozenset(groups)
        for name, (seconds, missed) in groups.items():
            self.group_seconds.labels(*name).set(seconds)
            self.group_missed.labels(*name).set(missed)

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)
