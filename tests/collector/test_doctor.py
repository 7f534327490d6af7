import json
import os
import shutil
import socket
import time
from pathlib import Path

import pytest

from collector import doctor, setup
from collector.doctor import Finding
from collector.ingest import ca
from collector.main import main

BROKEN = """\
groups:
  - name: one
    rules:
      - alert: First
        expr: up ==
      - alert: Second
        expr: sum(up
"""


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


def examined(folder: Path, **environ: str) -> list[Finding]:
    ports = {"CZUWAK_INGEST_LISTEN": "127.0.0.1:0", "CZUWAK_INGEST_ENROLLMENT_LISTEN": "127.0.0.1:0"}
    return doctor.examine(folder / "czuwak.toml", {**ports, "CZUWAK_WEB_LISTEN": "127.0.0.1:0", **environ})


def failed(folder: Path, **environ: str) -> Finding:
    """The one thing that is wrong; whatever it is, it names the next step."""
    (found,) = [row for row in examined(folder, **environ) if row.level == "fail"]
    assert found.next
    return found


def test_what_init_leaves_is_healthy(folder: Path) -> None:
    found = examined(folder)
    assert {row.level for row in found} <= {"ok", "warn"}
    assert {row.what for row in found if row.level == "warn"} <= {"disk"}
    assert {"configuration", "rules", "database", "secret", "certificate authority", "port", "disk"} <= {
        row.what for row in found
    }


def test_every_mistake_of_every_rule_file_comes_at_once(folder: Path) -> None:
    for name in ("a.yml", "b.yml"):
        (folder / name).write_text(BROKEN)
    (folder / "czuwak.toml").write_text('[rules]\nfiles = ["*.yml", "none/*.yml"]\n')
    (missing,) = [row for row in examined(folder) if row.what == "rules"]
    assert missing.detail == f"{folder}/czuwak.toml:2:1: rules.files names 'none/*.yml', which is no file"

    (folder / "czuwak.toml").write_text('[rules]\nfiles = ["*.yml"]\n')
    details = [row.detail for row in examined(folder) if row.what == "rules"]
    places = [detail.removeprefix(f"{folder}/").split(":")[:2] for detail in details]
    assert places == [["a.yml", "5"], ["a.yml", "7"], ["b.yml", "5"], ["b.yml", "7"]]


@pytest.mark.parametrize("pattern", ["**.yml", "/", ".", "none.yml", "/none/*.yml"])
def test_a_pattern_without_a_file_is_a_mistake(folder: Path, pattern: str) -> None:
    found = failed(folder, CZUWAK_RULES_FILES=pattern)
    assert found.what == "rules"
    assert f"{pattern!r}, which is no file" in found.detail


def test_patterns_may_be_absolute(folder: Path) -> None:
    (folder / "x.yml").write_text("groups: []\n")
    found = examined(folder, CZUWAK_RULES_FILES=f"{folder}/*.yml")
    assert [row.level for row in found if row.what == "rules"] == ["ok"]


def test_a_missing_database_and_one_that_cannot_be_reached_have_their_own_next_step(folder: Path) -> None:
    away = failed(folder, CZUWAK_DATABASE_URL="postgresql://czuwak:secret@127.0.0.1:1/x")
    assert "Connection refused" in away.detail
    assert "secret" not in away.detail
    assert away.next.startswith("correct database.url")
    (folder / "czuwak.db").unlink()
    assert failed(folder).next == f"czuwak db upgrade --config {folder}/czuwak.toml"


def test_a_database_folder_that_is_not_there_is_no_traceback(folder: Path) -> None:
    found = [row.what for row in examined(folder, CZUWAK_DATABASE_URL="sqlite:///away/x.db") if row.level == "fail"]
    assert found == ["database", "disk"]


@pytest.mark.parametrize("name", ["secrets/web", "ca/ca-key.pem"])
def test_a_secret_that_others_can_read_is_told_with_the_command_that_mends_it(folder: Path, name: str) -> None:
    (folder / name).chmod(0o640)
    found = [row for row in examined(folder) if row.what == "secret" and row.level == "fail"]
    assert [row.next for row in found] == [f"chmod 600 {folder / name}"]


def test_a_missing_secret_names_init(folder: Path) -> None:
    (folder / "secrets/web").unlink()
    assert f"czuwak init {folder}" in failed(folder).next


def test_a_damaged_authority_is_restored_not_made_again(folder: Path) -> None:
    (folder / "ca/ca.pem").write_text("-----BEGIN NOTHING-----")
    found = failed(folder)
    assert found.what == "certificate authority"
    assert found.next == f"restore {folder}/ca from a backup"


def test_an_authority_that_soon_ends_is_a_warning(folder: Path) -> None:
    shutil.rmtree(folder / "ca")
    ca.create(folder / "ca", at=time.time() - 3640 * 86400)
    (found,) = [row for row in examined(folder) if row.what == "certificate authority"]
    assert (found.level, "good for 1" in found.detail) == ("warn", True)


def test_a_port_in_use_is_a_warning_because_the_collector_may_run(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        found = [row for row in examined(folder, CZUWAK_WEB_LISTEN=address) if row.level == "warn"]
    assert [row.what for row in found if row.what != "disk"] == ["port"]
    assert address in found[0].detail


def test_a_broken_configuration_ends_the_examination(folder: Path) -> None:
    (folder / "czuwak.toml").write_text("[web]\ntimezone = 1\nthreads = 0\n[nothing]\n")
    found = examined(folder)
    assert [(row.level, row.what) for row in found] == [("fail", "configuration")] * 3


@pytest.mark.parametrize("words", [("doctor", "--config"), ("check-config",)])
def test_the_commands_print_valid_json_and_fail_with_one(
    folder: Path, words: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("CZUWAK_")]:
        monkeypatch.delenv(name)
    path = str(folder / "czuwak.toml")
    assert main([*words, path, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {tuple(row) for row in rows} == {("level", "what", "detail", "next")}
    (folder / "czuwak.toml").write_text("[web]\nlisten = 1\n")
    assert main([*words, path]) == 1
    assert capsys.readouterr().out.startswith(f"fail  configuration: {path}:2: web.listen = 1 is not an address")
