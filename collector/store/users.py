"""Accounts, sessions in the database, and the throttle of logins. Passwords come in hashed."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.store import secret as secrets
from collector.store import tables as t
from collector.store.engine import plain
from collector.store.hosts import Scope
from collector.store.upsert import insert
from collector.tickets.errors import Invalid
from collector.tickets.text import NAME, line, required

FREE_FAILURES = 5  # wrong passwords for one account from one address before the first pause
FREE_FAILURES_ACCOUNT = 30  # for one account from anywhere
FIRST_PAUSE = 30.0
LONGEST_PAUSE = 900.0
FORGET_AFTER = 86_400.0


class Role(StrEnum):
    """What an account may do."""

    TECHNICIAN = "technician"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class User:
    """An account; `companies` is the scope of everything it sees, `preferences` its language, theme, keys and such."""

    id: int
    login: str
    name: str
    role: Role
    companies: Scope
    preferences: Mapping[str, object]
    password_hash: str
    created_at: float
    disabled_at: float | None

    @property
    def language(self) -> str:
        """The chosen language, empty where the browser decides."""
        return str(self.preferences.get("language", ""))


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who is logged in."""

    user: User
    created_at: float
    expires_at: float


def add_user(
    conn: Connection,
    login: str,
    name: str,
    password_hash: str,
    role: str = Role.TECHNICIAN,
    *,
    at: float,
    language: str = "",
    companies: Scope = None,
) -> User:
    """A new account; raises Invalid where the login is taken or empty or the role is not known."""
    key = required("login", login, NAME).casefold()
    if role not in set(Role):
        raise Invalid("role", f"there is no role {role!r}; there are {', '.join(Role)}")
    new = insert(conn, t.user).values(
        login=key,
        name=line(name, NAME) or key,
        password_hash=password_hash,
        role=str(role),
        companies=None if companies is None else sorted(companies),
        preferences={"language": language} if language else {},
        created_at=at,
    )
    if conn.scalar(new.on_conflict_do_nothing(index_elements=["login"]).returning(t.user.c.id)) is None:
        raise Invalid("login", f"{key} is taken")
    made = user_by_login(conn, key)
    assert made is not None  # noqa: S101 - it was written by this transaction
    return made


def user_by_login(conn: Connection, login: str) -> User | None:
    """An account by its login, whatever the case; disabled ones too."""
    row = conn.execute(sa.select(t.user).where(t.user.c.login == line(login, NAME).casefold())).one_or_none()
    return None if row is None else _user(row)


def user(conn: Connection, user_id: int) -> User | None:
    """An account by its id."""
    if not 0 < user_id < 2**63:
        return None
    row = conn.execute(sa.select(t.user).where(t.user.c.id == user_id)).one_or_none()
    return None if row is None else _user(row)


def users(conn: Connection, *, disabled: bool = False) -> list[User]:
    """Accounts by name; disabled ones only if asked for."""
    query = sa.select(t.user).order_by(t.user.c.name, t.user.c.id)
    return [_user(row) for row in conn.execute(query if disabled else query.where(t.user.c.disabled_at.is_(None)))]


def set_password(conn: Connection, user_id: int, password_hash: str) -> bool:
    """A new password ends every session of the account; False where there is no such account."""
    conn.execute(sa.delete(t.session).where(t.session.c.user_id == user_id))
    return (
        conn.execute(sa.update(t.user).where(t.user.c.id == user_id).values(password_hash=password_hash)).rowcount == 1
    )


def disable_user(conn: Connection, user_id: int, at: float) -> bool:
    """Nobody logs in by this account any more, and whoever is in is out."""
    conn.execute(sa.delete(t.session).where(t.session.c.user_id == user_id))
    live = sa.and_(t.user.c.id == user_id, t.user.c.disabled_at.is_(None))
    return conn.execute(sa.update(t.user).where(live).values(disabled_at=at)).rowcount == 1


def set_preferences(conn: Connection, user_id: int, changes: Mapping[str, object]) -> None:
    """Set some preferences, keep the others; raises Invalid where they grow over 4 kB."""
    row = conn.execute(sa.select(t.user.c.preferences).where(t.user.c.id == user_id).with_for_update()).one_or_none()
    if row is None:
        return
    merged = plain({**row.preferences, **changes})
    if len(str(merged)) > 4096:
        raise Invalid("preferences", "more than 4 kB")
    conn.execute(sa.update(t.user).where(t.user.c.id == user_id).values(preferences=merged))


def new_session(conn: Connection, user_id: int, at: float, ttl: float) -> str:
    """The secret of a new session, for the cookie; ended sessions are swept on the way."""
    conn.execute(sa.delete(t.session).where(t.session.c.expires_at <= at))
    value = secrets.make("czs")
    row = {"token_hash": secrets.digest(value), "user_id": user_id, "created_at": at, "expires_at": at + ttl}
    conn.execute(sa.insert(t.session).values(row))
    return value


def session(conn: Connection, token: str, at: float) -> Session | None:
    """Who is logged in by this secret; None where it is unknown or over or the account is disabled."""
    query = (
        sa.select(t.user, t.session.c.created_at.label("began"), t.session.c.expires_at)
        .join(t.session, t.session.c.user_id == t.user.c.id)
        .where(t.session.c.token_hash == secrets.digest(token), t.session.c.expires_at > at)
        .where(t.user.c.disabled_at.is_(None))
    )
    row = conn.execute(query).one_or_none()
    return None if row is None else Session(_user(row), row.began, row.expires_at)


def rotate_session(conn: Connection, token: str, at: float, ttl: float) -> str | None:
    """A new secret in place of the old one, which is worth nothing from now on; None where it was not valid."""
    live = session(conn, token, at)
    if live is None or not end_session(conn, token):  # somebody else was a moment faster with the same secret
        return None
    return new_session(conn, live.user.id, at, ttl)


def extend_session(conn: Connection, token: str, expires_at: float) -> None:
    """Let a session last longer; never shorter."""
    live = sa.and_(t.session.c.token_hash == secrets.digest(token), t.session.c.expires_at < expires_at)
    conn.execute(sa.update(t.session).where(live).values(expires_at=expires_at))


def end_session(conn: Connection, token: str) -> bool:
    """Log out; False where there was no such session, or another transaction just ended it."""
    return conn.execute(sa.delete(t.session).where(t.session.c.token_hash == secrets.digest(token))).rowcount == 1


def record_failure(conn: Connection, login: str, address: str, at: float) -> None:
    """One wrong password. What is a day old is forgotten on the way."""
    conn.execute(sa.delete(t.login_failure).where(t.login_failure.c.last_at < at - FORGET_AFTER))
    rows = [{"key_hash": k, "failures": 1, "last_at": at} for k in sorted(_throttle_keys(login, address))]
    new = insert(conn, t.login_failure)
    more = {"failures": t.login_failure.c.failures + 1, "last_at": new.excluded.last_at}
    conn.execute(new.on_conflict_do_update(index_elements=["key_hash"], set_=more), rows)


def locked_until(conn: Connection, login: str, address: str, at: float) -> float | None:
    """Until when no password is tried for this account from this address; None where one may be tried."""
    keys = _throttle_keys(login, address)
    query = sa.select(t.login_failure).where(t.login_failure.c.key_hash.in_(list(keys)))
    ends = [row.last_at + _pause(row.failures - keys[row.key_hash]) for row in conn.execute(query)]
    return max((end for end in ends if end > at), default=None)


def clear_failures(conn: Connection, login: str, address: str) -> None:
    """The right password was given."""
    conn.execute(sa.delete(t.login_failure).where(t.login_failure.c.key_hash.in_(list(_throttle_keys(login, address)))))


def _throttle_keys(login: str, address: str) -> dict[str, int]:
    """Hashed keys, so that what people type never lands in the database, and the free failures of each."""
    account = line(login, NAME).casefold()
    return {_hashed(account, address): FREE_FAILURES, _hashed(account, "*"): FREE_FAILURES_ACCOUNT}


def _hashed(account: str, address: str) -> str:
    return hashlib.sha256(f"{len(account)}:{account}{address}".encode("utf-8", "replace")).hexdigest()


def _pause(over: int) -> float:
    return 0.0 if over < 0 else min(FIRST_PAUSE * 2.0 ** min(over, 10), LONGEST_PAUSE)


def _user(row: sa.Row[Any]) -> User:
    companies = None if row.companies is None else frozenset(row.companies)
    role, hashed = Role(row.role), row.password_hash
    return User(row.id, row.login, row.name, role, companies, row.preferences, hashed, row.created_at, row.disabled_at)
