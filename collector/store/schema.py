"""The schema's revision: bringing it up to date, and opening no database that has another one."""

from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection, Engine

from collector.store.engine import Store, connect
from collector.store.errors import SchemaError, translated

_LOCK = 0x637A7577  # one upgrade at a time


def open_store(url: str) -> Store:
    """Open `sqlite:///path` or `postgresql://…`; raises StoreError where it cannot be used, with what to do next."""
    engine = connect(url)
    try:
        check(engine)
    except BaseException as error:
        engine.dispose()
        if isinstance(error, sa.exc.SQLAlchemyError):
            raise translated(error) from error
        raise
    return Store(engine)


def upgrade(url: str, *, dry_run: bool = False, to: str = "head") -> list[str]:
    """Apply every missing revision up to `to` in one transaction, return their ids; with `dry_run` only say which."""
    engine = connect(url, create=not dry_run)
    try:
        with engine.execution_options(czuwak_write=not dry_run).begin() as conn:
            return _upgrade(conn, to, dry_run=dry_run)
    except sa.exc.SQLAlchemyError as error:
        raise translated(error) from error
    finally:
        engine.dispose()


def check(engine: Engine) -> None:
    """Raises SchemaError unless the database is at exactly the newest revision."""
    with engine.connect() as conn:
        current = _current(conn)
    script = _script()
    head = script.get_current_head()
    if current == head:
        return
    if current is None:
        raise SchemaError(f"the database is empty (this version needs schema {head}); run `czuwak db upgrade`")
    if not _known(script, current):
        raise SchemaError(_newer(current, head))
    raise SchemaError(f"the database has schema {current}, this version needs {head}; run `czuwak db upgrade`")


def _upgrade(conn: Connection, to: str, *, dry_run: bool) -> list[str]:
    script = _script()
    if conn.dialect.name == "postgresql" and not dry_run:
        conn.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    current = _current(conn)
    if current is not None and not _known(script, current):
        raise SchemaError(_newer(current, script.get_current_head()))
    missing = [r.revision for r in script.iterate_revisions(to, current or "base")][::-1]
    if missing and not dry_run:
        _run(conn, script, to)
    return missing


def _run(conn: Connection, script: ScriptDirectory, to: str) -> None:
    config = _config()
    config.attributes["connection"] = conn
    with EnvironmentContext(config, script, fn=_steps(script, to), destination_rev=to):
        script.run_env()


def _steps(script: ScriptDirectory, to: str) -> Callable[..., list[MigrationStep]]:
    def steps(revision: str, _context: MigrationContext) -> list[MigrationStep]:
        return list(script._upgrade_revs(to, revision))  # noqa: SLF001 - what alembic.command.upgrade calls

    return steps


def _current(conn: Connection) -> str | None:
    return MigrationContext.configure(conn).get_current_revision()


def _known(script: ScriptDirectory, revision: str) -> bool:
    return any(r.revision == revision for r in script.walk_revisions())


def _newer(current: str, head: str | None) -> str:
    return (
        f"the database has schema {current}, which this version (schema {head}) does not know: it was used by a newer "
        "Czuwak. Install that version again, or restore the backup made before `czuwak db upgrade`"
    )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


def _script() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())
