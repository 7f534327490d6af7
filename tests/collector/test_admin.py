"""Administration in process: what is printed where, and what wrong input is told."""

import io
import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from collector import admin, setup
from collector.main import main
from collector.store import Store, enrollments, open_store, tokens, users

Run = Callable[..., tuple[int, str, str]]
Stdin = Callable[[str], None]


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


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """A command on that folder: (exit code, stdout, stderr)."""

    def call(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([*words, "--config", str(folder / "czuwak.toml")])
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Stdin:
    """Gives standard input this text."""

    def give(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))

    return give


def rows(run: Run, *words: str) -> list[dict[str, Any]]:
    code, out, _ = run(*words, "--json")
    assert code == 0
    found: list[dict[str, Any]] = json.loads(out)
    return found


def database(folder: Path) -> Store:
    return open_store(f"sqlite:///{folder}/czuwak.db")


# --- join tokens ---


def test_a_join_token_is_printed_once_alone_on_stdout(run: Run) -> None:
    code, out, err = run("token", "create", "--class", "laptop", "--name", "lap-*", "--uses", "3", "--hours", "2")
    assert code == 0
    assert out.startswith("czj_")
    assert out.count("\n") == 1
    assert "czuwak-agent enroll" in err
    assert "sha256:" in err
    (token,) = rows(run, "token", "list")
    assert (token["class"], token["name"], token["used"], token["state"]) == ("laptop", "lap-*", "0/3", "open")
    assert out.strip() not in json.dumps(token)


def test_the_list_tells_open_from_used_expired_and_revoked(run: Run, folder: Path) -> None:
    store, now = database(folder), time.time()
    with store.write() as conn:
        _, used = tokens.create_token(conn, company="alfa", expires_at=now + 60, at=now)
        tokens.create_token(conn, company="alfa", expires_at=now - 60, at=now - 120)
        tokens.create_token(conn, company="alfa", expires_at=now + 60, at=now)
        tokens.create_token(conn, company="alfa", expires_at=now + 60, at=now)
        tokens.use_token(conn, used, "srv-1", now)
    store.close()
    assert run("token", "revoke", "3")[0] == 0
    assert {t["id"]: t["state"] for t in rows(run, "token", "list")} == {
        1: "used",
        2: "expired",
        3: "revoked",
        4: "open",
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("token", "create", "--company", "beta"), "no company is called 'beta'"),
        (("token", "revoke", "7"), "no open join token has the id 7; see `czuwak token list`"),
        (("token", "api-revoke", "7"), "no open bearer token has the id 7; see `czuwak token api-list`"),
        (("token", "api", "x", "--scope", "hosts:read", "--company", "beta"), "no company is called 'beta'; there are"),
        (("token", "api", "x", "--scope", "hosts:read", "--owner", "zofia"), "no user has the login zofia"),
        (("host", "retire", "7"), "no host is named 7 or has this id; see `czuwak host list`"),
        (("host", "revoke", "\0"), "no host is named \ufffd or has this id"),
        (("user", "passwd", "zofia"), "no user has the login zofia; see `czuwak user list`"),
        (("user", "add", "admin"), "user admin is there already; `czuwak user passwd admin`"),
        (("user", "add", "zofia", "--companies", "alfa,beta"), "no company is called 'beta'"),
        (("user", "add", "zofia", "--password-file", "/nowhere"), "/nowhere: the password cannot be read"),
        (("user", "add", "zofia", "--password-file", "/"), "/: the password cannot be read: Is a directory"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_changes_nothing(run: Run, words: tuple[str, ...], said: str) -> None:
    code, out, err = run(*words)
    assert (code, out) == (1, "")
    assert said in err
    assert err.startswith("czuwak: ")
    assert err.count("\n") == 1
    assert [user["login"] for user in rows(run, "user", "list")] == ["admin"]
    assert rows(run, "token", "list") == rows(run, "token", "api-list") == []


@pytest.mark.parametrize(
    "words",
    [
        ("token", "revoke", "99999999999999999999"),
        ("token", "create", "--hours", "0"),
        ("token", "create", "--uses", "²"),
        ("token", "create", "--uses", "1" * 5000),
        ("token", "api", "x"),
        ("token", "api", "x", "--scope", "tickets:all"),
        ("token", "api", "x", "--scope", "hosts:read", "--days", "-1"),
        ("user", "add", "x", "--role", "god"),
    ],
)
def test_a_word_that_is_none_is_wrong_usage(run: Run, words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(*words)
    assert ended.value.code == 2


# --- bearer tokens ---


def test_a_bearer_token_may_have_an_owner_companies_and_an_end(run: Run, folder: Path) -> None:
    code, out, _ = run(
        "token", "api", "report", "--scope", "tickets:read", "--scope", "hosts:read",
        "--company", "alfa", "--owner", "admin", "--days", "3", "--json",
    )  # fmt: skip
    assert code == 0
    secret = json.loads(out)["token"]
    (token,) = rows(run, "token", "api-list")
    named = {name: token[name] for name in ("name", "scopes", "companies", "owner", "used", "state")}
    assert named == {
        "name": "report",
        "scopes": "hosts:read,tickets:read",
        "companies": "alfa",
        "owner": "admin",
        "used": "never",
        "state": "open",
    }
    assert verified(folder, secret, time.time()) == frozenset({"alfa"})
    assert verified(folder, secret, time.time() + 4 * 86400) is None


def verified(folder: Path, secret: str, at: float) -> object:
    from collector.store import api_tokens  # noqa: PLC0415 - read beside the fixtures

    store = database(folder)
    with store.read() as conn:
        token = api_tokens.verify(conn, secret, at)
    store.close()
    return token.companies if token else None


def test_a_revoked_bearer_token_is_refused(run: Run, folder: Path) -> None:
    secret = run("token", "api", "report", "--scope", "tickets:read")[1].strip()
    assert run("token", "api-revoke", "1")[0] == 0
    assert verified(folder, secret, time.time()) is None
    assert [token["state"] for token in rows(run, "token", "api-list")] == ["revoked"]
    assert run("token", "api-revoke", "1")[0] == 1


# --- people ---


def test_a_user_is_added_with_role_language_and_companies(run: Run, typed: Stdin) -> None:
    typed("long enough, truly\nnot read\n")
    assert run("user", "add", "Zofia", "--name", "Zofia Żak", "--language", "pl", "--companies", "alfa")[0] == 0
    (zofia,) = [user for user in rows(run, "user", "list") if user["login"] != "admin"]
    assert zofia == {
        "login": "zofia",
        "name": "Zofia Żak",
        "role": "technician",
        "language": "pl",
        "companies": "alfa",
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [("short\n", "shorter than 10 characters"), ("", "no password was given"), ("\n", "no password was given")],
)
def test_a_password_that_is_none_adds_nobody(run: Run, typed: Stdin, text: str, said: str) -> None:
    typed(text)
    code, _, err = run("user", "add", "zofia")
    assert code == 1
    assert said in err
    assert len(rows(run, "user", "list")) == 1


def test_a_closed_standard_input_is_no_password(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    code, _, err = run("user", "add", "zofia")
    assert (code, "no password was given" in err) == (1, True)


def test_a_password_file_gives_its_first_line(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_bytes(b"long enough 1\r\nsecond line\n")
    assert run("user", "add", "zofia", "--password-file", str(path))[0] == 0
    path.write_bytes(b"\xff\xfe\xfd long enough")
    code, _, err = run("user", "passwd", "zofia", "--password-file", str(path))
    assert (code, "is not UTF-8 text" in err) == (1, True)


def test_a_new_password_ends_every_session(run: Run, typed: Stdin, folder: Path) -> None:
    store, now = database(folder), time.time()
    with store.write() as conn:
        admin = users.user_by_login(conn, "admin")
        assert admin is not None
        session = users.new_session(conn, admin.id, now, 3600.0)
    typed("another long one\n")
    assert run("user", "passwd", "admin")[0] == 0
    with store.read() as conn:
        assert users.session(conn, session, now) is None
        changed = users.user_by_login(conn, "admin")
    assert changed is not None
    assert changed.password_hash != admin.password_hash
    store.close()


def test_nobody_waits_for_somebody_who_types(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly(_: object) -> str:
        store = database(folder)
        with store.write() as conn:  # would fail after five seconds if the command held the lock
            tokens.create_token(conn, company="alfa", expires_at=1.0, at=0.0)
        store.close()
        return "long enough 1"

    monkeypatch.setattr(admin, "_typed", slowly)
    assert run("user", "add", "zofia")[0] == 0


# --- hosts ---


def enrolled(folder: Path, name: str, board: str = "", *, approved: bool = True) -> None:
    store = database(folder)
    with store.write() as conn:
        enrollments.add_host(
            conn, host_id=f"id-{name}", company="alfa", site="main", class_="server", name=name, enrollment_id=name,
            key_hash="k", serial=name, certificate_pem="", not_after=time.time() + 60, at=time.time(),
            machine_fingerprint=board, approved=approved,
        )  # fmt: skip
    store.close()


def test_a_host_is_listed_revoked_and_retired_once(run: Run, folder: Path) -> None:
    enrolled(folder, "srv-1")
    (host,) = rows(run, "host", "list")
    assert (host["id"], host["host"], host["company"], host["seen"]) == ("id-srv-1", "srv-1", "alfa", "never")
    assert run("host", "revoke", "id-srv-1")[2] == "host srv-1: revoked\n"
    assert run("host", "retire", "srv-1")[2] == "host srv-1: retired\n"
    assert run("host", "retire", "srv-1")[0] == 1
    assert "no host is named srv-2 or has this id" in run("host", "retire", "srv-2")[2]


def test_a_host_that_waits_is_approved_once(run: Run, folder: Path) -> None:
    enrolled(folder, "srv-1", approved=False)
    assert [host["asks"] for host in rows(run, "host", "list")] == ["approval"]
    assert run("host", "approve", "srv-1")[2] == "host srv-1: approved\n"
    assert "does not wait for approval" in run("host", "approve", "srv-1")[2]
    assert [host["asks"] for host in rows(run, "host", "list")] == [""]


def test_a_reinstalled_computer_is_asked_about_and_becomes_its_old_self(run: Run, folder: Path) -> None:
    enrolled(folder, "srv-1", "board")
    enrolled(folder, "srv-1-new", "board")
    assert [host["asks"] for host in rows(run, "host", "list")] == ["", "same machine as srv-1?"]
    assert run("host", "same", "srv-1-new")[2] == "host srv-1-new is srv-1 again; the old identity is retired\n"
    assert [(host["id"], host["host"]) for host in rows(run, "host", "list")] == [("id-srv-1-new", "srv-1")]
    assert "asks nothing" in run("host", "same", "srv-1")[2]


def test_another_computer_stays_another_one(run: Run, folder: Path) -> None:
    enrolled(folder, "srv-1", "board")
    enrolled(folder, "srv-2", "board")
    assert run("host", "same", "srv-2", "--no")[2] == "host srv-2 stays a computer of its own\n"
    assert [host["asks"] for host in rows(run, "host", "list")] == ["", ""]


def test_an_identity_can_be_bound_anew(run: Run, folder: Path) -> None:
    enrolled(folder, "srv-1", "board")
    assert "the next computer that connects with its key is it" in run("host", "rebind", "srv-1")[2]


def test_a_token_may_ask_for_approval(run: Run) -> None:
    assert run("token", "create", "--approve")[0] == 0
    assert [token["approval"] for token in rows(run, "token", "list")] == ["asked"]


def test_a_hostile_name_cannot_steer_the_terminal(run: Run, folder: Path) -> None:
    enrolled(folder, "srv\x1b[2J\u202egnp")
    out = run("host", "list")[1]
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert len(out.splitlines()) == 2


def test_a_terminal_that_cannot_show_a_name_gets_the_rest(
    run: Run, typed: Stdin, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed("long enough, truly\n")
    run("user", "add", "zofia", "--name", "Żak")
    plain = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", plain)
    assert run("user", "list")[0] == 0
    assert run("user", "list", "--json")[0] == 0
    plain.seek(0)
    *_, table, as_json = plain.read().splitlines()
    assert "?ak" in table
    assert "Żak" in [user["name"] for user in json.loads(as_json)]
