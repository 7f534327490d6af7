"""The agent's figures at their smallest; the real sizes are `make chaos`."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos import g2, g24_agent, g25
from tests.chaos.outcome import summed
from tests.smalldisk import mounted


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of its own."""
    with tempfile.TemporaryDirectory(prefix="cz-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def test_three_kills_of_the_agent_lose_nothing_that_is_older_than_two_intervals(folder: Path) -> None:
    lines = g2.run(120, folder, kills=3)
    assert summed(lines) != "VIOLATED", lines
    assert lines[0].startswith("3 kills, 0 failed starts")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a tmpfs needs root")
def test_an_agent_with_a_full_disk_counts_exactly_what_it_lost(folder: Path) -> None:
    with mounted(folder / "disk", 1) as disk:
        lines = g24_agent.outlived(disk, 1, 1200)
    assert summed(lines) == "reached", lines


def test_ten_damaged_spools_start(folder: Path) -> None:
    lines = g25.run(60, folder, times=10)
    assert summed(lines) == "reached", lines
