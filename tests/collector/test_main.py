"""The command line as a whole: exit codes, what loads when, and settings that nobody can use."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector import admin
from collector import main as command
from collector.ingest import stamp
from collector.main import CLASSES, ROLES, SCOPES, build, main
from collector.store import api_tokens, users

HEAVY = ("alembic", "argon2", "cryptography", "flask", "grpc", "numpy", "sqlalchemy", "yaml")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "czuwak.toml"
    path.write_text("")
    return path


def test_the_version_and_the_help_load_nothing_heavy() -> None:
    code = (
        "import sys\nfrom collector.main import build\n"
        "try: build().parse_args(['--help'])\nexcept SystemExit: pass\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "words", [[], ["nothing"], ["token"], ["db", "upgrade", "--wet"], ["serve", "--only", "web,x"]]
)
def test_what_is_no_command_is_wrong_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("usage: czuwak")


def test_every_administrative_command_is_a_function_of_admin() -> None:
    actions = set(_actions(build()))
    assert len(actions) >= 11
    assert [name for name in sorted(actions) if not callable(getattr(admin, name, None))] == []


def _actions(parser: object) -> Iterator[str]:
    for one in getattr(parser, "_actions", ()):
        for child in (getattr(one, "choices", None) or {}).values() if isinstance(one.choices, dict) else ():
            if child.get_default("action"):
                yield child.get_default("action")
            yield from _actions(child)


def test_the_choices_of_the_command_line_are_those_of_the_parts() -> None:
    assert set(ROLES) == set(users.Role)
    assert set(SCOPES) == api_tokens.SCOPES
    assert "class" in stamp.RESERVED_LABELS
    assert CLASSES == ("server", "workstation", "laptop", "kiosk")


def test_parts_are_named_once_each() -> None:
    assert build().parse_args(["serve", "--only", "web, ingest,web"]).only == ("web", "ingest")


@pytest.mark.parametrize("words", [["serve"], ["host", "list"], ["db", "upgrade"], ["token", "create"]])
def test_a_missing_configuration_names_the_command_that_makes_one(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--config", str(tmp_path / "none.toml")]) == 1
    assert capsys.readouterr().err == f"czuwak: {tmp_path}/none.toml: no such file; `czuwak init DIR` makes one\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[web\n", "not valid TOML: "),
        ("[web]\nlisen = 'x:1'\n", ":2: unknown key 'lisen' in [web]; did you mean 'listen'?"),
        ("[web]\nlisten = 'x'\n", ":2: web.listen = 'x' is not an address"),
        ("[ingest]\ninterval = inf\n", ":2: ingest.interval = inf is not a duration from 1 ms to 10 years"),
    ],
)
def test_a_wrong_configuration_is_told_by_line_by_every_command(
    config: Path, text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(text)
    for words in (["serve"], ["user", "list"], ["db", "upgrade"]):
        assert main([*words, "--config", str(config)]) == 1
        err = capsys.readouterr().err
        assert err.startswith(f"czuwak: {config}")
        assert said in err


@pytest.mark.parametrize("words", [["serve"], ["host", "list"], ["token", "create"]])
def test_a_missing_database_names_itself_and_the_next_step(
    words: list[str], config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--config", str(config)]) == 1
    err = capsys.readouterr().err
    assert f"sqlite:///{config.parent}/czuwak.db: there is no database" in err
    assert "run `czuwak db upgrade`" in err
    assert f"(configured in {config})" in err
    assert not (config.parent / "czuwak.db").exists()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://czuwak:se:cret@127.0.0.1:1/czuwak", "Connection refused"),
        ("postgresql://czuwak@127.0.0.1:1/czuwak?password=se:cret", "Connection refused"),
        ("postgresql://czuwak:se:c@ret@127.0.0.1/czuwak", "has more than one @"),
        ("mysql://czuwak:se:cret@db/czuwak", "is not a database"),
    ],
)
def test_a_database_server_that_is_away_is_told_without_its_password(
    url: str, said: str, config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CZUWAK_DATABASE_URL", url)
    for words in (["serve"], ["host", "list"], ["db", "upgrade"]):
        assert main([*words, "--config", str(config)]) == 1
        err = capsys.readouterr().err
        assert said in err
        assert "se:c" not in err
        assert "ret@" not in err


def test_the_upgrade_names_its_steps_on_stdout(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["db", "upgrade", "--config", str(config)]) == 0
    steps = capsys.readouterr()
    assert steps.out.splitlines()
    assert steps.err.endswith("applied\n")
    assert main(["db", "upgrade", "--dry-run", "--config", str(config)]) == 0
    assert capsys.readouterr() == ("", "nothing to do\n")


def test_a_log_level_that_is_none_is_wrong_usage(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CZUWAK_LOG", "loud")
    assert main(["host", "list", "--config", str(config)]) == 2
    assert capsys.readouterr().err == "czuwak: CZUWAK_LOG=LOUD is no level; write DEBUG, INFO, WARNING or ERROR\n"


def test_a_line_of_the_log_cannot_be_forged() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "host %s", ('a\n{"level": "ERROR"}',), None)
    record.action = "enrolled"
    line = command._JsonLines().format(record)
    assert "\n" not in line
    assert json.loads(line)["message"] == 'host a\n{"level": "ERROR"}'
    assert json.loads(line)["action"] == "enrolled"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_under_a_redirection_is_told(config: Path) -> None:
    main(["db", "upgrade", "--config", str(config)])
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "collector.main", "host", "list", "--json", "--config", str(config)],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=os.environ,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "czuwak: No space left on device\n"


def test_a_reader_that_has_seen_enough_hears_no_complaint(config: Path) -> None:
    main(["db", "upgrade", "--config", str(config)])
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "collector.main", "host", "list", "--json", "--config", str(config)],
        stdout=writer, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")
