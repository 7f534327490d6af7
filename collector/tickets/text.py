"""Hostile text made storable: no NUL, no lone surrogates, no control characters, bounded. Escaping is the page's."""

from collector.tickets.errors import Invalid

TITLE = 200
DESCRIPTION = 10_000
COMMENT = 20_000
NAME = 200

_DROPPED = {c: None for c in range(32) if chr(c) not in "\t\n"} | {127: None}


def clean(text: str, limit: int | None = None) -> str:
    """`text` without what a database or a page chokes on, Unix line ends, cut to `limit` characters."""
    plain = text if text.isprintable() else _cleaned(text)  # nearly all there is, and many times a ticket
    return plain if limit is None or len(plain) <= limit else plain[: limit - 1] + "…"


def line(text: str, limit: int | None = None) -> str:
    """`clean` on one line, white space run together and trimmed."""
    return clean(" ".join(clean(text).split()), limit)


def required(field: str, text: str, limit: int) -> str:
    """Cleaned and trimmed text typed by a person; raises Invalid where it is empty or longer than `limit`."""
    cleaned = clean(text).strip()
    if not cleaned:
        raise Invalid(field, "must not be empty")
    return optional(field, cleaned, limit)


def optional(field: str, text: str, limit: int) -> str:
    """As `required`, but may be empty."""
    cleaned = clean(text).strip()
    if len(cleaned) > limit:
        raise Invalid(field, f"has {len(cleaned)} characters, at most {limit} are kept")
    return cleaned


def _cleaned(text: str) -> str:
    unix = text.replace("\r\n", "\n").replace("\r", "\n").translate(_DROPPED)
    return unix.encode("utf-8", "replace").decode("utf-8")
