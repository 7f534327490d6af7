"""The words of an expression with their places: for the guard's count and for the column of a mistake.

Not a parser: it only knows strings, comments, names, numbers and signs.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
      | (?P<string>"(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*' | `[^`]*`)
      | (?P<name>[A-Za-z_:][A-Za-z0-9_:]*)
      | (?P<number>(?:0[xX][0-9a-fA-F]+|[0-9.][0-9.eE]*)[0-9A-Za-z_]*)
      | (?P<sign>==|!=|<=|>=|=~|!~|.)""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Token:
    """One word; `start` counts characters from 0."""

    kind: str  # string, name, number, sign
    text: str
    start: int


def tokens(text: str) -> Iterator[Token]:
    """The words of a text, without space and comments. Every text can be split; an odd quote is a sign."""
    for found in _TOKEN.finditer(text):
        kind = found.lastgroup or "sign"
        if kind != "space":
            yield Token(kind, found.group(), found.start())


def column_of(text: str, word: str, occurrence: int = 1) -> int:
    """1-based column where a word stands for the n-th time; 1 if it does not."""
    places = [t.start + 1 for t in tokens(text) if t.text.lower() == word.lower() or _unquoted(t) == word]
    return places[min(occurrence, len(places)) - 1] if places else 1


def subquery_column(text: str) -> int:
    """1-based column of the first bracket with a colon in it; 1 without any."""
    opened = 0
    for token in tokens(text):
        if token.text == "[":
            opened = token.start + 1
        elif opened and token.kind != "string" and ":" in token.text:
            return opened
        elif token.text == "]":
            opened = 0
    return 1


def without_raw_strings(text: str) -> str:
    """The same text with `raw` strings in double quotes: the parser would read escapes in them, Prometheus does not."""
    pieces, done = [], 0
    for token in tokens(text):
        if token.kind == "string" and token.text[0] == "`":
            body = token.text[1:-1].replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
            pieces += [text[done : token.start], f'"{body}"']
            done = token.start + len(token.text)
    return "".join([*pieces, text[done:]])


def _unquoted(token: Token) -> str | None:
    return token.text[1:-1] if token.kind == "string" else None
