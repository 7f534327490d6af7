"""The agent's only vocabulary: a family of metrics and one sample of it.

Nothing here touches the host; everything after the probes speaks in these three values.
"""

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum

# The longest label value the collector takes. A longer one is cut, so that one odd mount cannot cost the whole host.
LABEL_BYTES = 512

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")


class Kind(StrEnum):
    """How a family's values move."""

    GAUGE = "gauge"
    COUNTER = "counter"


@dataclass(frozen=True, slots=True)
class Family:
    """A metric by its full name, with its kind and one sentence of help. Counters end in `_total`.

    `untyped` marks the few that node_exporter's page leaves without a type: ours does too, the wire says gauge.
    """

    name: str
    kind: Kind
    help: str
    untyped: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is not a metric name")
        if (self.kind is Kind.COUNTER) != self.name.endswith("_total"):
            raise ValueError(f"{self.name}: a counter, and nothing else, ends in _total")


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a family. `labels` are (name, value) pairs in name order, as `labels()` makes them."""

    family: Family
    labels: tuple[tuple[str, str], ...]
    value: float


def labels(**values: str) -> tuple[tuple[str, str], ...]:
    """The pairs in name order, each value in NFC and at most LABEL_BYTES long in UTF-8."""
    return tuple(sorted((name, _tidy(value)) for name, value in values.items()))


def _tidy(value: str) -> str:
    if value.isascii():
        return value[:LABEL_BYTES]
    # Cut before it is put in form: to put thousands of accents in order takes the square of their number.
    encoded = unicodedata.normalize("NFC", value[:LABEL_BYTES]).encode("utf-8", "replace")
    return encoded[:LABEL_BYTES].decode("utf-8", "ignore")
