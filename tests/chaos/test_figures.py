"""The figures at the smallest size that still means something; the real sizes are `make chaos`."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.chaos import g1
from tests.chaos.outcome import summed


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name: the path of a local socket in it has at most 107 bytes."""
    with TemporaryDirectory(prefix="cz-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@pytest.mark.server("postgres")
def test_three_kills_of_the_collector_lose_and_double_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(g1, "EVERY", 5.0)
    monkeypatch.setattr(g1, "HOLD", 1.0)  # shorter than the `for` of the second rule: that one owes nothing
    lines = g1.run(600, folder, agents=5, kills=3)
    assert summed(lines) != "VIOLATED", lines
    assert lines[0].startswith("3 kills")
