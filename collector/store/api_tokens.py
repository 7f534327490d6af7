"""Bearer tokens of programs, with scopes; hashed at rest."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.store import secret as secrets
from collector.store import tables as t
from collector.store.errors import StoreError
from collector.store.hosts import Scope
from collector.tickets.text import NAME, line

SCOPES = frozenset({"tickets:read", "tickets:write", "hosts:read", "hosts:write"})
_USED_EVERY = 60.0  # seconds between two notes of use: reading stays reading


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A token without its secret; `companies` restricts what it sees."""

    id: int
    name: str
    scopes: frozenset[str]
    companies: Scope
    user_id: int | None
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    last_used_at: float | None


def create(
    conn: Connection,
    name: str,
    scopes: Iterable[str],
    *,
    at: float,
    companies: Scope = None,
    user_id: int | None = None,
    expires_at: float | None = None,
) -> tuple[int, str]:
    """(id, secret) of a new token; the secret is not kept. Raises StoreError for an unknown scope."""
    wanted = frozenset(scopes)
    if not wanted or not wanted <= SCOPES:
        raise StoreError(f"unknown scope; there are {', '.join(sorted(SCOPES))}")
    value = secrets.make("czt")
    new = sa.insert(t.api_token).values(
        name=line(name, NAME),
        token_hash=secrets.digest(value),
        scopes=sorted(wanted),
        companies=None if companies is None else sorted(companies),
        user_id=user_id,
        created_at=at,
        expires_at=expires_at,
    )
    return int(conn.scalar(new.returning(t.api_token.c.id)) or 0), value


def verify(conn: Connection, secret: str, at: float) -> ApiToken | None:
    """The token of a secret; None where it is unknown, revoked or expired."""
    row = conn.execute(sa.select(t.api_token).where(t.api_token.c.token_hash == secrets.digest(secret))).one_or_none()
    if row is None or row.revoked_at is not None or (row.expires_at is not None and at >= row.expires_at):
        return None
    return _token(row)


def note_use(conn: Connection, token_id: int, at: float) -> None:
    """Remember when a token was used last, at most once a minute."""
    stale = sa.or_(t.api_token.c.last_used_at.is_(None), t.api_token.c.last_used_at < at - _USED_EVERY)
    conn.execute(sa.update(t.api_token).where(t.api_token.c.id == token_id, stale).values(last_used_at=at))


def api_tokens(conn: Connection) -> list[ApiToken]:
    """Every token, newest first."""
    return [_token(row) for row in conn.execute(sa.select(t.api_token).order_by(t.api_token.c.id.desc()))]


def revoke(conn: Connection, token_id: int, at: float) -> bool:
    """Refuse a token from now on; False where there is none or it is revoked already."""
    live = sa.and_(t.api_token.c.id == token_id, t.api_token.c.revoked_at.is_(None))
    return conn.execute(sa.update(t.api_token).where(live).values(revoked_at=at)).rowcount == 1


def _token(row: sa.Row[Any]) -> ApiToken:
    fields = {k: v for k, v in row._asdict().items() if k not in {"token_hash", "scopes", "companies"}}
    companies = None if row.companies is None else frozenset(row.companies)
    return ApiToken(scopes=frozenset(row.scopes), companies=companies, **fields)
