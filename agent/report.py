"""What the uplink tells about itself: one frozen value, and its samples for the page and the stream."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from agent.sample import Family, Kind, Sample

CONNECTED = Family("czuwak_agent_uplink_connected", Kind.GAUGE, "Whether the collector has welcomed the open stream.")
SENT = Family("czuwak_agent_batches_sent_total", Kind.COUNTER, "Batches sent, each repetition counted.")
ACKED = Family("czuwak_agent_batches_acked_total", Kind.COUNTER, "Batches the collector has made durable.")
NACKED = Family("czuwak_agent_batches_nacked_total", Kind.COUNTER, "Batches not taken, by the reason.")
DROPPED = Family(
    "czuwak_agent_batches_dropped_total", Kind.COUNTER, "Batches lost before they were durable, earlier runs included."
)
BATCHES = Family("czuwak_agent_spool_batches", Kind.GAUGE, "Batches that wait for an acknowledgement.")
BYTES = Family("czuwak_agent_spool_bytes", Kind.GAUGE, "Memory of the batches kept, acknowledged ones included.")
STORED = Family("czuwak_agent_spool_disk_batches", Kind.GAUGE, "Batches on disk, all unacknowledged.")
STORED_BYTES = Family("czuwak_agent_spool_disk_bytes", Kind.GAUGE, "Disk used by batches.")
DISK = Family("czuwak_agent_spool_disk_ok", Kind.GAUGE, "0 while batches can be kept in memory only.")
RECONNECTS = Family("czuwak_agent_reconnects_total", Kind.COUNTER, "Ends of streams and failed attempts to open one.")


class Told(Enum):
    """What becomes of a goodbye for a while."""

    HEARD = auto()
    LATER = auto()  # said as soon as a collector listens
    AT_RETURN = auto()  # in the record of the absence, told by the next Hello
    NEVER = auto()  # this agent streams no more


@dataclass(frozen=True, slots=True)
class Report:
    """The uplink at one moment; counters since the start of the process, `dropped` over all of them.

    `problem` is a sentence, empty when well.
    """

    connected: bool = False
    stopped: bool = False
    sent: int = 0
    acked: int = 0
    nacked: Mapping[str, int] = field(default_factory=dict)
    dropped: int = 0
    spool_batches: int = 0
    spool_bytes: int = 0
    stored: int = 0
    stored_bytes: int = 0
    disk_ok: bool = True
    reconnects: int = 0
    problem: str = ""


def samples(report: Report) -> Iterator[Sample]:
    """The report as samples; a reason has a series once it has happened."""
    values = (
        (CONNECTED, float(report.connected)),
        (SENT, report.sent),
        (ACKED, report.acked),
        (DROPPED, report.dropped),
        (BATCHES, report.spool_batches),
        (BYTES, report.spool_bytes),
        (STORED, report.stored),
        (STORED_BYTES, report.stored_bytes),
        (DISK, report.disk_ok),
        (RECONNECTS, report.reconnects),
    )
    for family, value in values:
        yield Sample(family, (), float(value))
    for reason, count in sorted(report.nacked.items()):
        yield Sample(NACKED, (("reason", reason),), float(count))
