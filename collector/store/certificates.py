"""Agents' certificates by their serial: which may still speak, which was renewed by which, which is in use."""

from dataclasses import dataclass

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


def known(conn: Connection, serial: str, *, lock: bool = False) -> Known | None:
    """The certificate, None where we never issued it. `lock` keeps its host's other renewals out until the end."""
    query = (
        sa.select(
            t.certificate,
            t.host.c.revoked_at.label("host_revoked"),
            t.host.c.retired_at,
            t.host.c.machine_fingerprint,
        )
        .join(t.host)
        .where(t.certificate.c.serial == serial)
    )
    row = conn.execute(query.with_for_update(of=t.host) if lock else query).one_or_none()
    if row is None:
        return None
    ended = any(at is not None for at in (row.revoked_at, row.host_revoked, row.retired_at))
    superseded = row.superseded_at is not None
    return Known(row.serial, row.host_id, row.pem, row.not_after, superseded, ended, row.machine_fingerprint)


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
    """A stream was opened with it: from now on the host's older ones are refused. True the first time.

    Older is what was issued before it; of two renewals asked for at once only one was ever kept by the agent.
    """
    first = sa.and_(t.certificate.c.serial == serial, t.certificate.c.used_at.is_(None))
    row = conn.execute(
        sa.update(t.certificate)
        .where(first)
        .values(used_at=at)
        .returning(t.certificate.c.host_id, t.certificate.c.issued_at)
    ).one_or_none()
    if row is None:
        return False
    older = sa.and_(
        t.certificate.c.host_id == row.host_id,
        t.certificate.c.serial != serial,
        t.certificate.c.issued_at <= row.issued_at,
        t.certificate.c.superseded_at.is_(None),
    )
    conn.execute(sa.update(t.certificate).where(older).values(superseded_at=at))
    return True
