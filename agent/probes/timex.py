"""How well the kernel's clock is kept in time, from adjtimex(2) asked with no change."""

import ctypes
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass

from agent.probes.errors import NoDataError
from agent.sample import Family, Kind, Sample


def _gauge(name: str, sentence: str) -> Family:
    return Family(f"node_timex_{name}", Kind.GAUGE, sentence)


def _counter(name: str, sentence: str) -> Family:
    return Family(f"node_timex_{name}_total", Kind.COUNTER, sentence)


SYNC = _gauge("sync_status", "1 if the clock is kept in time by a reliable server.")

_MICRO = 1e-6
_STA_NANO = 0x2000
_TIME_ERROR = 5
# Frequencies come in parts per million with 16 bits behind the point.
_PPM = 1e-6 / (1 << 16)


class Timex(ctypes.Structure):
    """The C library's `struct timex`."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("constant", ctypes.c_long),
        ("precision", ctypes.c_long),
        ("tolerance", ctypes.c_long),
        ("seconds", ctypes.c_long),
        ("fraction", ctypes.c_long),
        ("tick", ctypes.c_long),
        ("ppsfreq", ctypes.c_long),
        ("jitter", ctypes.c_long),
        ("shift", ctypes.c_int),
        ("stabil", ctypes.c_long),
        ("jitcnt", ctypes.c_long),
        ("calcnt", ctypes.c_long),
        ("errcnt", ctypes.c_long),
        ("stbcnt", ctypes.c_long),
        ("tai", ctypes.c_int),
        ("reserved", ctypes.c_int * 11),
    )


@dataclass(frozen=True, slots=True)
class Clock:
    """What adjtimex() returned: the clock's state and the fields by their C names."""

    state: int
    fields: dict[str, int]


def adjtimex() -> Clock:
    """Ask the kernel, needing no right. NoDataError where a sandbox forbids it or the system has no such call."""
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "adjtimex"):
        raise NoDataError("this system has no adjtimex()")
    answer = Timex()
    state: int = library.adjtimex(ctypes.byref(answer))
    if state < 0:
        raise _refusal(ctypes.get_errno())
    return Clock(state, {name: getattr(answer, name) for name in _USED})


def samples(reading: Clock) -> Iterator[Sample]:
    """node_exporter's seventeen, in seconds, hertz and ratios."""
    fields = reading.fields
    fine = 1e-9 if fields["status"] & _STA_NANO else _MICRO
    for family, field, factor in _PLAIN:
        yield Sample(family, (), fields[field] * factor)
    for family, field in _FINE:
        yield Sample(family, (), fields[field] * fine)
    yield Sample(_FREQUENCY, (), 1 + fields["freq"] * _PPM)
    yield Sample(SYNC, (), float(reading.state != _TIME_ERROR))


_PLAIN = (
    (_gauge("maxerror_seconds", "How far off the clock may be at most."), "maxerror", _MICRO),
    (_gauge("estimated_error_seconds", "How far off the clock is thought to be."), "esterror", _MICRO),
    (_gauge("status", "The clock's status bits."), "status", 1),
    (_gauge("loop_time_constant", "The time constant of the loop that steers the clock."), "constant", 1),
    (_gauge("tick_seconds", "Time between two ticks of the clock."), "tick", _MICRO),
    (_gauge("pps_frequency_hertz", "Frequency of the pulse-per-second signal."), "ppsfreq", _PPM),
    (_gauge("pps_shift_seconds", "Length of the pulse-per-second interval."), "shift", 1),
    (_gauge("pps_stability_hertz", "How much the pulse-per-second frequency wanders."), "stabil", _PPM),
    (_counter("pps_jitter", "Pulses that came outside the jitter limit."), "jitcnt", 1),
    (_counter("pps_calibration", "Calibration intervals of the pulse signal."), "calcnt", 1),
    (_counter("pps_error", "Calibration errors of the pulse signal."), "errcnt", 1),
    (_counter("pps_stability_exceeded", "Times the pulse signal wandered too far."), "stbcnt", 1),
    (_gauge("tai_offset_seconds", "Seconds between International Atomic Time and UTC."), "tai", 1),
)
# In nano- or microseconds, as the status says.
_FINE = (
    (_gauge("offset_seconds", "Time between the clock and the server it follows."), "offset"),
    (_gauge("pps_jitter_seconds", "Jitter of the pulse-per-second signal."), "jitter"),
)
_FREQUENCY = _gauge("frequency_adjustment_ratio", "How much faster the clock is made to run.")
_USED = ("freq", *(field for _, field, _ in _PLAIN), *(field for _, field in _FINE))


def _refusal(code: int) -> Exception:
    if code in {errno.EPERM, errno.EACCES, errno.ENOSYS}:
        return NoDataError(f"adjtimex() is not allowed here: {os.strerror(code)}")
    return OSError(code, os.strerror(code))
