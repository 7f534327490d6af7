"""Enrolled hosts and their certificates: a lost reply finds its host again, a revoked serial is known."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.store import tables as t
from collector.store.errors import StoreError, TokenRefused
from collector.store.hosts import Host, company_by_slug, host
from collector.tickets.text import NAME, line


@dataclass(frozen=True, slots=True)
class Enrollment:
    """What an earlier request with this id got; `serial` and `certificate_pem` are of the host's newest certificate."""

    id: str
    host: Host
    serial: str
    certificate_pem: str
    not_after: float


def find_enrollment(conn: Connection, enrollment_id: str, key_hash: str) -> Enrollment | None:
    """An earlier enrolment of the same id and key; None where there is none. Raises TokenRefused for another key."""
    query = (
        sa.select(t.enrollment.c.key_hash, t.certificate)
        .join(t.certificate, t.certificate.c.host_id == t.enrollment.c.host_id)
        .where(t.enrollment.c.id == enrollment_id)
        .order_by(t.certificate.c.issued_at.desc())
        .limit(1)
    )
    row = conn.execute(query).one_or_none()
    if row is None:
        return None
    if row.key_hash != key_hash:
        raise TokenRefused("key", "this enrolment was made with another key")
    owner = host(conn, row.host_id, None)
    return None if owner is None else Enrollment(enrollment_id, owner, row.serial, row.pem, row.not_after)


def add_host(
    conn: Connection,
    *,
    host_id: str,
    company: str,
    site: str,
    class_: str,
    name: str,
    enrollment_id: str,
    key_hash: str,
    serial: str,
    certificate_pem: str,
    not_after: float,
    at: float,
    machine_fingerprint: str = "",
    approved: bool = True,
) -> Host:
    """A newly enrolled host with its certificate. `instance` is its name, `name.company` where that is taken.

    `same_as` is set to a host of the company that is the same computer by its hardware, for a person to decide.

    Raises StoreError for an unknown company; `again` where another enrolment took the same name meanwhile.
    """
    owner = company_by_slug(conn, company)
    if owner is None:
        raise StoreError(f"there is no company {company!r}")
    conn.execute(
        sa.insert(t.host).values(
            id=host_id,
            company_id=owner.id,
            site=line(site, NAME),
            name=line(name, NAME),
            instance=_free_instance(conn, line(name, NAME), company),
            presence="never_seen",
            presence_reason="",
            presence_since=at,
            session_gen=0,
            agent_version="",
            facts={},
            first_seen=at,
            approved_at=at if approved else None,
            machine_fingerprint=line(machine_fingerprint, NAME),
            same_as=_same_machine(conn, owner.id, line(machine_fingerprint, NAME)),
            **{"class": line(class_, NAME)},
        )
    )
    conn.execute(sa.insert(t.enrollment).values(id=enrollment_id, key_hash=key_hash, host_id=host_id, at=at))
    add_certificate(conn, host_id, serial=serial, pem=certificate_pem, not_after=not_after, at=at, key_hash=key_hash)
    made = host(conn, host_id, None)
    assert made is not None  # noqa: S101 - it was written by this transaction
    return made


def add_certificate(
    conn: Connection, host_id: str, *, serial: str, pem: str, not_after: float, at: float, key_hash: str = ""
) -> None:
    """A host's first or renewed certificate; the older ones stay valid until it is used."""
    conn.execute(
        sa.insert(t.certificate).values(
            serial=serial, host_id=host_id, pem=pem, issued_at=at, not_after=not_after, key_hash=key_hash
        )
    )


def revoke_certificate(conn: Connection, serial: str, at: float) -> bool:
    """Refuse one certificate; False where there is none or it is revoked already."""
    live = sa.and_(t.certificate.c.serial == serial, t.certificate.c.revoked_at.is_(None))
    return conn.execute(sa.update(t.certificate).where(live).values(revoked_at=at)).rowcount == 1


def revoked_serials(conn: Connection) -> set[str]:
    """Serials that every stream's check refuses: revoked ones, and all of a revoked or retired host."""
    ended = sa.or_(t.certificate.c.revoked_at.is_not(None), t.host.c.revoked_at.is_not(None))
    return set(conn.scalars(sa.select(t.certificate.c.serial).join(t.host).where(ended)))


def _same_machine(conn: Connection, company_id: int, fingerprint: str) -> str | None:
    """The host last seen with this hardware; a machine that does not know its own says nothing."""
    if not fingerprint:
        return None
    same = (t.host.c.company_id == company_id, t.host.c.machine_fingerprint == fingerprint)
    newest = (t.host.c.last_seen.desc().nulls_last(), t.host.c.first_seen.desc())
    return conn.scalar(sa.select(t.host.c.id).where(*same, t.host.c.retired_at.is_(None)).order_by(*newest).limit(1))


def _free_instance(conn: Connection, name: str, company: str) -> str:
    wanted = [name, f"{name}.{company}", *(f"{name}-{n}.{company}" for n in range(2, 100))]
    taken = set(conn.scalars(sa.select(t.host.c.instance).where(t.host.c.instance.in_(wanted))))
    free = next((i for i in wanted if i not in taken), None)
    if free is None:
        raise StoreError(f"there are too many hosts named {name} in {company}")
    return free
