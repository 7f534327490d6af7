"""When the running agent renews; no collector, no child, a clock of the test's own."""

import json
import sys
from pathlib import Path

import msgspec
import pytest

from agent import files
from agent.identity import FACTS, Facts, half_life, renewal_due
from agent.renewal import Keeper, child, state

DAY = 86400.0


class World:
    """A keeper, what it did, and the time."""

    def __init__(self, folder: Path, not_after: float = 30 * DAY, renew_at: float = 15 * DAY) -> None:
        self.now = 0.0
        self.asked = 0
        self.renewed = 0
        self.problem = ""
        self.folder = folder
        self.facts(not_after, renew_at)
        self.keeper = Keeper(
            folder, folder, self.child, self.told, wall=lambda: self.now, jitter=lambda low, high: (low + high) / 2
        )

    def facts(self, not_after: float, renew_at: float) -> None:
        facts = Facts("a", "pc", "c:1", "", not_after, "c:2", renew_at)
        files.write(self.folder / FACTS, msgspec.json.encode(facts))

    def child(self) -> str:
        self.asked += 1
        if not self.problem:
            self.facts(self.now + 30 * DAY, half_life(self.now, self.now + 30 * DAY))
        return self.problem

    def told(self) -> None:
        self.renewed += 1


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_before_half_of_the_life_nothing_happens_but_an_hourly_look(world: World) -> None:
    world.now = 14.9 * DAY
    assert world.keeper.look() == 3600.0
    assert (world.asked, world.renewed) == (0, 0)


def test_at_half_life_it_is_renewed_once_and_the_stream_opened_anew(world: World) -> None:
    world.now = 15 * DAY
    world.keeper.look()
    world.now += 3600
    world.keeper.look()
    assert (world.asked, world.renewed) == (1, 1)


def test_a_failure_is_tried_again_soon_and_kept_for_status_until_it_is_over(world: World) -> None:
    world.now, world.problem = 16 * DAY, "c:2 refuses connections"
    assert world.keeper.look() == 600.0
    assert state(world.folder).problem == "c:2 refuses connections"
    assert world.renewed == 0
    world.problem = ""
    world.keeper.look()
    assert state(world.folder).problem == ""
    assert (world.asked, world.renewed) == (2, 1)


def test_an_expired_laptop_renews_when_it_is_back(world: World) -> None:
    world.now = 60 * DAY
    world.keeper.look()
    assert world.renewed == 1


def test_a_refused_certificate_is_renewed_even_if_our_clock_says_it_is_good(world: World) -> None:
    world.problem = "away"
    world.keeper.refused()
    world.keeper.look()
    world.problem = ""
    world.keeper.look()
    assert (world.asked, world.renewed) == (2, 1)
    world.keeper.look()
    assert world.asked == 2


def test_a_certificate_of_a_minute_is_looked_at_every_few_seconds(tmp_path: Path) -> None:
    assert World(tmp_path, 60.0, 30.0).keeper.look() == 3.0


def test_without_an_identity_it_waits(tmp_path: Path) -> None:
    world = World(tmp_path)
    (tmp_path / FACTS).unlink()
    assert world.keeper.look() == 3600.0


@pytest.mark.parametrize(
    ("not_after", "renew_at", "now", "due"),
    [
        (30.0, 15.0, 14.0, False),
        (30.0, 15.0, 15.0, True),
        (10.0, 15.0, 11.0, True),  # its clock was wrong when it was made: the end decides
        (40 * DAY, 0.0, 24 * DAY, False),  # written by an older agent
        (40 * DAY, 0.0, 26 * DAY, True),
        (0.0, 0.0, 26 * DAY, False),
    ],
)
def test_half_of_the_life_is_over(not_after: float, renew_at: float, now: float, due: bool) -> None:
    assert renewal_due(Facts("a", "pc", "c:1", "", not_after, "", renew_at), now) is due


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("", ""),
        ("import sys; sys.exit('first\\nczuwak-agent: it \\x1brains')", "it rains"),
        ("import sys; sys.exit(3)", "it ended with 3"),
    ],
)
def test_the_last_line_of_the_child_is_the_problem(script: str, problem: str) -> None:
    told = child([sys.executable, "-c", script])()
    assert told.replace("\ufffd", "").replace("?", "").replace(" ", "") == problem.replace(" ", "")


def test_a_child_that_cannot_start_is_a_problem() -> None:
    assert "did not end by itself" in child(["/nowhere/czuwak-agent"])()


@pytest.mark.parametrize("content", ["", "[]", json.dumps({"problem": 3})])
def test_a_state_that_is_none_is_no_problem(tmp_path: Path, content: str) -> None:
    (tmp_path / "renewal.json").write_text(content)
    assert state(tmp_path).problem == ""
