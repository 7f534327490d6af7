"""An accepted schema as long as it is in use: small at rest, whole label sets only until the engine has them."""

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from collector.ingest.stamp import Identity, stamp_each
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
    packed: bytes  # the agent's own words for the series taken: a fiftieth of what label sets weigh
    stamped: tuple[Labels, ...] = ()  # spares the first registration the work of `series`

    def series(self) -> tuple[Labels, ...]:
        """The stamped label sets of the columns taken, in order."""
        return self.stamped or stamp_each(pb.Schema.FromString(zlib.decompress(self.packed)).series, self.identity)

    def rested(self) -> "Columns":
        """The same without its label sets."""
        return replace(self, stamped=()) if self.stamped else self


def columns_of(
    schema: pb.Schema, identity: Identity, series: Sequence[Labels], keep: tuple[int, ...] | None = None
) -> Columns:
    """Columns of a schema's series once they are checked and stamped; of a refused one, those in `keep`."""
    named = repr((schema.hash, identity, keep)).encode()
    key = hashlib.blake2b(named, digest_size=16).digest()
    taken = schema.series if keep is None else [schema.series[column] for column in keep]
    packed = zlib.compress(pb.Schema(series=taken).SerializeToString())
    return Columns(key, len(schema.series), keep, identity, packed, tuple(series))
