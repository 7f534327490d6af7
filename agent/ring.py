"""The newest batches in memory, acknowledged or not, bounded by age and size; what is unacknowledged is never old news.

Its numbers rise by one and are the batches' own. No file, no clock.
"""

from collections import OrderedDict
from dataclasses import dataclass

from czuwak.v1 import ingest_pb2 as pb

MAX_AGE_NS = 30 * 60 * 1_000_000_000
MAX_BYTES = 8 * 1024 * 1024


@dataclass(slots=True)
class Kept:
    """One batch: whether it is acknowledged, whether it is on disk too, how many numbers right before it are lost."""

    seq: int
    boottime_ns: int
    schema: bytes
    series: int
    data: bytes
    lost: int = 0
    acked: bool = False
    stored: bool = False


class Ring:
    """The ring. What can be given up without loss goes by age; the rest stays until the size forces it out."""

    def __init__(self, max_age_ns: int = MAX_AGE_NS, max_bytes: int = MAX_BYTES) -> None:
        self.kept: OrderedDict[int, Kept] = OrderedDict()
        self.loose: dict[int, None] = {}  # neither acknowledged nor on disk, oldest first
        self._max_age_ns = max_age_ns
        self._max_bytes = max_bytes
        self._schemas: dict[bytes, pb.Schema] = {}
        self._users: dict[bytes, int] = {}
        self._bytes = 0

    @property
    def size(self) -> int:
        """Bytes of everything kept, schemas included."""
        return self._bytes

    def first(self, default: int) -> int:
        """Number of the oldest batch here."""
        return next(iter(self.kept), default)

    def add(self, kept: Kept, schema: pb.Schema) -> None:
        """Keep one more, the newest."""
        self.kept[kept.seq] = kept
        self.loose[kept.seq] = None
        self._bytes += len(kept.data)
        if schema.hash not in self._schemas:
            self._schemas[schema.hash] = schema
            self._bytes += schema.ByteSize()
        self._users[schema.hash] = self._users.get(schema.hash, 0) + 1

    def schema(self, digest: bytes) -> pb.Schema | None:
        """A schema some batch here needs."""
        return self._schemas.get(digest)

    def settle(self, kept: Kept) -> None:
        """It is acknowledged, it stays for a rewind."""
        kept.acked = True
        self.loose.pop(kept.seq, None)

    def saved(self, kept: Kept, *, stored: bool) -> None:
        """It is on disk now, or no longer."""
        kept.stored = stored
        if stored or kept.acked:
            self.loose.pop(kept.seq, None)
        else:
            self.loose[kept.seq] = None
            self.loose = dict.fromkeys(sorted(self.loose))

    def surplus(self, newest_ns: int) -> Kept | None:
        """The oldest one if it has to go: too old and safe elsewhere, or everything together too big."""
        if len(self.kept) < 2:
            return None
        oldest = next(iter(self.kept.values()))
        safe = oldest.acked or oldest.stored
        aged = newest_ns - oldest.boottime_ns > self._max_age_ns
        return oldest if self._bytes > self._max_bytes or (safe and aged) else None

    def remove(self, seq: int) -> Kept | None:
        """Forget one."""
        kept = self.kept.pop(seq, None)
        if kept is None:
            return None
        self.loose.pop(seq, None)
        self._bytes -= len(kept.data)
        self._users[kept.schema] -= 1
        if not self._users[kept.schema]:
            del self._users[kept.schema]
            self._bytes -= self._schemas.pop(kept.schema).ByteSize()
        return kept
