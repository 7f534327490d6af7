"""What can go wrong with rules. A docstring is the message's beginning; the data is on the error."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """One mistake in a rule file; line and column count from 1."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


class RuleError(Exception):
    """A rule could not be judged; nothing of its state has changed."""


class RuleFileError(RuleError):
    """Rule files with mistakes; all of them are in `mistakes`, in the order of the files."""

    def __init__(self, mistakes: tuple[Mistake, ...]) -> None:
        self.mistakes = mistakes
        super().__init__("\n".join(map(str, mistakes)))


class TemplateError(RuleError):
    """A template cannot be expanded."""


class DurationError(ValueError):
    """Not a duration such as 30s, 5m or 1h30m."""
