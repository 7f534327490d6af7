"""Batches the collector may still need, oldest first, bounded by age and size; every loss is counted.

They live in memory only: a batch that is not acknowledged yet is lost when the agent's process ends. Acknowledged
batches stay until the bounds push them out, because a collector that restarted asks for them again.
"""

from collections import OrderedDict
from dataclasses import dataclass

from czuwak.v1 import ingest_pb2 as pb

MAX_AGE_NS = 30 * 60 * 1_000_000_000
MAX_BYTES = 64 * 1024 * 1024


@dataclass(slots=True)
class _Kept:
    boottime_ns: int
    schema: bytes
    data: bytes
    acked: bool = False


class Spool:
    """The ring. One thread owns it. `epoch` names its sequence space, which starts at 1."""

    def __init__(self, epoch: str, *, max_age_ns: int = MAX_AGE_NS, max_bytes: int = MAX_BYTES) -> None:
        self.epoch = epoch
        self.next_seq = 1
        self.dropped = 0
        self._max_age_ns = max_age_ns
        self._max_bytes = max_bytes
        self._kept: OrderedDict[int, _Kept] = OrderedDict()
        self._schemas: dict[bytes, pb.Schema] = {}
        self._users: dict[bytes, int] = {}
        self._schema_bytes = 0
        self._batch_bytes = 0
        self._unacked = 0

    @property
    def first_seq(self) -> int:
        """Oldest batch still here; `next_seq` when there is none."""
        return next(iter(self._kept), self.next_seq)

    @property
    def oldest_queued(self) -> int:
        """Oldest batch that waits for an acknowledgement; `next_seq` when none does."""
        return next((seq for seq, kept in self._kept.items() if not kept.acked), self.next_seq)

    @property
    def batches(self) -> int:
        """How many batches wait for an acknowledgement."""
        return self._unacked

    @property
    def size(self) -> int:
        """Bytes of everything kept, schemas included."""
        return self._batch_bytes + self._schema_bytes

    def add(self, batch: pb.Batch, schema: pb.Schema) -> int:
        """Keep a batch whose `seq` is `next_seq`; returns its encoded size. May push the oldest ones out."""
        data = batch.SerializeToString()
        self._kept[batch.seq] = _Kept(batch.boottime_ns, schema.hash, data)
        self.next_seq = batch.seq + 1
        self._batch_bytes += len(data)
        self._unacked += 1
        self._use(schema)
        self._trim(batch.boottime_ns)
        return len(data)

    def batch(self, seq: int, lane: pb.Lane.ValueType) -> pb.Batch | None:
        """The batch, to be sent in this lane; None when it is gone."""
        kept = self._kept.get(seq)
        if kept is None:
            return None
        batch = pb.Batch.FromString(kept.data)
        batch.lane = lane
        return batch

    def schema(self, digest: bytes) -> pb.Schema | None:
        """A schema some kept batch needs; None when no such batch is left."""
        return self._schemas.get(digest)

    def acknowledge(self, seq: int) -> bool:
        """The collector has it for good; it stays for a rewind, its end is no loss. False: known before, or gone."""
        kept = self._kept.get(seq)
        if kept is None or kept.acked:
            return False
        kept.acked = True
        self._unacked -= 1
        return True

    def discard(self, seq: int) -> None:
        """The batch will never be taken: forget it, counted as lost unless it was acknowledged."""
        kept = self._kept.pop(seq, None)
        if kept is not None:
            self._release(kept)

    def _trim(self, newest_ns: int) -> None:
        while len(self._kept) > 1 and self._over(newest_ns):
            self._release(self._kept.popitem(last=False)[1])

    def _over(self, newest_ns: int) -> bool:
        oldest = next(iter(self._kept.values()))
        return self.size > self._max_bytes or newest_ns - oldest.boottime_ns > self._max_age_ns

    def _use(self, schema: pb.Schema) -> None:
        if schema.hash not in self._schemas:
            self._schemas[schema.hash] = schema
            self._schema_bytes += schema.ByteSize()
        self._users[schema.hash] = self._users.get(schema.hash, 0) + 1

    def _release(self, kept: _Kept) -> None:
        self._batch_bytes -= len(kept.data)
        if not kept.acked:
            self._unacked -= 1
            self.dropped += 1
        self._users[kept.schema] -= 1
        if not self._users[kept.schema]:
            del self._users[kept.schema]
            self._schema_bytes -= self._schemas.pop(kept.schema).ByteSize()
