"""The figures at the smallest size that still means something; the real sizes are `make chaos`."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

import pytest

from tests.chaos import g1, g5, g6, g7, g29, g30
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


def test_twenty_computers_enrol_through_lost_replies_and_a_kill_to_twenty_identities(folder: Path) -> None:
    lines = g29.run(120, folder, hosts=20, kills=1)
    assert summed(lines) != "VIOLATED", lines
    assert lines[0] == "20 identities for 20 computers, 20 uses of the token, 20 certificates"


def test_copies_revoked_expired_and_renewing_computers_do_not_disturb_each_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(g30, "LIFE", 20.0)
    lines = g30.run(140, folder, computers=6, revoked=2, cloned=2)
    assert summed(lines) != "VIOLATED", lines
    assert "clones: 0 mixed samples, 0 of their batches taken, 2 of 2 told" in lines


@pytest.mark.server("postgres")
def test_two_writers_that_race_open_each_ticket_once(folder: Path) -> None:
    lines = g5.run(60, folder, keys=40, writers=2)
    assert lines[0] == "40 keys x 2 writers: 40 tickets, 40 open"


@pytest.mark.server("postgres")
@pytest.mark.parametrize(("figure", "count"), [(g6, "freezes"), (g7, "cycles")])
def test_a_frozen_collector_and_a_lost_database_lose_and_double_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, figure: ModuleType, count: str
) -> None:
    monkeypatch.setattr(figure, "EVERY", 6.0)
    monkeypatch.setattr(figure, "HOLD", 1.0)
    monkeypatch.setattr(figure, "LAST_PHASE", 20.0)
    lines = figure.run(600, folder, agents=5, **{count: 2})
    assert summed(lines) != "VIOLATED", lines
    assert lines[0].startswith(f"2 {count}")
