"""The command's door, in an interpreter that lacks the collector's libraries."""

import subprocess
import sys
from pathlib import Path

import pytest

from collector import start

# A finder that hides one library, as if it had never been installed.
HIDE = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            raise ModuleNotFoundError("No module named " + name, name=name)
sys.meta_path.insert(0, Hidden())
from collector.start import main
sys.exit(main())
"""


def without(name: str, cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", HIDE.format(name=name), *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_a_missing_library_is_one_sentence_with_what_to_install(tmp_path: Path) -> None:
    done = without("sqlalchemy", tmp_path, "user", "list")
    assert done.returncode == 1
    assert (
        done.stderr
        == "czuwak: sqlalchemy is missing; the collector's side is installed by: pip install 'czuwak[collector]'\n"
    )


def test_a_missing_module_of_ours_is_a_defect_and_shows_where(tmp_path: Path) -> None:
    done = without("collector.admin", tmp_path, "user", "list")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_the_version_is_told_without_any_library(tmp_path: Path) -> None:
    done = without("sqlalchemy", tmp_path, "--version")
    assert (done.returncode, done.stdout[:7]) == (0, "czuwak ")


def test_with_everything_there_the_command_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["czuwak", "--version"])
    with pytest.raises(SystemExit) as ended:
        start.main()
    assert not ended.value.code
    assert capsys.readouterr().out.startswith("czuwak ")
