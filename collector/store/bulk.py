"""Many rows, each with values of its own, in one statement where every statement is a way to the server.

On PostgreSQL many rows travel as one array a column, as a thousand rows of parameters are more than the driver reads
quickly. It would make a pipeline of many statements, and of a process that froze within one the server waits for the
rest, with all its locks, whatever the timeouts say.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.sql.dml import ReturningInsert

from collector.store.engine import to_json
from collector.store.upsert import insert_for

FEW = 8  # rows that are cheaper to send as parameters
Columns = Mapping[str, object]
Insert = postgresql.Insert | sqlite.Insert
Given = Mapping[str, sa.ColumnElement[Any]]


def insert_rows(
    conn: Connection,
    table: sa.Table,
    rows: Sequence[Columns],
    ending: Callable[[Insert], ReturningInsert[Any]],
) -> Sequence[sa.Row[Any]]:
    """Insert rows of the same columns in their order; what `ending` lets them return, in any order.

    `ending` says what happens on a conflict and what comes back; it is a function of a module, its statement is kept.
    """
    if not rows:
        return ()
    many = _many(conn, rows, FEW)
    statement = _inserting(conn.dialect.name, table, tuple(rows[0]), ending, many=many)
    sent = _arrays({name: table.c[name] for name in rows[0]}, rows) if many else rows
    return conn.execute(statement, sent).all()  # to the end: SQLite keeps its lock while there is more to read


def as_given(new: Given) -> Given:
    """Every column gets its new value."""
    return new


def update_rows(
    conn: Connection,
    table: sa.Table,
    rows: Sequence[tuple[Columns, Columns]],
    setting: Callable[[Given], Given] = as_given,
) -> int:
    """Write to each row (as it was, its new values) where it is still as it was; how many were.

    All name the same columns, and no two the same row. `setting` says what the columns become of their new values; it
    is a function of a module, its statement is kept.
    """
    if not rows:
        return 0
    was, new = tuple(rows[0][0]), tuple(rows[0][1])
    many = _many(conn, rows, 1)
    named = [_named(*row) for row in rows]
    sent = _arrays(_columns(table, was, new), named) if many else named
    return conn.execute(_updating(table, was, new, setting, many=many), sent).rowcount


def _many(conn: Connection, rows: Sequence[object], few: int) -> bool:
    return conn.dialect.name == "postgresql" and len(rows) > few


@cache
def _inserting(
    dialect: str,
    table: sa.Table,
    names: tuple[str, ...],
    ending: Callable[[Insert], ReturningInsert[Any]],
    *,
    many: bool,
) -> ReturningInsert[Any]:
    if not many:
        return ending(insert_for(dialect, table))
    given = _given({name: table.c[name] for name in names}).c
    values = (sa.cast(given[name], table.c[name].type) for name in names)
    return ending(postgresql.insert(table).from_select(names, sa.select(*values).order_by(given[_PLACE])))


@cache
def _updating(
    table: sa.Table, was: tuple[str, ...], new: tuple[str, ...], setting: Callable[[Given], Given], *, many: bool
) -> sa.Update:
    columns = _columns(table, was, new)
    if not many:
        binds = {name: sa.bindparam(name, type_=column.type) for name, column in columns.items()}
        where = [table.c[name] == binds[f"was_{name}"] for name in was]
        return sa.update(table).where(*where).values(setting({name: binds[f"new_{name}"] for name in new}))
    given = _given(columns).c
    same = [table.c[name] == given[f"was_{name}"] for name in was]
    values = {name: sa.cast(given[f"new_{name}"], table.c[name].type) for name in new}
    return sa.update(table).where(*same).values(setting(values))


def _columns(table: sa.Table, was: Sequence[str], new: Sequence[str]) -> dict[str, sa.Column[Any]]:
    return {f"was_{name}": table.c[name] for name in was} | {f"new_{name}": table.c[name] for name in new}


def _named(was: Columns, new: Columns) -> dict[str, object]:
    return {f"was_{name}": value for name, value in was.items()} | {f"new_{n}": value for n, value in new.items()}


_PLACE = "place"  # of a row among those given


def _given(columns: Mapping[str, sa.Column[Any]]) -> sa.TableValuedAlias:
    """The rows that the arrays make, as a table."""
    arrays = [sa.bindparam(name, type_=postgresql.ARRAY(_sent_as(c), dimensions=1)) for name, c in columns.items()]
    fields = [sa.column(name, _sent_as(column)) for name, column in columns.items()]
    return sa.func.unnest(*arrays).table_valued(*fields, with_ordinality=_PLACE, name="given").render_derived()


def _arrays(columns: Mapping[str, sa.Column[Any]], rows: Sequence[Columns]) -> dict[str, list[object]]:
    return {name: [_sent(column, row[name]) for row in rows] for name, column in columns.items()}


def _sent_as(column: sa.Column[Any]) -> sa.types.TypeEngine[Any]:
    return sa.Text() if isinstance(column.type, sa.JSON) else column.type


def _sent(column: sa.Column[Any], value: object) -> object:
    return to_json(value) if isinstance(column.type, sa.JSON) and value is not None else value
