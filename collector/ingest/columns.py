"""An accepted schema as long as it is in use: the agent's own words, packed; label sets are made of them on demand."""

import hashlib
import zlib
from dataclasses import dataclass
from functools import lru_cache

from collector.ingest.stamp import Identity, own_series, stamp_each, words_of
from collector.labels import Labels
from czuwak.v1 import ingest_pb2 as pb


@dataclass(frozen=True, slots=True)
class Columns:
    """Which series the values of a batch are; made with `columns_of`.

    `key` names exactly these series in the head; a schema's hash does not, for it says nothing of the identity.
    `total` counts the schema's series, `keep` are the columns taken when some were refused.
    """

    key: bytes
    total: int
    keep: tuple[int, ...] | None
    identity: Identity
    packed: bytes  # a fiftieth of what label sets weigh, and the same object for agents with the same series

    def own(self) -> tuple[Labels, ...]:
        """The label sets of the columns taken without the identity, in order."""
        return own_series(zlib.decompress(self.packed))

    def series(self) -> tuple[Labels, ...]:
        """The stamped label sets of the columns taken, in order."""
        return stamp_each(self.own(), self.identity)


def columns_of(
    schema: pb.Schema, identity: Identity, keep: tuple[int, ...] | None = None, *, words: bytes = b""
) -> Columns:
    """Columns of a schema's series once they are checked, with its `words` then; of a refused one, those in `keep`."""
    named = repr((schema.hash, identity, keep)).encode()
    key = hashlib.blake2b(named, digest_size=16).digest()
    taken = schema.series if keep is None else [schema.series[column] for column in keep]
    return Columns(key, len(schema.series), keep, identity, _packed(words or words_of(taken)))


@lru_cache(maxsize=32)
def _packed(words: bytes) -> bytes:
    return zlib.compress(words)
