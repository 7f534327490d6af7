"""INSERT … ON CONFLICT, which both databases have and SQLAlchemy spells once per dialect."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection


def insert(conn: Connection, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT of this connection's dialect, with `on_conflict_do_nothing` and `on_conflict_do_update`."""
    return insert_for(conn.dialect.name, table)


def insert_for(dialect: str, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    """As `insert`, for a statement that is built once a dialect."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
