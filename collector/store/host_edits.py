"""What people write on a host: its name, site and class under a version, and notes on its timeline.

The engine's side of a changed identity is not here: the host's next stream is stamped with it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.store import tables as t
from collector.store.engine import plain
from collector.store.hosts import Host, HostEvent, host
from collector.tickets import text
from collector.tickets.errors import Invalid
from collector.tickets.ticket import Actor

CLASSES = ("server", "workstation", "laptop", "kiosk")
NOTE = "note"
CHANGED = "changed"
LONGEST_SITE = 100  # characters: as a label's value it is on every series of the host
MOST_NOTES = 1000  # shown of one host

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")  # as at enrolment


@dataclass(frozen=True, slots=True)
class HostEdit:
    """New values of what a person may change; None leaves one as it is. Raises Invalid."""

    name: str | None = None
    site: str | None = None
    class_: str | None = None

    def __post_init__(self) -> None:
        if self.name is not None and not _NAME.fullmatch(self.name):
            raise Invalid("name", "must be 1 to 200 letters, digits and . _ -, as in a host name")
        if self.site is not None:
            site = text.line(self.site)
            if len(site) > LONGEST_SITE:
                raise Invalid("site", f"has {len(site)} characters, at most {LONGEST_SITE} are kept")
            object.__setattr__(self, "site", site)
        if self.class_ is not None and self.class_ not in CLASSES:
            raise Invalid("class", f"must be one of {', '.join(CLASSES)}")

    def over(self, host: Host) -> Mapping[str, tuple[str, str]]:
        """Field -> (as it is, as it shall be), of those that differ."""
        pairs = {
            "name": (host.name, self.name),
            "site": (host.site, self.site),
            "class": (host.class_, self.class_),
        }
        return {name: (old, new) for name, (old, new) in pairs.items() if new is not None and new != old}


def edit_host(conn: Connection, before: Host, edit: HostEdit, by: Actor, at: float) -> Host | None:
    """The host with the edit, told on its timeline; None, and nothing written, where it is no longer as `before`.

    An edit that changes nothing leaves version and timeline as they are.
    """
    changes = edit.over(before)
    if changes:
        c = t.host.c
        done = conn.execute(
            sa.update(t.host)
            .where(c.id == before.id, c.version == before.version, c.retired_at.is_(None))
            .values(version=c.version + 1, **{name: new for name, (_, new) in changes.items()})
        )
        if done.rowcount != 1:
            return None
        told = {name: {"from": old, "to": new} for name, (old, new) in changes.items()}
        _tell(conn, before.id, at, CHANGED, {**_who(by), "changes": told})
    return host(conn, before.id, None)


def add_note(conn: Connection, host_id: str, words: str, by: Actor, at: float, *, key: str | None = None) -> HostEvent:
    """A person's words on a host's timeline; the same actor's same key again gives the first note.

    Raises Invalid for no or too many words. A race for one key raises StoreError(again).
    """
    said = text.required("text", words, text.COMMENT)
    who = f"{by.kind}:{by.id if by.id is not None else by.name}:{key}" if key else None
    if who is not None:
        first = conn.execute(
            sa.select(t.host_event).where(t.host_event.c.host_id == host_id, t.host_event.c.request_key == who)
        ).one_or_none()
        if first is not None:
            return HostEvent(first.id, first.host_id, first.at, first.kind, first.detail)
    detail = {**_who(by), "text": said}
    made = _tell(conn, host_id, at, NOTE, detail, who)
    return HostEvent(made, host_id, at, NOTE, plain(detail))


def notes(conn: Connection, host_id: str) -> list[HostEvent]:
    """What people wrote of a host, oldest first; of very many the newest."""
    c = t.host_event.c
    newest = sa.select(t.host_event).where(c.host_id == host_id, c.kind == NOTE)
    rows = conn.execute(newest.order_by(c.at.desc(), c.id.desc()).limit(MOST_NOTES)).all()
    return [HostEvent(r.id, r.host_id, r.at, r.kind, r.detail) for r in reversed(rows)]


def _who(by: Actor) -> dict[str, object]:
    return {"by": by.name, "by_id": by.id, "source": by.kind}


def _tell(
    conn: Connection, host_id: str, at: float, kind: str, detail: Mapping[str, object], key: str | None = None
) -> int:
    new = sa.insert(t.host_event).values(host_id=host_id, at=at, kind=kind, detail=plain(dict(detail)), request_key=key)
    return int(conn.scalar(new.returning(t.host_event.c.id)) or 0)
