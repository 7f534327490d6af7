"""What an admin set for the whole installation, as JSON by name."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.store import tables as t
from collector.store.engine import plain
from collector.store.upsert import insert
from collector.tickets.errors import Invalid
from collector.tickets.priority import DEFAULT_MATRIX, Matrix, matrix_from, matrix_plain

MATRIX = "priority_matrix"


def get(conn: Connection, name: str, default: object = None) -> object:
    """The value, `default` where it was never set."""
    row = conn.execute(sa.select(t.setting.c.value).where(t.setting.c.name == name)).one_or_none()
    return default if row is None else row.value


def put(conn: Connection, name: str, value: object, at: float) -> None:
    """Set a value; None is kept as an empty object."""
    new = insert(conn, t.setting).values(name=name, value=plain({} if value is None else value), updated_at=at)
    changed = {"value": new.excluded.value, "updated_at": new.excluded.updated_at}
    conn.execute(new.on_conflict_do_update(index_elements=["name"], set_=changed))


def matrix(conn: Connection, default: Matrix = DEFAULT_MATRIX) -> Matrix:
    """The priority matrix; the default one where none was set."""
    stored = get(conn, MATRIX)
    return matrix_from({str(k): str(v) for k, v in stored.items()}) if isinstance(stored, dict) else default


def put_matrix(conn: Connection, value: Matrix, at: float) -> None:
    """Set the priority matrix; raises Invalid for one with a cell missing."""
    if value.keys() != DEFAULT_MATRIX.keys():
        raise Invalid("priority matrix", "it needs all nine cells")
    put(conn, MATRIX, matrix_plain(value), at)
