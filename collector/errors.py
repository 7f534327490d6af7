"""What can go wrong before and around the collector's work, as its user reads it."""


class CollectorError(Exception):
    """Base of all errors that end a command with one clear message and exit code 1."""


class UsageError(CollectorError):
    """The command was called in a way it cannot be; ends it with exit code 2."""


class ConfigError(CollectorError):
    """The configuration cannot be used; carries every mistake found, a line each."""

    def __init__(self, mistakes: tuple[str, ...]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class SetupError(CollectorError):
    """Something on disk is not as `czuwak init` leaves it."""


class DemoError(CollectorError):
    """A step of the demonstration did not happen in time."""
