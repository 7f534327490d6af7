"""Whether listed services run, one sample per state a service can be in. How they are asked is the system's matter."""

from collections.abc import Iterator
from dataclasses import dataclass

import psutil

from agent.probes.errors import NoDataError
from agent.sample import Family, Kind, Sample, labels

UNIT_STATE = Family("node_systemd_unit_state", Kind.GAUGE, "1 for the state the unit is in, 0 for the others.")
RESTARTS = Family("node_systemd_service_restart_total", Kind.COUNTER, "Times systemd started the service again itself.")

STATES = ("active", "activating", "deactivating", "failed", "inactive")

# systemd and Windows know more states than node_exporter shows; exactly one of these five must be true.
_SAME_AS = {
    "reloading": "active",
    "refreshing": "active",
    "maintenance": "inactive",
    "running": "active",
    "paused": "inactive",
    "pause_pending": "deactivating",
    "continue_pending": "activating",
    "start_pending": "activating",
    "stop_pending": "deactivating",
    "stopped": "inactive",
}


@dataclass(frozen=True, slots=True)
class Unit:
    """One service: its full name, its state in the system's word, its type (`simple`, `notify`, …) or nothing.

    `restarts` is how often systemd started it again by itself, None where nobody counts.
    """

    name: str
    state: str
    type: str = ""
    restarts: float | None = None


def read_windows(names: tuple[str, ...]) -> tuple[Unit, ...]:
    """The listed services of Windows by their short names; one that is not installed is stopped."""
    if not hasattr(psutil, "win_service_iter"):
        raise NoDataError("this system's services cannot be asked")
    states = {service.name().lower(): service.status() for service in psutil.win_service_iter()}
    return tuple(Unit(name, states.get(name.lower(), "stopped")) for name in names)


def samples(reading: tuple[Unit, ...]) -> Iterator[Sample]:
    """Five samples per unit, exactly one of them 1, and its restarts where they are counted."""
    for unit in reading:
        now = _SAME_AS.get(unit.state, unit.state)
        now = now if now in STATES else "inactive"
        for state in STATES:
            yield Sample(UNIT_STATE, labels(name=unit.name, state=state, type=unit.type), float(state == now))
        if unit.restarts is not None:
            yield Sample(RESTARTS, labels(name=unit.name), unit.restarts)
