"""Label matchers: = != =~ !~, regular expressions by RE2 and anchored at both ends, as in Prometheus."""

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

import re2  # type: ignore[import-untyped]  # google-re2 ships no types

from collector.head.errors import MatcherError


class Match(StrEnum):
    """How a matcher compares."""

    EQUAL = "="
    NOT_EQUAL = "!="
    REGEX = "=~"
    NOT_REGEX = "!~"


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on one label; a label that does not exist has the empty value. Raises MatcherError when made."""

    name: str
    match: Match
    value: str

    def __post_init__(self) -> None:
        if self.match in (Match.REGEX, Match.NOT_REGEX):
            compiled(self.value)

    def accepts(self, value: str) -> bool:
        """True when a label of this value meets the condition."""
        match self.match:
            case Match.EQUAL:
                return value == self.value
            case Match.NOT_EQUAL:
                return value != self.value
            case Match.REGEX:
                return compiled(self.value).fullmatch(value) is not None
            case Match.NOT_REGEX:
                return compiled(self.value).fullmatch(value) is None

    def __str__(self) -> str:
        quoted = self.value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'{self.name}{self.match}"{quoted}"'


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> Any:
    """The pattern by RE2, cached. Raises MatcherError."""
    options = re2.Options()
    options.dot_nl = True  # Prometheus compiles with (?s)
    options.log_errors = False
    options.max_mem = 1 << 20
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise MatcherError(f"invalid regular expression {pattern!r}: {reason}") from None
