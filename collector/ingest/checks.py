"""A Hello and a batch against what is known of their stream: form, size, time. Pure."""

import math
import struct

from collector.ingest.columns import Columns
from collector.ingest.errors import PayloadError
from czuwak.v1 import ingest_pb2 as pb

MAX_AHEAD_SECONDS = 600.0  # a Hello that was read late puts all samples too late until the next heartbeat
_NS = 1_000_000_000


def wrong_hello(hello: pb.Hello) -> str:
    """What is wrong with a Hello, or nothing."""
    if not hello.epoch or max(map(len, (hello.epoch, hello.boot_id, hello.run_id))) > 64:
        return "The Hello has no epoch, or its identifiers are longer than 64 characters."
    if not 0 <= hello.first_seq <= hello.next_seq < 2**63:
        return "The Hello's numbers are not in order."
    return "" if hello.boottime_ns > 0 else "The Hello has no boot time."


def check_values(columns: Columns, batch: pb.Batch) -> None:
    """Raises PayloadError where the batch's values do not fit its series, or none of them is a number."""
    total = columns.total
    present = total
    if batch.presence:
        bits = int.from_bytes(batch.presence, "little")
        present = bits.bit_count()
        if len(batch.presence) != (total + 7) // 8 or bits >> total:
            raise bad(f"The presence bitmap does not fit {total} series.")
    if len(batch.values) != present * 8:
        raise bad(f"{len(batch.values)} bytes of values; {present} series need {present * 8}.")
    if all(math.isnan(value) for (value,) in struct.iter_unpack("<d", batch.values)):
        raise bad("The batch has no value that is a number.")


def of_earlier_boot(batch: pb.Batch, hello: pb.Hello) -> bool:
    """Whether the batch was taken before the boot that said Hello."""
    return bool(batch.boot_id) and batch.boot_id != hello.boot_id


def time_of(batch: pb.Batch, hello: pb.Hello, anchor: float, offset: float, at: float) -> float:
    """Our time of the sample: one boot's clock, anchored at Hello and at heartbeats; of an earlier boot, the wall's.

    `anchor` is our time minus the agent's boottime, `offset` its wall clock minus ours. Raises PayloadError.
    """
    if of_earlier_boot(batch, hello):
        if batch.wall_ns <= 0:
            raise bad("The batch was taken before the last boot; its time cannot be known.")
        return min(batch.wall_ns / _NS - offset, anchor, at)  # before this boot began
    taken = anchor + batch.boottime_ns / _NS
    if batch.boottime_ns <= 0 or taken > at + MAX_AHEAD_SECONDS:
        raise bad("The batch's time is in the future.")
    return min(taken, at)


def bad(detail: str) -> PayloadError:
    """Wrong for good."""
    return PayloadError(pb.NACK_REASON_BAD_DATA, detail)
