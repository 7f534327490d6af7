"""What can go wrong with the database, told so that an operator knows what to do."""

import sqlalchemy as sa


class StoreError(Exception):
    """The database did not do it.

    `retryable`: the same call may succeed later. `again`: roll back and run the same transaction at once, it lost a
    race (unique violation, deadlock, serialization, a row changed meanwhile).
    """

    def __init__(self, message: str, *, retryable: bool = False, again: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.retryable = retryable or again
        self.again = again


class SchemaError(StoreError):
    """The database's schema is not the one this version of Czuwak works with."""


class TokenRefused(StoreError):  # noqa: N818 - named by the fact
    """A join token or enrolment was refused; `reason` is one of unknown, revoked, expired, used, name, key."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class BadCursor(StoreError):  # noqa: N818 - named by the fact
    """A page's cursor was not made by this list."""


_UNIQUE = {"23505", "SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"}
_RACES = {"40001", "40P01"}
_MEANINGS = {
    "53100": ("the database's disk is full; free space and it goes on by itself", True),
    "SQLITE_FULL": ("the database's disk is full; free space and it goes on by itself", True),
    "SQLITE_READONLY": ("the database is read-only; check the owner and mode of its file and directory", True),
    "25006": ("the database is read-only; is this a standby server?", True),
    "SQLITE_CANTOPEN": ("the database file cannot be opened; check that its directory exists and is writable", True),
    "SQLITE_CORRUPT": ("the database file is damaged; stop Czuwak and restore a backup", False),
    "SQLITE_NOTADB": ("the file is not a SQLite database", False),
    "SQLITE_IOERR": ("the database's disk reports an error", True),
    "SQLITE_BUSY": ("the database is locked by another writer for more than 5 s", True),
    "SQLITE_LOCKED": ("the database is locked by another writer", True),
    "55P03": ("the database is locked by another writer for more than 5 s", True),
    "57014": ("the database took longer than allowed for one statement", True),
    "53300": ("the database server has no free connection", True),
    "28P01": ("the database server refused the password", False),
    "28000": ("the database server refused this user", False),
    "3D000": ("there is no such database on the server", False),
    "42P01": ("a table is missing; run `czuwak db upgrade`", False),
}


def translated(error: sa.exc.SQLAlchemyError) -> StoreError:
    """The StoreError of a driver's error."""
    if isinstance(error, sa.exc.TimeoutError):
        return StoreError("all database connections are in use", retryable=True)
    cause = error.orig if isinstance(error, sa.exc.DBAPIError) else None
    code = _code(cause)
    if code in _UNIQUE:
        return StoreError(f"somebody else wrote the same row first ({cause})", again=True)
    if code in _RACES:
        return StoreError(f"the transaction lost a race ({cause})", again=True)
    for prefix, (meaning, retryable) in _MEANINGS.items():
        if code.startswith(prefix):
            return StoreError(f"{meaning} ({_first_line(cause)})", retryable=retryable)
    return _other(error, cause)


def _other(error: sa.exc.SQLAlchemyError, cause: BaseException | None) -> StoreError:
    if isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated:
        return StoreError(f"the connection to the database was lost ({_first_line(cause)})", retryable=True)
    if isinstance(error, sa.exc.OperationalError):
        return StoreError(f"the database cannot be used now ({_first_line(cause)})", retryable=True)
    return StoreError(f"the database refused the statement ({_first_line(cause or error)})")


def _code(cause: BaseException | None) -> str:
    """PostgreSQL's SQLSTATE or SQLite's error name, empty where there is none."""
    code = getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorname", None)
    return code if isinstance(code, str) else ""


def _first_line(error: BaseException | None) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
