"""A host's live values grouped for a reader: processor, memory, disks, network, watched processes and services.

Pure over what `live` answered; a family that is missing leaves its group out.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from web.live import HostValues, Live, Point, Unavailable

_WARN, _BAD = 0.8, 0.92  # shares where a bar changes its colour and says so
_MOST = 24  # rows of one group
_WINDOW = "2m"


@dataclass(frozen=True, slots=True)
class Gauge:
    """A share of something: `share` in 0..1, `used` and `total` in bytes or None."""

    name: str
    share: float
    used: float | None = None
    total: float | None = None

    @property
    def mood(self) -> str:
        """`bad`, `warn` or nothing: the style sheet's class."""
        return "bad" if self.share >= _BAD else "warn" if self.share >= _WARN else ""

    @property
    def width(self) -> float:
        """Of a bar 100 wide."""
        return round(100 * min(1.0, max(0.0, self.share)), 1)


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes per second of one network device."""

    device: str
    received: float
    sent: float


@dataclass(frozen=True, slots=True)
class Watched:
    """A process (`count` of it run) or a service (`state`)."""

    name: str
    running: bool
    count: int | None = None
    state: str = ""


@dataclass(frozen=True, slots=True)
class Vitals:
    """What a host says about itself now; `newest_at` in Unix seconds."""

    newest_at: float
    cpu: Gauge | None
    cores: int
    loads: tuple[float, ...]
    memory: tuple[Gauge, ...]
    disks: tuple[Gauge, ...]
    network: tuple[Traffic, ...]
    watched: tuple[Watched, ...]
    booted_at: float | None


def read(live: Live, instance: str) -> Vitals | Unavailable:
    """The vitals of one host; Unavailable where the collector does not answer or knows nothing of it."""
    values = live.host_values(instance)
    if isinstance(values, Unavailable):
        return values
    if not values.points:
        return Unavailable("no values")
    where = f'instance="{_escaped(instance)}"'
    idle = live.query(f'avg(rate(node_cpu_seconds_total{{{where},mode="idle"}}[{_WINDOW}]))')
    received = live.query(f'rate(node_network_receive_bytes_total{{{where},device!="lo"}}[{_WINDOW}])')
    sent = live.query(f'rate(node_network_transmit_bytes_total{{{where},device!="lo"}}[{_WINDOW}])')
    return group(values, _points(idle), _points(received), _points(sent))


def group(values: HostValues, idle: Iterable[Point], received: Iterable[Point], sent: Iterable[Point]) -> Vitals:
    """The groups of newest values and of the three rates."""
    families: dict[str, list[Point]] = {}
    for point in values.points:
        if math.isfinite(point.value):
            families.setdefault(point.name, []).append(point)
    return Vitals(
        newest_at=values.newest_at,
        cpu=next((Gauge("", min(1.0, max(0.0, 1 - p.value))) for p in idle if math.isfinite(p.value)), None),
        cores=len({p.labels.get("cpu") for p in families.get("node_cpu_seconds_total", ())}),
        loads=tuple(
            v for name in ("node_load1", "node_load5", "node_load15") if (v := _one(families, name)) is not None
        ),
        memory=_memory(families),
        disks=_disks(families),
        network=_network(received, sent),
        watched=_watched(families),
        booted_at=_one(families, "node_boot_time_seconds"),
    )


def _memory(families: Mapping[str, list[Point]]) -> tuple[Gauge, ...]:
    found = []
    for name, total, free in (
        ("memory", "node_memory_MemTotal_bytes", "node_memory_MemAvailable_bytes"),
        ("swap", "node_memory_SwapTotal_bytes", "node_memory_SwapFree_bytes"),
    ):
        size, left = _one(families, total), _one(families, free)
        if size and left is not None:
            found.append(Gauge(name, (size - left) / size, size - left, size))
    return tuple(found)


def _disks(families: Mapping[str, list[Point]]) -> tuple[Gauge, ...]:
    available = {_mount(p): p.value for p in families.get("node_filesystem_avail_bytes", ())}
    found = [
        Gauge(_mount(p), (p.value - left) / p.value, p.value - left, p.value)
        for p in families.get("node_filesystem_size_bytes", ())
        if p.value > 0 and (left := available.get(_mount(p))) is not None
    ]
    return tuple(sorted(found, key=lambda g: -g.share)[:_MOST])


def _network(received: Iterable[Point], sent: Iterable[Point]) -> tuple[Traffic, ...]:
    out = {p.labels.get("device", ""): p.value for p in sent if math.isfinite(p.value)}
    found = [
        Traffic(device, p.value, out[device])
        for p in received
        if math.isfinite(p.value) and (device := p.labels.get("device", "")) in out
    ]
    return tuple(sorted(found, key=lambda t: (-(t.received + t.sent), t.device))[:_MOST])


def _watched(families: Mapping[str, list[Point]]) -> tuple[Watched, ...]:
    found = [
        Watched(p.labels.get("name", ""), p.value > 0, count=int(p.value))
        for p in families.get("czuwak_process_running", ())
    ]
    for p in families.get("node_systemd_unit_state", ()):
        if p.value == 1:
            state = p.labels.get("state", "")
            found.append(Watched(p.labels.get("name", ""), state == "active", state=state))
    return tuple(sorted(found, key=lambda w: (w.running, w.name))[:_MOST])


def _one(families: Mapping[str, list[Point]], name: str) -> float | None:
    points = families.get(name)
    return points[0].value if points else None


def _mount(point: Point) -> str:
    return point.labels.get("mountpoint", "")


def _points(answer: tuple[Point, ...] | Unavailable) -> tuple[Point, ...]:
    return () if isinstance(answer, Unavailable) else answer


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
