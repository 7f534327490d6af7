"""Join tokens: what lets a new agent enrol, once or a few times, for one company, site, class and name pattern."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.store import secret as secrets
from collector.store import tables as t
from collector.store.errors import StoreError, TokenRefused
from collector.store.hosts import Scope, company_by_slug, in_scope
from collector.tickets.text import NAME, line


@dataclass(frozen=True, slots=True)
class JoinToken:
    """A join token without its secret; `company` is a slug, `uses` how many hosts may join by it."""

    id: int
    company: str
    site: str
    class_: str
    pattern: str
    uses: int
    used: int
    created_at: float
    expires_at: float
    revoked_at: float | None
    approval: bool = False  # its hosts wait for a person's word


_TOKENS = sa.select(t.join_token, t.company.c.slug.label("company")).join(t.company)


def create_token(
    conn: Connection,
    *,
    company: str,
    site: str = "",
    class_: str = "workstation",
    pattern: str = "*",
    uses: int = 1,
    approval: bool = False,
    expires_at: float,
    at: float,
) -> tuple[int, str]:
    """(id, secret) of a new token; the secret is not kept. Raises StoreError for an unknown company or no uses."""
    owner = company_by_slug(conn, company)
    if owner is None:
        raise StoreError(f"there is no company {company!r}")
    if uses < 1:
        raise StoreError("a join token needs at least one use")
    value = secrets.make("czj")
    new = sa.insert(t.join_token).values(
        token_hash=secrets.digest(value),
        company_id=owner.id,
        site=line(site, NAME),
        pattern=line(pattern, NAME) or "*",
        uses=uses,
        used=0,
        approval=approval,
        created_at=at,
        expires_at=expires_at,
        **{"class": line(class_, NAME)},
    )
    return int(conn.scalar(new.returning(t.join_token.c.id)) or 0), value


def use_token(conn: Connection, secret: str, hostname: str, at: float) -> JoinToken:
    """Spend one use; raises TokenRefused. Two hosts racing for the last use: one gets it."""
    row = conn.execute(_TOKENS.where(t.join_token.c.token_hash == secrets.digest(secret))).one_or_none()
    if row is None:
        raise TokenRefused("unknown", "this join token is not known here")
    token = _token(row)
    _check(token, hostname, at)
    spent = conn.execute(
        sa.update(t.join_token)
        .where(t.join_token.c.id == token.id, t.join_token.c.used < t.join_token.c.uses)
        .where(t.join_token.c.revoked_at.is_(None))
        .values(used=t.join_token.c.used + 1)
    )
    if spent.rowcount != 1:
        raise TokenRefused("used", "this join token has been used up; make a new one")
    return token


def tokens(conn: Connection, scope: Scope = None) -> list[JoinToken]:
    """All join tokens, newest first."""
    return [_token(row) for row in conn.execute(_TOKENS.where(in_scope(scope)).order_by(t.join_token.c.id.desc()))]


def revoke_token(conn: Connection, token_id: int, at: float) -> bool:
    """No host joins by it any more; False where there is none or it is revoked already."""
    live = sa.and_(t.join_token.c.id == token_id, t.join_token.c.revoked_at.is_(None))
    return conn.execute(sa.update(t.join_token).where(live).values(revoked_at=at)).rowcount == 1


def _check(token: JoinToken, hostname: str, at: float) -> None:
    if token.revoked_at is not None:
        raise TokenRefused("revoked", "this join token was revoked")
    if at >= token.expires_at:
        raise TokenRefused("expired", "this join token has expired; make a new one")
    if token.used >= token.uses:
        raise TokenRefused("used", "this join token has been used up; make a new one")
    if not fnmatchcase(hostname.lower(), token.pattern.lower()):
        raise TokenRefused("name", f"this join token is only for hosts named {token.pattern}")


def _token(row: sa.Row[Any]) -> JoinToken:
    fields = {k: v for k, v in row._asdict().items() if k not in {"token_hash", "company_id"}}
    return JoinToken(class_=fields.pop("class"), **fields)
