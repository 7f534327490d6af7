"""Agents' certificates by their serial: which may still speak, which was renewed by which, which is in use."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.store import tables as t


@dataclass(frozen=True, slots=True)
class Known:
    """One certificate as we issued it. `ended`: it or its host was revoked, or its host retired."""

    serial: str
    host_id: str
    pem: str
    not_after: float
    superseded: bool
    ended: bool
    machine_fingerprint: str


_KNOWN = sa.select(
    t.certificate,
    t.host.c.revoked_at.label("host_revoked"),
    t.host.c.retired_at,
    t.host.c.machine_fingerprint,
).join(t.host)

# Fixed, for whoever arrives waits for them: to build a statement takes longer than to run it.
_SERIALS: sa.BindParameter[str] = sa.bindparam("serials", expanding=True)
_ALL_KNOWN = _KNOWN.where(t.certificate.c.serial.in_(_SERIALS))
_USED = (
    sa.update(t.certificate)
    .where(t.certificate.c.serial.in_(_SERIALS), t.certificate.c.used_at.is_(None))
    .values(used_at=sa.bindparam("at"))
    .returning(t.certificate.c.serial)
)
_NEWER = t.certificate.alias()
_REPLACED = (
    sa.update(t.certificate)
    .where(
        t.certificate.c.superseded_at.is_(None),
        sa.exists().where(
            _NEWER.c.serial.in_(_SERIALS),
            _NEWER.c.host_id == t.certificate.c.host_id,
            _NEWER.c.serial != t.certificate.c.serial,
            _NEWER.c.issued_at >= t.certificate.c.issued_at,
        ),
    )
    .values(superseded_at=sa.bindparam("at"))
)


def known(conn: Connection, serial: str, *, lock: bool = False) -> Known | None:
    """The certificate, None where we never issued it. `lock` keeps its host's other renewals out until the end."""
    query = _KNOWN.where(t.certificate.c.serial == serial)
    row = conn.execute(query.with_for_update(of=t.host) if lock else query).one_or_none()
    return None if row is None else _known(row)


def all_known(conn: Connection, serials: Iterable[str]) -> dict[str, Known]:
    """Some certificates by serial; those we never issued are missing."""
    rows = conn.execute(_ALL_KNOWN, {"serials": sorted(serials)})
    return {row.serial: _known(row) for row in rows}


def of_key(conn: Connection, host_id: str, key_hash: str) -> Known | None:
    """The host's newest certificate for a key: what a repeated request gets again."""
    query = (
        sa.select(t.certificate.c.serial)
        .where(t.certificate.c.host_id == host_id, t.certificate.c.key_hash == key_hash)
        .order_by(t.certificate.c.issued_at.desc())
        .limit(1)
    )
    serial = conn.scalar(query)
    return None if serial is None else known(conn, serial)


def use(conn: Connection, serial: str, at: float) -> bool:
    """A stream was opened with it: from now on the host's older ones are refused. True the first time."""
    return bool(use_all(conn, (serial,), at))


def use_all(conn: Connection, serials: Iterable[str], at: float) -> int:
    """The same for certificates of several hosts, one each; how many were used the first time.

    Older is what was issued before it; of two renewals asked for at once only one was ever kept by the agent.
    """
    first = list(conn.scalars(_USED, {"serials": sorted(serials), "at": at}))
    if first:
        conn.execute(_REPLACED, {"serials": sorted(first), "at": at})
    return len(first)


def _known(row: sa.Row[Any]) -> Known:
    ended = any(at is not None for at in (row.revoked_at, row.host_revoked, row.retired_at))
    superseded = row.superseded_at is not None
    return Known(row.serial, row.host_id, row.pem, row.not_after, superseded, ended, row.machine_fingerprint)
