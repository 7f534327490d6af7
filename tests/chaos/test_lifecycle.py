"""The lives of G28: what each deserves, by sequences that once were told wrong."""

from pathlib import Path

import pytest

from tests.chaos.lifecycle import START, World, build, wrong

SEED = 14  # its one computer is a server, and does the one thing there is to do


def gone(folder: Path, what: str, *script: tuple[float, str]) -> World:
    """A server that goes and comes, seconds after START; the collector is gone from 100 to 190."""
    world = build(folder, 1, SEED, kinds=(what,))
    life = world.lives["h0"]
    assert (life.identity.class_, life.what) == ("server", what)
    life.script = [(START + at, line) for at, line in script]
    until(world, 100.0)
    world.die()
    life.connect_at = START + 110.0
    until(world, 190.0)
    world.begin()
    until(world, 1000.0)
    return world


def until(world: World, seconds: float) -> None:
    while world.at < START + seconds:
        world.step()


def test_a_shutdown_that_nobody_heard_may_have_a_ticket_and_its_end_closes_it(tmp_path: Path) -> None:
    world = gone(tmp_path / "world", "shutdown", (120.0, "goodbye shutdown"), (700.0, "boot"))
    ever, open_, strange = world.tickets()
    assert (ever["h0"], open_["h0"], strange) == (1, 0, [])
    assert wrong(world) == []
    world.lives["h0"].unheard = False
    assert wrong(world) == ["server h0, shutdown: 1 tickets, 0 open; 0 deserved"]


def test_a_shutdown_that_nobody_heard_and_that_ends_within_the_grace_has_none(tmp_path: Path) -> None:
    world = gone(tmp_path / "world", "shutdown", (120.0, "goodbye shutdown"), (300.0, "boot"))
    assert world.tickets()[0]["h0"] == 0
    assert wrong(world) == []


def test_a_server_that_nobody_heard_and_that_stays_away_has_its_ticket(tmp_path: Path) -> None:
    world = gone(tmp_path / "world", "shutdown", (120.0, "goodbye shutdown"))
    ever, open_, _ = world.tickets()
    assert (ever["h0"], open_["h0"]) == (1, 1)
    assert wrong(world) == []


@pytest.mark.parametrize("what", ["shutdown", "reboot"])
def test_a_goodbye_between_our_start_and_its_next_try_is_heard(tmp_path: Path, what: str) -> None:
    world = gone(tmp_path / "world", what, (195.0, f"goodbye {what}"), (900.0, "boot"))
    assert world.tickets()[0]["h0"] == 0
    assert not world.lives["h0"].unheard
    assert wrong(world) == []


@pytest.mark.parametrize("at", [120.0, 250.0], ids=["told when somebody listens", "heard at once"])
@pytest.mark.parametrize("back", [900.0, 5000.0], ids=["over", "goes on"])
def test_a_pause_has_no_ticket(tmp_path: Path, at: float, back: float) -> None:
    world = gone(tmp_path / "world", "pause", (at, "goodbye user_pause"), (back, "wake"))
    assert world.tickets()[0]["h0"] == 0
    assert not world.lives["h0"].unheard
    assert wrong(world) == []


def test_a_clock_that_was_moved_while_nobody_looked_makes_a_reboot_overdue_until_the_return(tmp_path: Path) -> None:
    world = build(tmp_path / "world", 1, SEED, kinds=("reboot",))
    life = world.lives["h0"]
    life.script = [(START + 60.0, "goodbye reboot"), (START + 500.0, "boot")]
    until(world, 100.0)
    world.die()
    life.connect_at = START + 110.0
    world.move(3600.0)
    until(world, 190.0)
    world.begin()
    until(world, 600.0)
    ever, open_, _ = world.tickets()
    assert (ever["h0"], open_["h0"]) == (1, 0)
    assert wrong(world) == []
    life.unsure = False
    assert wrong(world) == ["server h0, reboot: 1 tickets, 0 open; 0 deserved"]


def test_a_clock_that_was_moved_before_our_eyes_leaves_a_reboot_its_time(tmp_path: Path) -> None:
    world = build(tmp_path / "world", 1, SEED, kinds=("reboot",))
    life = world.lives["h0"]
    life.script = [(START + 60.0, "goodbye reboot"), (START + 500.0, "boot")]
    until(world, 100.0)
    world.move(3600.0)
    until(world, 600.0)
    assert world.tickets()[0]["h0"] == 0
    assert not life.unsure
    assert wrong(world) == []
