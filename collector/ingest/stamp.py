"""From an agent's series to final label sets: checks every name and value, stamps the identity on. Pure.

The identity comes from the certificate and the database; a payload that carries identity labels is refused.
"""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

from collector.ingest.errors import PayloadError
from collector.labels import NAME, Labels
from czuwak.v1 import ingest_pb2 as pb

MAX_SERIES = 2000
MAX_LABELS = 64
MAX_LABEL_NAMES = 128  # of all series together: each is a column wherever the host's series are looked at
MAX_NAME_BYTES = 128
MAX_VALUE_BYTES = 512
HASH_BYTES = 16
_MAX_MARKS = 30  # on one letter, as in stream-safe text: to put them in order takes the square of their number
_MAX_LOOKED_AT = MAX_SERIES * MAX_LABELS  # labels of a refused schema among which the known ones are sought

RESERVED_LABELS = frozenset(
    {"instance", "job", "host", "company", "site", "class", "alertname", "alertstate", "severity"}
)
RESERVED_METRICS = frozenset(
    {
        "ALERTS",
        "ALERTS_FOR_STATE",
        "up",
        "czuwak_certificate_expiry_timestamp_seconds",
        "czuwak_outage_hosts",
    }
)

_OURS = ("czuwak_collector_", "czuwak_host_")
# No colon: names with one belong to recording rules, and an agent must not be able to forge those.
_METRIC = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who an agent is, as the collector knows it; the payload has no say."""

    agent_id: str
    instance: str
    host: str
    company: str
    site: str
    class_: str

    def labels(self) -> dict[str, str]:
        """The labels stamped on every series of the host."""
        return {
            "instance": self.instance,
            "job": "node",
            "host": self.host,
            "company": self.company,
            "site": self.site,
            "class": self.class_,
        }

    def shared(self) -> Labels:
        """The same as a label set; its pairs are those of all the host's series."""
        return _shared(self)


@lru_cache(maxsize=1 << 15)
def _shared(identity: Identity) -> Labels:
    return Labels.of(identity.labels())


def check(schema: pb.Schema) -> bytes:
    """The schema's own words, its series alone; raises PayloadError with the first thing that is wrong."""
    if len(schema.series) > MAX_SERIES:
        raise PayloadError(
            pb.NACK_REASON_QUOTA, f"The schema has {len(schema.series)} series; {MAX_SERIES} are the limit."
        )
    if not schema.series:
        raise _bad("The schema has no series.")
    # Serializing the whole and leaving out what stands before the series is a fifth of the work of copying them.
    words = schema.SerializeToString(deterministic=True)[len(pb.Schema(hash=schema.hash).SerializeToString()) :]
    if schema.hash != _hash(words):
        words = words_of(schema.series)  # a newer protocol may say more of a schema than we know
        if schema.hash != _hash(words):
            raise _bad("The schema's hash is not the hash of its series.")
    own_series(words)
    return words


def words_of(series: Iterable[pb.Series]) -> bytes:
    """The same bytes for the same series."""
    return pb.Schema(series=series).SerializeToString(deterministic=True)


@lru_cache(maxsize=32)
def own_series(words: bytes) -> tuple[Labels, ...]:
    """The label sets of a schema's words without any identity, in order. Raises PayloadError.

    Remembered, for a fleet's computers have the same series: they are checked once and share these objects.
    """
    schema = pb.Schema.FromString(words)
    crowded = next((series.name for series in schema.series if len(series.labels) > MAX_LABELS), None)
    if crowded is not None:  # first: what follows looks at every label
        raise _too_many_labels(crowded)
    names = {label.name for series in schema.series for label in series.labels}
    if len(names) > MAX_LABEL_NAMES:
        raise PayloadError(
            pb.NACK_REASON_QUOTA, f"The schema has {len(names)} different label names; {MAX_LABEL_NAMES} are the limit."
        )
    own = tuple(_own(one) for one in schema.series)
    if len(set(own)) != len(own):
        raise _bad(f"The schema names a series twice: {_duplicate(own)}.")
    return own


def stamp(schema: pb.Schema, identity: Identity) -> tuple[Labels, ...]:
    """Final label set of every series, in order; raises PayloadError with the first thing that is wrong."""
    return stamp_each(own_series(check(schema)), identity)


def stamp_each(own: Iterable[Labels], identity: Identity) -> tuple[Labels, ...]:
    """Final label sets of series that have been checked."""
    shared = identity.shared().pairs
    return tuple(Labels(tuple(sorted((*one.pairs, *shared)))) for one in own)


def known_columns(schema: pb.Schema, identity: Identity, known: tuple[Labels, ...]) -> dict[int, Labels]:
    """Of a refused schema: column -> label set of each series that is among `known`, in order."""
    wanted = set(known)
    names = {labels.get(NAME) for labels in known}
    found: dict[int, Labels] = {}
    looked_at = 0
    for column, series in enumerate(schema.series):
        looked_at += 1 + len(series.labels)
        if looked_at > _MAX_LOOKED_AT or not wanted:
            break
        labels = _stamped_or_none(series, identity) if series.name in names else None
        if labels is not None and labels in wanted:
            wanted.discard(labels)
            found[column] = labels
    return found


def schema_hash(schema: pb.Schema) -> bytes:
    """First 16 bytes of SHA-256 over the series alone, deterministically encoded."""
    return _hash(words_of(schema.series))


def _hash(words: bytes) -> bytes:
    return hashlib.sha256(words).digest()[:HASH_BYTES]


def _stamped_or_none(series: pb.Series, identity: Identity) -> Labels | None:
    try:
        return stamp_each((_own(series),), identity)[0]
    except PayloadError:
        return None


def _own(series: pb.Series) -> Labels:
    if not _METRIC.fullmatch(series.name) or len(series.name) > MAX_NAME_BYTES:
        raise _bad(f"{_shown(series.name)} is not a metric name.")
    if series.name in RESERVED_METRICS or series.name.startswith(_OURS):
        raise _bad(f"The metric name {series.name} is the collector's own.")
    if len(series.labels) > MAX_LABELS:
        raise _too_many_labels(series.name)
    labels: dict[str, str] = {}
    for label in series.labels:
        if label.name in labels:
            raise _bad(f"{series.name} has the label {label.name} twice.")
        labels[_checked_name(series.name, label.name)] = _checked_value(series.name, label)
    return Labels.of({**labels, NAME: series.name})


def _checked_name(metric: str, name: str) -> str:
    if not _LABEL.fullmatch(name) or len(name) > MAX_NAME_BYTES:
        raise _bad(f"{metric} has a label with the name {_shown(name)}, which is not a label name.")
    if name in RESERVED_LABELS or name.startswith("__"):
        raise _bad(f"{metric} has the label {name}, which only the collector sets.")
    return name


def _checked_value(metric: str, label: pb.Label) -> str:
    value = label.value
    if "\0" in value:
        raise _bad(f"{metric} has a zero byte in the value of its label {label.name}.")
    if len(value.encode()) > MAX_VALUE_BYTES:
        raise PayloadError(
            pb.NACK_REASON_QUOTA, f"{metric} has a value over {MAX_VALUE_BYTES} bytes in its label {label.name}."
        )
    if unicodedata.is_normalized("NFC", value):
        return value
    runs = groupby(map(unicodedata.combining, value), bool)
    marks = max((len(list(run)) for marked, run in runs if marked), default=0)
    if marks > _MAX_MARKS:
        raise _bad(f"{metric} has {marks} accents on one letter in the value of its label {label.name}.")
    return unicodedata.normalize("NFC", value)


def _duplicate(own: tuple[Labels, ...]) -> Labels:
    return Counter(own).most_common(1)[0][0]


def _too_many_labels(metric: str) -> PayloadError:
    return PayloadError(pb.NACK_REASON_QUOTA, f"{_shown(metric)} has more than {MAX_LABELS} labels.")


def _bad(detail: str) -> PayloadError:
    return PayloadError(pb.NACK_REASON_BAD_DATA, detail)


def _shown(text: str) -> str:
    return ascii(text[:40])
