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
_NOTHING = re.compile(r"0(?:\.0*)?|(?:0(?:ms|[smhdwy]))+")
ZERO = "291y7d13h"  # stands for an offset of zero; longer than any the plan accepts


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


def for_parser(text: str) -> str:
    """The same expression as the parser reads it like Prometheus.

    `raw` strings go into double quotes, for the parser would read escapes in them; an offset of zero, which it
    refuses, becomes `ZERO`, which the plan takes for none.
    """
    pieces, done, before = list[str](), 0, ""
    for token in tokens(text):
        written = _for_parser(token, before)
        if written != token.text:
            pieces += [text[done : token.start], written]
            done = token.start + len(token.text)
        if token.text not in {"-", "+"}:
            before = token.text.lower()
    return "".join([*pieces, text[done:]])


def _for_parser(token: Token, before: str) -> str:
    if token.kind == "string" and token.text[0] == "`":
        body = token.text[1:-1].replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{body}"'
    return ZERO if before == "offset" and _NOTHING.fullmatch(token.text) else token.text


def _unquoted(token: Token) -> str | None:
    return token.text[1:-1] if token.kind == "string" else None
