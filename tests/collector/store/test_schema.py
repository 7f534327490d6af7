import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from collector.store import SchemaError, collectors, open_store, upgrade
from collector.store.engine import connect
from collector.store.tables import metadata


def test_the_migrations_make_exactly_the_tables_of_the_code(
    empty_url: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    upgrade(empty_url)
    engine = connect(empty_url)
    with engine.connect() as conn:
        assert compare_metadata(MigrationContext.configure(conn, opts={"compare_type": True}), metadata) == []
    migrated = _shape(engine)
    if engine.dialect.name == "sqlite":
        other = connect(f"sqlite:///{tmp_path}/metadata.db", create=True)
    else:
        other = connect(request.getfixturevalue("postgres").create())
    metadata.create_all(other)
    assert _shape(other) == migrated
    other.dispose()
    engine.dispose()


def _shape(engine: sa.Engine) -> list[tuple[str, ...]]:
    """Every index and constraint as the database writes it down, which shows partial indexes too."""
    if engine.dialect.name == "sqlite":
        query = "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE '%alembic%' ORDER BY name, sql"
    else:
        query = (
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND indexname NOT LIKE '%alembic%' "
            "UNION ALL SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype IN ('f', 'u', 'c') "
            "UNION ALL SELECT sequencename, data_type::text FROM pg_sequences "
            "UNION ALL SELECT table_name || '.' || column_name, data_type || is_nullable "
            "FROM information_schema.columns "
            "WHERE table_schema = 'public' AND table_name NOT LIKE '%alembic%' ORDER BY 1, 2"
        )
    with engine.connect() as conn:
        return [(str(name), *_parts(str(rest))) for name, rest in conn.execute(sa.text(query))]


def _parts(sql: str) -> list[str]:
    """Columns and constraints in no order: how they are sorted in CREATE TABLE means nothing."""
    return sorted(part.strip(" ()") for part in " ".join(sql.split()).split(", "))


def test_an_upgrade_says_what_it_did_and_then_has_nothing_to_do(empty_url: str) -> None:
    connect(empty_url, create=True).dispose()
    assert upgrade(empty_url, dry_run=True) == ["0001", "0002", "0003"]
    assert upgrade(empty_url, dry_run=True) == ["0001", "0002", "0003"]
    assert upgrade(empty_url) == ["0001", "0002", "0003"]
    assert upgrade(empty_url) == []
    open_store(empty_url).close()


def test_a_missing_file_is_made_by_an_upgrade_alone_and_only_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "czuwak.db"
    for use in (open_store, lambda url: upgrade(url, dry_run=True)):
        with pytest.raises(SchemaError, match="czuwak db upgrade"):
            use(f"sqlite:///{path}")
    assert not path.exists()
    upgrade(f"sqlite:///{path}")
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_empty_database_is_refused_with_the_command_that_helps(empty_url: str) -> None:
    connect(empty_url, create=True).dispose()
    with pytest.raises(SchemaError, match="czuwak db upgrade"):
        open_store(empty_url)


def test_a_database_of_a_newer_version_is_refused(database_url: str) -> None:
    engine = connect(database_url)
    with engine.execution_options(czuwak_write=True).begin() as conn:
        conn.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(SchemaError, match="newer Czuwak"):
        open_store(database_url)
    with pytest.raises(SchemaError, match="newer Czuwak"):
        upgrade(database_url)


def test_an_upgrade_that_fails_leaves_nothing_behind(empty_url: str) -> None:
    engine = connect(empty_url, create=True)
    with engine.execution_options(czuwak_write=True).begin() as conn:
        conn.execute(sa.text("CREATE TABLE ticket (mine integer)"))
    with pytest.raises(Exception, match=r"refused|cannot be used|already exists"):
        upgrade(empty_url)
    assert sa.inspect(engine).get_table_names() == ["ticket"]
    engine.dispose()


def test_a_file_that_is_no_database_is_named_so(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"not a database, " * 100)
    with pytest.raises(Exception, match="not a SQLite database"):
        upgrade(f"sqlite:///{tmp_path}/x.db")


def test_one_open_ticket_per_key_is_a_rule_of_the_database(sqlite_template: Path) -> None:
    with sqlite3.connect(f"file:{sqlite_template}?mode=ro", uri=True) as conn:
        sql = dict(conn.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index'").fetchall())
    conn.close()
    assert "UNIQUE" in sql["uq_ticket_one_open"]
    assert sql["uq_ticket_one_open"].endswith("(company_id, dedup_key) WHERE closed_at IS NULL")


def test_a_database_of_any_earlier_revision_is_brought_up_with_its_rows(empty_url: str) -> None:
    upgrade(empty_url, to="0001")
    engine = connect(empty_url)
    with engine.execution_options(czuwak_write=True).begin() as conn:
        conn.execute(
            sa.text("INSERT INTO company (id, slug, name, created_at, revision) VALUES (1, 'acme', 'Acme', 1, 0)")
        )
        conn.execute(
            sa.text(
                "INSERT INTO host (id, company_id, site, class, name, instance, presence, presence_reason, "
                "presence_since, session_gen, agent_version, facts, first_seen, machine_fingerprint) "
                "VALUES ('a', 1, '', 'server', 'n', 'n', 'online', '', 1, 3, '', '{}', 5, '')"
            )
        )
        conn.execute(
            sa.text(
                "INSERT INTO alert (key, rule, labels, state, active_since, last_true, annotations, episode) "
                """VALUES ('k', 'r', '{"instance": "n"}', 'firing', 1, 2, '{}', 1)"""
            )
        )
    assert upgrade(empty_url, to="0002") == ["0002"]
    with engine.execution_options(czuwak_write=True).begin() as conn:
        conn.execute(sa.text("INSERT INTO collector (id, name, started_at, seen_at) VALUES ('c', 'one', 1, 2)"))
    assert upgrade(empty_url) == ["0003"]
    with engine.connect() as conn:
        assert conn.execute(sa.text("SELECT approved_at, boot_id, lost FROM host")).all() == [(5.0, "", 0)]
        assert conn.execute(sa.text("SELECT instance FROM alert")).all() == [("n",)]
        (one,) = collectors.collectors(conn)
        assert (one.name, one.failing) == ("one", frozenset())
    engine.dispose()


@pytest.mark.parametrize("revision", ["0001", "0002"])
def test_every_earlier_revision_gets_the_same_tables_as_a_new_database(empty_url: str, revision: str) -> None:
    assert upgrade(empty_url, to=revision)[-1] == revision
    assert upgrade(empty_url)[-1] == "0003"
    engine = connect(empty_url)
    with engine.connect() as conn:
        assert compare_metadata(MigrationContext.configure(conn, opts={"compare_type": True}), metadata) == []
    engine.dispose()
