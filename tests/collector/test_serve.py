"""What `czuwak serve` finds wrong before anything starts, on both databases."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from collector import config, serve, setup, supervise
from collector.errors import CollectorError
from collector.ingest.errors import CaError
from collector.intake import Intake
from collector.rules.errors import RuleFileError
from collector.store import Store, StoreError

LISTEN = {
    "CZUWAK_INGEST_LISTEN": "127.0.0.1:0",
    "CZUWAK_INGEST_ENROLLMENT_LISTEN": "127.0.0.1:0",
    "CZUWAK_WEB_LISTEN": "127.0.0.1:0",
}


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `init` leaves it, to copy."""
    folder = tmp_path_factory.mktemp("installed")
    setup.initialise(folder, company="Alfa", login="admin", at=time.time(), environ={})
    return folder


@pytest.fixture
def folder(installed: Path, tmp_path: Path) -> Path:
    shutil.copytree(installed, tmp_path / "here")
    return tmp_path / "here"


def loaded(folder: Path, **environ: str) -> config.Config:
    return config.load(folder / "czuwak.toml", {**LISTEN, **environ})


def test_what_init_leaves_is_ready(folder: Path) -> None:
    serve.check_ready(loaded(folder))


@pytest.mark.parametrize("name", sorted(LISTEN))
def test_each_port_in_use_is_named(folder: Path, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(CollectorError, match=f"cannot listen on {address}: Address already in use"):
            serve.check_ready(loaded(folder, **{name: address}))


def test_a_port_of_a_part_that_does_not_run_here_is_not_asked_for(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        serve.check_ready(loaded(folder, CZUWAK_WEB_LISTEN=address), ("ingest", "worker"))


@pytest.mark.parametrize("address", ["[::1]:0", "localhost:0", "127.0.0.1:0"])
def test_every_kind_of_address_can_be_tried(address: str) -> None:
    serve.check_free(address)


@pytest.mark.parametrize("address", ["192.0.2.1:80", "no-such-host.invalid:80"])
def test_an_address_that_is_not_ours_is_told(address: str) -> None:
    with pytest.raises(CollectorError, match="cannot listen on"):
        serve.check_free(address)


def test_all_mistakes_of_all_rule_files_come_at_once(folder: Path) -> None:
    for name in ("a.yml", "b.yml"):
        (folder / name).write_text("groups:\n  - name: g\n    rules:\n      - {alert: A, expr: 'up =='}\n")
    with pytest.raises(RuleFileError) as caught:
        serve.load_rules(loaded(folder, CZUWAK_RULES_FILES="a.yml,b.yml"))
    assert [(Path(m.file).name, m.line) for m in caught.value.mistakes] == [("a.yml", 4), ("b.yml", 4)]


def test_a_file_named_twice_is_read_once(folder: Path) -> None:
    once = serve.load_rules(loaded(folder))
    assert serve.load_rules(loaded(folder, CZUWAK_RULES_FILES="default,default")) == once


@pytest.mark.parametrize(
    ("spoil", "error", "said"),
    [
        (lambda f: (f / "ca/ca-key.pem").chmod(0o604), CaError, "can be read by others; run: chmod 600"),
        (lambda f: (f / "ca/ca-key.pem").unlink(), CaError, "Run `czuwak init` first"),
        (lambda f: (f / "ca/ca.pem").write_text("x"), CaError, "is damaged; restore both files from a backup"),
        (lambda f: (f / "secrets/web").chmod(0o640), CollectorError, "others can read this secret; run `chmod 600"),
        (lambda f: (f / "secrets/web").write_text("\n"), CollectorError, "the secret is empty"),
        (lambda f: (f / "secrets/web").write_bytes(b"\xff" * 40), CollectorError, "is not UTF-8 text"),
        (lambda f: (f / "secrets/web").unlink(), CollectorError, "the secret cannot be read: No such file"),
        (lambda f: (f / "czuwak.db").unlink(), CollectorError, "there is no database"),
        (lambda f: (f / "czuwak.db").write_bytes(b""), CollectorError, "the database is empty"),
        (lambda f: (f / "czuwak.db").write_text("x" * 5000), CollectorError, "is not a SQLite database"),
    ],
)
def test_what_is_spoilt_is_one_sentence_with_the_next_step(
    folder: Path, spoil: Callable[[Path], object], error: type[Exception], said: str
) -> None:
    spoil(folder)
    with pytest.raises(error) as caught:
        serve.check_ready(loaded(folder))
    assert said in str(caught.value)
    assert str(folder) in str(caught.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_state_directory_that_cannot_be_written_is_told(folder: Path) -> None:
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
        with pytest.raises(CollectorError, match="is not writable for this user"):
            serve.check_ready(loaded(folder))
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


# --- on both databases ---


def test_an_empty_database_names_the_command(empty_url: str, folder: Path) -> None:
    if empty_url.startswith("sqlite"):
        Path(empty_url.removeprefix("sqlite:///")).touch()
    with pytest.raises(CollectorError, match=r"the database is empty.*run `czuwak db upgrade`.*configured in"):
        serve.check_ready(loaded(folder, CZUWAK_DATABASE_URL=empty_url))


def test_a_newer_schema_is_refused(store: Store, database_url: str, folder: Path) -> None:
    with store.write() as conn:
        conn.execute(sa.text("UPDATE alembic_version SET version_num = '0999'"))
    with pytest.raises(CollectorError, match="was used by a newer Czuwak"):
        serve.check_ready(loaded(folder, CZUWAK_DATABASE_URL=database_url))


@pytest.mark.server("postgres")
def test_a_wrong_password_and_a_missing_database_are_told_without_the_password(
    request: pytest.FixtureRequest, folder: Path
) -> None:
    cluster = request.getfixturevalue("postgres")
    with cluster._connect("postgres") as conn:
        conn.execute("CREATE ROLE locked LOGIN PASSWORD 'right-one'")
        hba = cluster.directory / "data" / "pg_hba.conf"
        hba.write_text("local all locked scram-sha-256\n" + hba.read_text())
        conn.execute("SELECT pg_reload_conf()")
    where = f"?host={cluster.directory}"
    for url, said in (
        (f"postgresql://locked:wrong-one@/postgres{where}", 'password authentication failed for user "locked"'),
        (f"postgresql://postgres@/nothing{where}", 'database "nothing" does not exist'),
    ):
        with pytest.raises(CollectorError) as caught:
            serve.check_ready(loaded(folder, CZUWAK_DATABASE_URL=url))
        assert said in str(caught.value)
        assert "wrong-one" not in str(caught.value)


# --- the parts ---


class Away:
    """An intake whose database is away twice, then there."""

    def __init__(self, stop: threading.Event) -> None:
        self.calls = 0
        self._stop = stop

    def settle(self, _: float) -> list[str]:
        self.calls += 1
        if self.calls < 3:
            raise StoreError("the disk is full", retryable=True)
        self._stop.set()
        return ["CZ-2026-000001"]


def test_the_worker_waits_for_its_database_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    stop = threading.Event()
    away = Away(stop)
    with caplog.at_level("INFO"):
        serve.work(away, stop.wait, pause=0.001)  # type: ignore[arg-type]
    assert away.calls == 3
    assert [record.message for record in caplog.records] == ["database: the disk is full", "ticket closed itself"]


def test_the_policy_is_the_configurations(folder: Path) -> None:
    policy = serve.policy(loaded(folder))
    assert (policy.settle, policy.reopen_window) == (loaded(folder).tickets.settle, 86_400.0)


def test_the_worker_closes_what_has_settled(sqlite_store: Callable[[], Store]) -> None:
    stop = threading.Event()
    worker = threading.Thread(target=serve.work, args=(Intake(sqlite_store()), stop.wait, 0.001))
    worker.start()
    stop.set()
    worker.join(10)
    assert not worker.is_alive()


@pytest.fixture
def handlers() -> Iterator[None]:
    numbers = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
def test_several_parts_are_supervised_and_reload_is_for_ingest_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[list[str], object]] = []

    def noted(parts: list[tuple[str, list[str]]], reloading: object) -> int:
        assert [command[-1] for _, command in parts] == [name for name, _ in parts]
        seen.append(([name for name, _ in parts], reloading))
        return 0

    monkeypatch.setattr(supervise, "supervise", noted)
    assert serve.serve(loaded(folder), ("ingest", "worker")) == 0
    assert seen == [(["ingest", "worker"], ("ingest",))]


def test_ingest_may_open_as_many_files_as_the_machine_allows() -> None:
    """In a process of its own: the limit is the process'."""
    script = (
        "import resource as r; from collector.serve import raise_file_limit as raised;"
        "hard = r.getrlimit(r.RLIMIT_NOFILE)[1]; r.setrlimit(r.RLIMIT_NOFILE, (256, hard)); raised();"
        "print(r.getrlimit(r.RLIMIT_NOFILE) == (hard, hard))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
