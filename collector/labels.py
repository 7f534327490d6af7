"""Label sets: sorted, immutable, hashable, with the fingerprints that identify alerts.

Imports nothing of the project. A label whose value is empty does not exist, as in Prometheus.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

_FNV_OFFSET = 0xCBF29CE484222325
_FNV_PRIME = 0x100000001B3
_MASK = 0xFFFFFFFFFFFFFFFF

NAME = "__name__"
INSTANCE = "instance"
_OF_INSTANCE = ("host", "site", "class")  # said of an instance by people, who may say something else tomorrow


@dataclass(frozen=True, slots=True, order=True)
class Labels:
    """One label set; `pairs` are sorted by name and free of empty values. Make one with `Labels.of`."""

    pairs: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, labels: Mapping[str, str] | Iterable[tuple[str, str]] = (), **more: str) -> "Labels":
        """Label set of a mapping or of pairs, sorted, empty values dropped."""
        merged = {**dict(labels), **more}
        return cls(tuple(sorted((n, v) for n, v in merged.items() if v)))

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.pairs)

    def get(self, name: str, default: str = "") -> str:
        """Value of one label, `default` where it does not exist."""
        for n, v in self.pairs:
            if n == name:
                return v
        return default

    def as_dict(self) -> dict[str, str]:
        """The pairs as a new dict."""
        return dict(self.pairs)

    def with_(self, labels: Mapping[str, str]) -> "Labels":
        """A label set with these set; an empty value removes."""
        return Labels.of({**dict(self.pairs), **labels})

    def without(self, *names: str) -> "Labels":
        """A label set without these names."""
        return Labels(tuple(p for p in self.pairs if p[0] not in names))

    def keep(self, *names: str) -> "Labels":
        """A label set of these names only."""
        return Labels(tuple(p for p in self.pairs if p[0] in names))

    def fingerprint(self) -> str:
        """16 hex digits: FNV-1a 64 over name 0xFF value 0xFF, as prometheus/common model/signature.go computes it."""
        h = _FNV_OFFSET
        for n, v in self.pairs:
            for byte in b"%b\xff%b\xff" % (_bytes(n), _bytes(v)):
                h = ((h ^ byte) * _FNV_PRIME) & _MASK
        return f"{h:016x}"

    def __str__(self) -> str:
        """Prometheus' notation, `name{a="b"}`."""
        inner = ",".join(f'{n}="{_escape(v)}"' for n, v in self.pairs if n != NAME)
        return f"{self.get(NAME)}{{{inner}}}"


def canonical(labels: Labels) -> Labels:
    """The labels that say which problem it is: of one instance its name, site and class do not."""
    return labels.without(*_OF_INSTANCE) if labels.get(INSTANCE) else labels


def dedup_key(company: str, source: str, labels: Labels) -> str:
    """32 hex digits, 128 bits: the identity of one problem over company, source and canonical labels.

    Every part is length-prefixed, so no two different inputs run together.
    """
    h = hashlib.blake2b(digest_size=16)
    for part in (company, source, *(text for pair in labels.pairs for text in pair)):
        data = _bytes(part)
        h.update(len(data).to_bytes(4, "big") + data)
    return h.hexdigest()


def _bytes(text: str) -> bytes:
    """UTF-8; half a surrogate pair, which hostile JSON may hold, keeps an identity of its own instead of an error."""
    return text.encode("utf-8", "surrogatepass")


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
