"""Which computer an identity is bound to: copies of it, computers that came back under a new one, approval."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.store import tables as t
from collector.store.hosts import Host, host, retire
from collector.tickets.text import NAME, line

QUIET_SECONDS = 900.0  # a copy tries again every two minutes at the latest: after this it has stopped


def foreign(known: Host, fingerprint: str) -> bool:
    """Whether the identity is bound to another computer than this; who cannot tell is nobody else."""
    bound = known.machine_fingerprint
    return bool(fingerprint and bound) and bound != line(fingerprint, NAME)


def mark_duplicate(conn: Connection, host_id: str, at: float) -> bool:
    """A copy of the identity was seen; True where it had not been for a while."""
    before = conn.scalar(sa.select(t.host.c.duplicate_at).where(t.host.c.id == host_id))
    conn.execute(sa.update(t.host).where(t.host.c.id == host_id).values(duplicate_at=at))
    return before is None or at - before > QUIET_SECONDS


def duplicates(conn: Connection, at: float) -> frozenset[str]:
    """Ids of the hosts whose identity two computers use now."""
    recent = t.host.c.duplicate_at > at - QUIET_SECONDS
    return frozenset(conn.scalars(sa.select(t.host.c.id).where(recent, t.host.c.retired_at.is_(None))))


def rebind(conn: Connection, host_id: str) -> bool:
    """Forget which computer the identity is bound to: the next one that connects with it is."""
    mine = sa.update(t.host).where(t.host.c.id == host_id, t.host.c.retired_at.is_(None))
    return conn.execute(mine.values(machine_fingerprint="", boot_id="", duplicate_at=None)).rowcount == 1


def approve(conn: Connection, host_id: str, at: float) -> bool:
    """Let a host stream that waits for it; False where it does not wait (any more)."""
    waits = (t.host.c.id == host_id, t.host.c.approved_at.is_(None), t.host.c.retired_at.is_(None))
    return conn.execute(sa.update(t.host).where(*waits).values(approved_at=at)).rowcount == 1


def is_same(conn: Connection, new_id: str, at: float) -> Host | None:
    """The new identity becomes the host it may be: name, labels, tickets, timeline; the old one is retired.

    The host as it is now; None where there is no such question (any more). Alerts keep their keys, because instance
    and labels are those of before.
    """
    pair = _pair(conn, new_id)
    if pair is None:
        return None
    new, old = pair
    # Retired first: its certificates end, and whatever stream it still has is fenced.
    retire(conn, old.id, at)
    conn.execute(sa.update(t.host).where(t.host.c.id == old.id).values(instance=f"{old.instance}~{old.id}"))
    conn.execute(
        sa.update(t.host)
        .where(t.host.c.id == new.id)
        .values(
            name=old.name,
            instance=old.instance,
            site=old.site,
            first_seen=old.first_seen,
            same_as=None,
            version=t.host.c.version + 1,
            **{"class": old.class_},
        )
    )
    conn.execute(sa.update(t.ticket).where(t.ticket.c.host_id == old.id).values(host_id=new.id))
    # The keys of programs' notes are unique in one host; both may have been told the same one.
    timeline = sa.update(t.host_event).where(t.host_event.c.host_id == old.id)
    conn.execute(timeline.values(host_id=new.id, request_key=None))
    others = sa.update(t.host).where(t.host.c.same_as == old.id)
    conn.execute(others.values(same_as=None))
    return host(conn, new.id, None)


def is_not_same(conn: Connection, new_id: str) -> bool:
    """They are two computers; nobody is asked again."""
    asked = sa.update(t.host).where(t.host.c.id == new_id, t.host.c.same_as.is_not(None))
    return conn.execute(asked.values(same_as=None)).rowcount == 1


def questions(conn: Connection, found: Sequence[Host]) -> dict[str, Host]:
    """For hosts that may be another again: that other, by the new one's id. Retired ones are no question."""
    pairs = {h.id: h.same_as for h in found if h.same_as is not None and h.retired_at is None}
    olds = {old: host(conn, old, None) for old in set(pairs.values())}
    return {new: old for new, old_id in pairs.items() if (old := olds[old_id]) is not None and old.retired_at is None}


def _pair(conn: Connection, new_id: str) -> tuple[Host, Host] | None:
    locked = sa.select(t.host.c.id, t.host.c.same_as).where(t.host.c.id == new_id).with_for_update()
    row = conn.execute(locked).one_or_none()
    new = host(conn, new_id, None)
    old = None if row is None or row.same_as is None else host(conn, row.same_as, None)
    if new is None or old is None or new.retired_at is not None or old.retired_at is not None:
        return None
    return (new, old) if new.company == old.company else None
