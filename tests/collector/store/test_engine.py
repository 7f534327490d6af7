import math
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from collector.store import Store, StoreError, clock, open_store, sqlite, upgrade
from collector.store.engine import finite, plain
from collector.store.hosts import add_company, companies
from collector.store.settings import get, put


@pytest.mark.parametrize(
    ("version", "mode"),
    [
        ((3, 6, 23), "WAL"),
        ((3, 7, 0), "TRUNCATE"),
        ((3, 40, 1), "TRUNCATE"),
        ((3, 44, 5), "TRUNCATE"),
        ((3, 44, 6), "WAL"),
        ((3, 44, 9), "WAL"),
        ((3, 45, 0), "TRUNCATE"),
        ((3, 50, 6), "TRUNCATE"),
        ((3, 50, 7), "WAL"),
        ((3, 51, 0), "TRUNCATE"),
        ((3, 51, 2), "TRUNCATE"),
        ((3, 51, 3), "WAL"),
        ((3, 52, 0), "WAL"),
    ],
)
def test_wal_is_used_only_where_it_cannot_lose_commits(version: tuple[int, ...], mode: str) -> None:
    assert sqlite.journal_mode(version) == mode


def test_every_sqlite_connection_is_prepared(sqlite_store: Callable[[], Store]) -> None:
    with sqlite_store().read() as conn:
        pragmas = {p: conn.scalar(sa.text(f"PRAGMA {p}")) for p in ("synchronous", "foreign_keys", "busy_timeout")}
        mode = conn.scalar(sa.text("PRAGMA journal_mode"))
    assert pragmas == {"synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000}
    assert str(mode).upper() == sqlite.journal_mode(sqlite3.sqlite_version_info)


MOUNTS = """\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
31 27 0:40 / /srv rw shared:1 master:2 - nfs4 server:/export rw
32 31 0:41 / /srv/local\\040disk rw - xfs /dev/vdb rw
33 27 0:42 / /s rw - cifs //server/s rw
34 27 0:43 / /home/anna/remote rw - fuse.sshfs anna@host: rw
broken line
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/czuwak.db", "ext4"),
        ("/srv/czuwak.db", "nfs4"),
        ("/srv/local disk/czuwak.db", "xfs"),
        ("/srvx/czuwak.db", "ext4"),
        ("/s/czuwak.db", "cifs"),
        ("/home/anna/remote/x/czuwak.db", "fuse.sshfs"),
    ],
)
def test_the_file_system_is_that_of_the_longest_mount_point(path: str, kind: str) -> None:
    assert sqlite.file_system(Path(path), MOUNTS) == kind


def test_a_network_file_system_is_refused_by_name() -> None:
    with pytest.raises(StoreError, match=r"network file system \(nfs4\).*PostgreSQL"):
        sqlite.check_place(Path("/srv/czuwak.db"), MOUNTS)
    sqlite.check_place(Path("/var/lib/czuwak.db"), MOUNTS)
    sqlite.check_place(Path("/var/lib/czuwak.db"), "")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite://", "needs a path"),
        ("sqlite:///:memory:", "needs a path"),
        ("sqlite:////nonexistent-directory/x/czuwak.db", "does not exist"),
        ("mysql://localhost/x", "not supported"),
        ("not a url", "wrong"),
        ("postgresql+psycopg2://localhost/x", "not supported"),
    ],
)
def test_a_url_that_cannot_work_is_refused_with_what_to_do(url: str, words: str) -> None:
    with pytest.raises(StoreError, match=words):
        open_store(url)


def test_a_server_that_is_not_there_is_told_as_retryable(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as error:
        open_store(f"postgresql://postgres@/x?host={tmp_path}")
    assert error.value.retryable
    assert not error.value.again


@pytest.mark.server("postgres")
def test_a_database_that_is_not_there_is_named_so(postgres: object) -> None:
    directory = postgres.directory  # type: ignore[attr-defined]
    with pytest.raises(StoreError, match="does not exist"):
        open_store(f"postgres://postgres@/nowhere?host={directory}")


def test_the_password_is_not_in_the_url_that_is_shown(sqlite_store: Callable[[], Store]) -> None:
    assert sqlite_store().url.startswith("sqlite:///")
    shown = Store(sa.create_engine("postgresql+psycopg://me:secret@localhost/x")).url
    assert "secret" not in shown


def test_the_database_has_a_clock(store: Store) -> None:
    with store.read() as conn:
        first, second = clock(conn), clock(conn)
    assert abs(first - time.time()) < 5
    assert second >= first


def test_an_error_in_the_block_leaves_nothing(store: Store) -> None:
    def fail() -> None:
        with store.write() as conn:
            put(conn, "x", 1, 1.0)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with store.read() as conn:
        assert get(conn, "x") is None


def test_a_read_never_commits(store: Store) -> None:
    with store.read() as conn:
        put(conn, "x", 1, 1.0)
    with store.read() as conn:
        assert get(conn, "x") is None


def test_writers_wait_for_each_other_and_lose_nothing(store: Store) -> None:
    def work(name: int) -> None:
        for i in range(10):
            with store.write() as conn:
                add_company(conn, f"c{name}-{i}", "C", 1.0)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.read() as conn:
        assert len(companies(conn)) == 41


def test_a_unique_violation_asks_to_be_run_again(store: Store) -> None:
    row = "INSERT INTO company (slug, name, created_at, revision) VALUES ('acme', 'x', 1, 0)"
    with pytest.raises(StoreError) as error, store.write() as conn:
        conn.execute(sa.text(row))
    assert error.value.again


def test_a_missing_table_names_the_command(store: Store) -> None:
    with pytest.raises(StoreError) as error, store.read() as conn:
        conn.execute(sa.text("SELECT * FROM nowhere"))
    assert not error.value.again
    assert "nowhere" in error.value.message


def test_a_full_disk_is_told_and_writing_goes_on_when_there_is_room(sqlite_store: Callable[[], Store]) -> None:
    store = sqlite_store()
    with store.write() as conn:
        pages = conn.scalar(sa.text("PRAGMA page_count"))
        conn.execute(sa.text(f"PRAGMA max_page_count = {pages}"))
    with pytest.raises(StoreError, match="disk is full") as error, store.write() as conn:
        put(conn, "big", "x" * 100_000, 1.0)
    assert error.value.retryable
    with store.write() as conn:
        conn.execute(sa.text("PRAGMA max_page_count = 1000000"))
        put(conn, "big", "x" * 100_000, 1.0)


def test_a_read_only_database_is_told(sqlite_store: Callable[[], Store]) -> None:
    store = sqlite_store()
    with store.read() as conn:
        conn.execute(sa.text("PRAGMA query_only = ON"))
    with pytest.raises(StoreError, match="read-only"), store.write() as conn:
        put(conn, "x", 1, 1.0)


@pytest.mark.server("postgres")
def test_a_lost_connection_is_told_and_the_next_transaction_has_a_new_one(postgres: object) -> None:
    url = postgres.create()  # type: ignore[attr-defined]
    upgrade(url)
    store = open_store(url)

    def cut() -> None:
        with store.write() as conn:
            pid = conn.scalar(sa.text("SELECT pg_backend_pid()"))
            with psycopg.connect(host=str(postgres.directory), user="postgres", dbname="postgres") as other:  # type: ignore[attr-defined]
                other.execute("SELECT pg_terminate_backend(%s)", (pid,))
            put(conn, "x", 1, 1.0)

    with pytest.raises(StoreError) as error:
        cut()
    assert error.value.retryable
    with store.write() as conn:
        assert get(conn, "x") is None
        put(conn, "x", 1, 1.0)
    store.close()


def test_only_finite_numbers_and_clean_words_are_kept() -> None:
    assert [finite(v) for v in (1.5, None, math.nan, math.inf, -math.inf)] == [1.5, None, None, None, None]
    hostile = {"a\0": [math.nan, 1, "\ud800", (True, None)], 3: {"x": Path("/p")}}
    assert plain(hostile) == {"a": [None, 1, "?", [True, None]], "3": {"x": "/p"}}
