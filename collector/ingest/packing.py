"""A packed schema made plain, however large it says it is. Pure."""

import zlib

from google.protobuf.message import DecodeError

from collector.ingest.checks import bad
from czuwak.v1 import ingest_pb2 as pb

# Of a schema made plain. 2,000 series of our agent are a tenth of it; the worst that fits, a kilobyte on the wire,
# holds the event loop up for 25 ms.
MAX_BYTES = 1 << 20


def unpacked(schema: pb.Schema) -> pb.Schema:
    """The schema with its series to read; a plain one is returned as it is. Raises PayloadError."""
    if not schema.packed:
        return schema
    if schema.series:
        raise bad("The schema has its series twice, packed and plain.")
    try:
        plain = pb.Schema.FromString(_words(schema.packed))
    except DecodeError as error:
        raise bad("The packed schema holds no series.") from error
    if plain.hash or plain.packed:
        raise bad("The packed schema holds more than series.")
    plain.hash = schema.hash
    return plain


def _words(packed: bytes) -> bytes:
    inflater = zlib.decompressobj()
    try:
        words = inflater.decompress(packed, MAX_BYTES + 1)
    except zlib.error as error:
        raise bad("The packed schema is damaged.") from error
    if len(words) > MAX_BYTES:
        raise bad(f"The packed schema is longer than {MAX_BYTES} bytes.")
    if not inflater.eof or inflater.unused_data:
        raise bad("The packed schema is cut off, or something follows it.")
    return words
