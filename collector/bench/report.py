"""What a swarm counted, as JSON that adds up over processes. Pure."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_GROWTH = math.log(1.02)  # buckets of 2 %: exact enough for a quantile, and they can be added


@dataclass(slots=True)
class Report:
    """Counts of one process; `delays` are seconds from sending a live batch to its ack, in buckets."""

    agents: int = 0
    connected: int = 0
    connects: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    nacks: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    delays: Counter[int] = field(default_factory=Counter)
    cpu_seconds: float = 0.0
    seconds: float = 0.0

    def delay(self, seconds: float) -> None:
        """One live batch was acknowledged after so long."""
        self.delays[round(math.log(max(seconds, 1e-4)) / _GROWTH)] += 1

    def quantile(self, part: float) -> float | None:
        """Seconds within which this part of the live batches was acknowledged."""
        left = part * sum(self.delays.values())
        for bucket in sorted(self.delays):
            left -= self.delays[bucket]
            if left <= 0:
                return math.exp(bucket * _GROWTH)
        return None

    def shown(self) -> dict[str, object]:
        """The JSON object of the command."""
        quantiles = {"p50": self.quantile(0.5), "p99": self.quantile(0.99), "max": self.quantile(1.0)}
        return {
            "agents": self.agents,
            "connected": self.connected,
            "connects": self.connects,
            "reconnects": max(0, self.connects - self.agents),
            **{name: self.counts[name] for name in ("sent", "acked", "replayed", "replay_acked", "unacked", "dropped")},
            "crossings": self.counts["crossed"],
            "nacks": dict(self.nacks),
            "ends": dict(self.ends),
            "ack_seconds": {name: None if s is None else round(s, 4) for name, s in quantiles.items()},
            "seconds": round(self.seconds, 1),
            "cpu_seconds": round(self.cpu_seconds, 2),
        }

    def packed(self) -> dict[str, object]:
        """For the parent process."""
        return {
            "agents": self.agents,
            "connected": self.connected,
            "connects": self.connects,
            "counts": self.counts,
            "nacks": self.nacks,
            "ends": self.ends,
            "delays": {str(bucket): count for bucket, count in self.delays.items()},
            "cpu_seconds": self.cpu_seconds,
            "seconds": self.seconds,
        }


def unpacked(data: Mapping[str, object]) -> Report:
    """A child's report."""
    numbers: dict[str, Counter[str]] = {}
    for name in ("counts", "nacks", "ends", "delays"):
        found = data[name]
        numbers[name] = Counter(found if isinstance(found, dict) else {})
    return Report(
        agents=int(str(data["agents"])),
        connected=int(str(data["connected"])),
        connects=int(str(data["connects"])),
        counts=numbers["counts"],
        nacks=numbers["nacks"],
        ends=numbers["ends"],
        delays=Counter({int(bucket): count for bucket, count in numbers["delays"].items()}),
        cpu_seconds=float(str(data["cpu_seconds"])),
        seconds=float(str(data["seconds"])),
    )


def added(reports: Iterable[Report]) -> Report:
    """One report of all processes."""
    total = Report()
    for each in reports:
        total.agents += each.agents
        total.connected += each.connected
        total.connects += each.connects
        total.counts += each.counts
        total.nacks += each.nacks
        total.ends += each.ends
        total.delays += each.delays
        total.cpu_seconds += each.cpu_seconds
        total.seconds = max(total.seconds, each.seconds)
    return total
