"""The text format of a metrics file, read strictly: what it may not say is refused as a whole. Pure."""

import re
from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from agent.sample import Family, Kind, Sample, labels

# Names and labels that only the agent or the collector give; a colon is for recording rules.
_METRIC = re.compile(r"(?!up$|ALERTS|scrape_|czuwak_|node_scrape_collector_|node_textfile_|__)[a-zA-Z_][a-zA-Z0-9_]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_RESERVED = frozenset({"instance", "job", "host", "company", "site", "class", "alertname", "alertstate", "severity"})
_LONGEST_NAME = 128
_MOST_LABELS = 32
_LONGEST_LINE = 8192


class TextfileError(Exception):
    """The file says something that cannot be taken."""


def parse(data: bytes) -> tuple[Sample, ...]:
    """The samples in order. TextfileError for a broken line, a time of its own, a reserved name, a series twice."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise TextfileError("it is not UTF-8 text") from None
    if any(len(line) > _LONGEST_LINE for line in text.split("\n")):
        raise TextfileError(f"a line is longer than {_LONGEST_LINE} characters")
    found = tuple(_samples(text))
    if len({(sample.family.name, sample.labels) for sample in found}) < len(found):
        raise TextfileError("it names a series twice")
    return found


def _samples(text: str) -> Iterator[Sample]:
    for metric in _metrics(text):
        for name, pairs, value, timestamp, *_ in metric.samples:
            if timestamp is not None:
                raise TextfileError(f"{name[:80]} has a time of its own")
            _check(name, pairs)
            yield Sample(_family(name, metric), labels(**pairs), float(value))


# The parser raises ValueError by intent, and whatever a broken line leads it to.
def _metrics(text: str) -> list[Metric]:
    try:
        return list(text_string_to_metric_families(text if text.endswith("\n") else f"{text}\n"))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise TextfileError(f"it is not in the text format: {str(error)[:120]}") from None


def _check(name: str, pairs: dict[str, str]) -> None:
    if not _METRIC.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise TextfileError(f"the name {name[:80]!r} is reserved or not a name")
    if len(pairs) > _MOST_LABELS:
        raise TextfileError(f"{name} has more than {_MOST_LABELS} labels")
    for label, value in pairs.items():
        if label in _RESERVED or label.startswith("__") or len(label) > _LONGEST_NAME:
            raise TextfileError(f"{name} has the label {label[:80]!r}, which only the collector sets")
        if not _LABEL.fullmatch(label) or "\0" in value:
            raise TextfileError(f"{name} has a label that cannot be taken")


def _family(name: str, metric: Metric) -> Family:
    counter = name.endswith("_total")
    help_ = metric.documentation[:500] or "From a metrics file."
    return Family(name, Kind.COUNTER if counter else Kind.GAUGE, help_, untyped=not counter and metric.type != "gauge")
