"""Files of the collector that others could read or replace."""

from pathlib import Path

import pytest

from collector import config
from collector.exposed import exposed
from collector.setup import initialise


@pytest.fixture
def made(tmp_path: Path) -> config.Config:
    return initialise(tmp_path / "cz", company="Acme", login="admin", at=1.0, environ={}).config


def test_what_init_made_is_exposed_to_nobody(made: config.Config) -> None:
    assert list(exposed(made)) == []


@pytest.mark.parametrize(
    ("name", "mode", "told", "command"),
    [
        ("", 0o775, "others can replace files in it (mode 0775)", "chmod go-w {}"),
        ("ca", 0o707, "others can replace files in it (mode 0707)", "chmod go-w {}"),
        ("secrets", 0o770, "others can replace files in it (mode 0770)", "chmod go-w {}"),
        ("ca/ca.pem", 0o664, "others can change whom agents believe (mode 0664)", "chmod go-w {}"),
    ],
)
def test_what_others_could_replace_is_told_with_the_command(
    made: config.Config, name: str, mode: int, told: str, command: str
) -> None:
    path = made.folder / name
    path.chmod(mode)
    assert list(exposed(made)) == [(f"{path}: {told}", command.format(path))]


def test_a_database_everybody_can_reach_and_read_is_told(made: config.Config) -> None:
    made.folder.chmod(0o755)
    path = made.folder / "czuwak.db"
    path.chmod(0o644)
    assert list(exposed(made)) == [(f"{path}: everybody can read all tickets (mode 0644)", f"chmod o-rwx {path}")]


def test_a_configuration_with_a_password_that_everybody_can_read_is_told(tmp_path: Path) -> None:
    file = tmp_path / "czuwak.toml"
    file.write_text('[database]\nurl = "postgresql://u:secret@h/n"\n')
    file.chmod(0o644)
    tmp_path.chmod(0o700)
    told = [f"{file}: everybody can read the database's password (mode 0644)"]
    assert [what for what, _ in exposed(config.load(file, {}))] == told
