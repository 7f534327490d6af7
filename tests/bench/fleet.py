"""A fleet for the benches: hosts' series as our agent and node_exporter name them, and their values in a head."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from collector.head import Head
from collector.labels import Labels

Series = tuple[tuple[str, dict[str, str]], ...]
INTERVAL = 15.0
MODES = ("user", "system", "idle", "iowait", "nice", "irq", "softirq", "steal")
MOUNTS = ("/", "/home", "/var")
_GAUGES = ("node_load1", "node_load5", "node_memory_MemAvailable_bytes", "node_memory_MemTotal_bytes", "node_boot_time_seconds")  # fmt: skip  # noqa: E501
_DISKS = ("reads_completed", "writes_completed", "read_bytes", "written_bytes", "io_time_seconds", "read_time_seconds", "write_time_seconds", "io_time_weighted_seconds")  # fmt: skip  # noqa: E501
_LINKS = ("receive_bytes", "transmit_bytes", "receive_packets", "transmit_packets", "receive_errs", "transmit_errs", "receive_drop", "transmit_drop")  # fmt: skip  # noqa: E501
_STATES = ("active", "activating", "deactivating", "inactive", "failed")


def _volume(mount: str) -> dict[str, str]:
    return {"mountpoint": mount, "device": "/dev/sda1", "fstype": "ext4"}


TYPICAL: Series = (
    *((name, {}) for name in _GAUGES),
    *((f"node_filesystem_{n}", _volume(m)) for n in ("avail_bytes", "size_bytes", "readonly") for m in MOUNTS),
    *(("node_cpu_seconds_total", {"cpu": str(cpu), "mode": mode}) for cpu in range(4) for mode in MODES),
)


def broad(names: Sequence[str], size: int = 500) -> Series:
    """About what a server with many units has, every one of these metrics among it; `size` series in all."""
    found: list[tuple[str, dict[str, str]]] = [*TYPICAL]
    found += [(f"node_filesystem_{n}", _volume(m)) for n in ("free_bytes", "files", "files_free") for m in MOUNTS]
    found += [(f"node_network_{n}_total", {"device": f"eth{i}"}) for n in _LINKS for i in range(4)]
    found += [(f"node_disk_{n}_total", {"device": f"sd{c}"}) for n in _DISKS for c in "abcd"]
    units = [f"unit{i}.service" for i in range(40)]
    found += [("node_systemd_unit_state", {"name": unit, "state": state}) for unit in units for state in _STATES]
    known = {name for name, _ in found}
    found += [(name, {}) for name in names if name not in known]
    found += [(f"node_memory_field{i}_bytes", {}) for i in range(size - 10 - len(found))]
    return (*found, *((f"node_own_info{i}", {"uuid": "{host}"}) for i in range(size - len(found))))


def shared(host: int) -> Labels:
    """What the collector stamps on every series of a host."""
    name = f"host{host:06d}"
    return Labels.of(
        {"instance": name, "job": "node", "host": name, "company": "acme", "site": "hq", "class": "server"}
    )


def own(series: Series, host: int) -> tuple[Labels, ...]:
    """A host's label sets without these."""
    name = f"host{host:06d}"
    return tuple(
        Labels.of({**{k: v.format(host=name) for k, v in labels.items()}, "__name__": metric})
        for metric, labels in series
    )


def labels(series: Series, host: int) -> Iterator[Labels]:
    """A host's label sets as the collector stamps them."""
    stamped = shared(host).as_dict()
    return (one.with_(stamped) for one in own(series, host))


class Fleet:
    """Hosts that send all their series each `INTERVAL`, spread over it; counters grow, gauges wander."""

    def __init__(self, head: Head, series: Series, hosts: int) -> None:
        self.series, self.hosts = series, hosts
        self._head = head
        self._random = np.random.default_rng(1)
        self._counters = np.array([name.endswith("_total") for name, _ in series])
        self._level = 1e9 + 1e8 * self._random.random(len(series))
        self.offsets = np.floor(np.arange(hosts) * INTERVAL * 1000 / hosts) / 1000
        everywhere = None if any("{host}" in v for _, each in series for v in each.values()) else own(series, 0)
        for host in range(hosts):
            head.register(f"{host}", b"s", everywhere or own(series, host), shared(host))

    def round(self, at: float, *, keep: bool = True) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Every host sends once, the last one at `at`; (time of each host, values by host and series if to `keep`)."""
        self._level[self._counters] += 15.0
        times = at - self.offsets
        values = np.empty((self.hosts if keep else 0, len(self.series)))
        one = partial(self._random.random, len(self.series))
        for host, when in enumerate(times.tolist()):
            row = self._level + np.where(self._counters, np.floor(8 * one()), 1e7 * one())
            self._head.append(f"{host}", b"s", when, None, row)
            if keep:
                values[host] = row
        return times, values
