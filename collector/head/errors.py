"""What the head refuses; the docstring is the message's beginning."""


class HeadError(Exception):
    """The head cannot do this."""


class UnknownSchemaError(HeadError):
    """The host has not registered this schema: register it, then append again."""

    def __init__(self, host: str, schema: bytes) -> None:
        self.host = host
        self.schema = schema
        super().__init__(f"host {host!r} has not registered schema {schema.hex()}: register it, then append again")


class MatcherError(HeadError):
    """A matcher's regular expression is not valid RE2."""


class RecordError(HeadError):
    """These bytes are no record of a snapshot."""
