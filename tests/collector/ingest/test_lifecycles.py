"""I7 of the promise, with the real presence, rules, intake and database on a virtual clock."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.chaos.lifecycle import START, build, live, wrong

PLANNED = ("shutdown", "reboot", "sleep", "pause", "quiet")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="cz-") as name:
        yield Path(name)


def test_i7_no_host_down_while_we_are_unhealthy_or_it_said_goodbye(folder: Path) -> None:
    """Fifty lives of all kinds, the collector killed twice, the database's clock moved twice."""
    world = build(folder / "world", 50, 28)
    live(world)
    assert wrong(world) == []
    world.store.close()


@settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**31))
def test_i7_no_ticket_whatever_happens_to_us_while_nobody_is_down(folder: Path, seed: int) -> None:
    world = build(folder / "world", 5, seed, kinds=PLANNED)
    live(world, horizon=1800.0, restarts=3, jumps=3)
    assert world.at >= START + 1800.0
    assert world.tickets()[0].total() == 0
    world.store.close()
