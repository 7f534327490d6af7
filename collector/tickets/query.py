"""The queue's small search language: `host:srv prio:1,2 older:2d "no space" -state:waiting`; pure, never crashes."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from collector.tickets.errors import QueryError
from collector.tickets.priority import Priority
from collector.tickets.text import clean
from collector.tickets.ticket import Status

MAX_LENGTH = 1_000
MAX_TERMS = 30


class View(StrEnum):
    """The side views; `all` is every open ticket, `every` has no restriction at all (API, command line)."""

    MINE = "mine"
    UNASSIGNED = "unassigned"
    WAITING = "waiting"
    ALL = "all"
    CLOSED = "closed"
    EVERY = "every"


class Field(StrEnum):
    """What a term looks at."""

    TEXT = "text"
    HOST = "host"
    STATE = "state"
    PRIORITY = "prio"
    OWNER = "owner"
    COMPANY = "company"
    QUEUE = "queue"
    NUMBER = "number"
    RULE = "rule"
    OLDER = "older"
    NEWER = "newer"


STATES = (*(s.value for s in Status), "open", "waiting", "recovered", "nodata")
_UNITS = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_NUMBER = re.compile(r"(?:CZ-(\d{4})-)(\d{1,9})", re.IGNORECASE | re.ASCII)
_AGE = re.compile(r"(\d{1,6})([mhdw])", re.ASCII)
_FIELD = re.compile(r"([A-Za-z_]+):", re.ASCII)
_PLAIN = re.compile(r'[^\s"\\:-][^\s"\\:]*')


@dataclass(frozen=True, slots=True)
class Term:
    """One condition; any of `values` satisfies it. Ages are "2d", priorities "P1", owners may be "me" and "none"."""

    field: Field
    values: tuple[str, ...]
    negated: bool = False

    def __str__(self) -> str:
        sign = "-" if self.negated else ""
        if self.field is Field.TEXT:
            word = self.values[0]
            return sign + (word if _PLAIN.fullmatch(word) and not _NUMBER.fullmatch(word) else _quoted(word))
        return f"{sign}{self.field.value}:{','.join(map(_written, self.values))}"


@dataclass(frozen=True, slots=True)
class Query:
    """All terms must hold; no term finds everything."""

    terms: tuple[Term, ...] = ()

    def __str__(self) -> str:
        """The canonical text; parsing it gives the same query."""
        return " ".join(map(str, self.terms))

    def has(self, *fields: Field) -> bool:
        """Whether a positive term looks at one of these."""
        return any(t.field in fields and not t.negated for t in self.terms)


def parse(text: str) -> Query:
    """The query of a search text; raises QueryError with the column of the mistake."""
    if len(text) > MAX_LENGTH:
        raise QueryError(f"the search is longer than {MAX_LENGTH} characters", MAX_LENGTH + 1)
    terms = tuple(_terms(text))
    if len(terms) > MAX_TERMS:
        raise QueryError(f"the search has more than {MAX_TERMS} conditions", 1)
    return Query(terms)


def seconds(age: str) -> int:
    """How long "2d" is."""
    return int(age[:-1]) * _UNITS[age[-1]]


def _terms(text: str) -> Iterator[Term]:
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        term, at = _term(text, at)
        yield term


def _term(text: str, start: int) -> tuple[Term, int]:
    negated = text[start] == "-"
    at = start + negated
    named = _FIELD.match(text, at)
    field = _field(named[1], at) if named else Field.TEXT
    at = named.end() if named else at
    words, end = _words(text, at, listed=named is not None)
    if not named and not text.startswith('"', at) and _NUMBER.fullmatch(words[0]):
        field = Field.NUMBER
    return Term(field, tuple(dict.fromkeys(_value(field, w, at) for w in words)), negated), end


def _field(name: str, at: int) -> Field:
    try:
        return Field(name.lower())
    except ValueError:
        known = ", ".join(f"{f.value}:" for f in Field)
        raise QueryError(f"{name}: is not known; there are {known}. Put words with a colon in quotes", at + 1) from None


def _words(text: str, at: int, *, listed: bool) -> tuple[list[str], int]:
    """The words from `at`, separated by commas where it is a field's list, and where they end."""
    words = []
    while True:
        word, at = _quoted_word(text, at) if text.startswith('"', at) else _bare_word(text, at, listed=listed)
        words.append(word)
        if not (listed and text.startswith(",", at)):
            return words, at
        at += 1


def _bare_word(text: str, at: int, *, listed: bool) -> tuple[str, int]:
    stop = re.compile(r'[\s",]' if listed else r'[\s"]').search(text, at)
    end = stop.start() if stop else len(text)
    return _nonempty(text[at:end], at), end


def _quoted_word(text: str, at: int) -> tuple[str, int]:
    letters, i = [], at + 1
    while i < len(text) and text[i] != '"':
        i += text[i] == "\\"
        letters.append(text[i : i + 1])
        i += 1
    if i >= len(text):
        raise QueryError('a quote is opened and not closed; end it with "', at + 1)
    return _nonempty("".join(letters), at), i + 1


def _nonempty(word: str, at: int) -> str:
    plain = clean(word).strip()
    if not plain:
        raise QueryError("something to search for is missing here", at + 1)
    return plain


def _value(field: Field, word: str, at: int) -> str:
    match field:
        case Field.STATE:
            return _state(word, at)
        case Field.PRIORITY:
            return _priority(word, at)
        case Field.OLDER | Field.NEWER:
            return _age(word, at)
        case Field.NUMBER:
            return _number(word, at)
        case _:
            return word


def _state(word: str, at: int) -> str:
    state = word.lower().replace("-", "_")
    if state not in STATES:
        raise QueryError(f"there is no state {word!r}; there are {', '.join(STATES)}", at + 1)
    return state


def _priority(word: str, at: int) -> str:
    name = word.upper().removeprefix("P")
    if name not in {"1", "2", "3", "4"}:
        raise QueryError(f"there is no priority {word!r}; there are P1, P2, P3, P4", at + 1)
    return Priority(int(name)).name


def _age(word: str, at: int) -> str:
    if not _AGE.fullmatch(word.lower()):
        raise QueryError(f"{word!r} is not an age; write 30m, 12h, 2d or 1w", at + 1)
    return word.lower()


def _number(word: str, at: int) -> str:
    full = _NUMBER.fullmatch(word)
    if full:
        return f"CZ-{full[1]}-{int(full[2]):06d}"
    if re.fullmatch(r"\d{1,9}", word, re.ASCII):
        return str(int(word))
    raise QueryError(f"{word!r} is not a ticket number; write CZ-2026-000123 or 123", at + 1)


def _written(word: str) -> str:
    return word if re.fullmatch(r'[^\s",\\]+', word) else _quoted(word)


def _quoted(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
