"""What the helpdesk refuses, and why; every error carries its facts as data."""


class TicketError(Exception):
    """Something about a ticket was refused."""


class NotAllowed(TicketError):  # noqa: N818 - named by the fact, like every error of this tree
    """The ticket's state does not allow this."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NotFound(TicketError):  # noqa: N818
    """There is no such ticket for this reader."""

    def __init__(self, number: str) -> None:
        super().__init__(f"there is no ticket {number}")
        self.number = number


class Conflict(TicketError):  # noqa: N818
    """Somebody changed the ticket since it was read; `version` is the one it has now."""

    def __init__(self, number: str, version: int) -> None:
        super().__init__(f"{number} was changed by somebody else; it is at version {version}")
        self.number = number
        self.version = version


class Invalid(TicketError):  # noqa: N818
    """A field's content was refused."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class QueryError(TicketError):
    """The search text is wrong; `column` is 1-based."""

    def __init__(self, message: str, column: int) -> None:
        super().__init__(f"column {column}: {message}")
        self.message = message
        self.column = column
