"""The `server` marker, run by a pytest inside pytest."""

import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import run

import pytest

TEST = """
import pytest

@pytest.mark.server("promtool")
def test_that_needs_promtool():
    assert True
"""


@pytest.mark.parametrize(("ci", "outcome"), [("", "1 skipped"), ("true", "1 error")])
def test_a_missing_server_skips_at_home_and_fails_under_ci(
    tmp_path: Path, project_root: Path, ci: str, outcome: str
) -> None:
    (tmp_path / "test_it.py").write_text(TEST)
    (tmp_path / "conftest.py").write_text((project_root / "tests/conftest.py").read_text())
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = server(name): real\n")
    done = run(
        [sys.executable, "-m", "pytest", "-ra", "-p", "no:randomly", "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": str(tmp_path), "CI": ci},
    )
    assert outcome in done.stdout
    assert "apt-get install prometheus" in done.stdout


def test_a_port_is_never_given_twice(free_port: Callable[[], int]) -> None:
    ports = [free_port() for _ in range(20)]
    assert len(set(ports)) == 20
