"""I7 of the promise, with the real presence, rules, intake and database on a virtual clock."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, example, given, settings
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
@example(117)  # a reboot seven seconds after our start, before the server's next try to reach us
@example(1907428029)  # a reboot while we were gone
@example(505929882)  # the clock moved while we were gone and a server restarted
@example(1477306516)  # a server put to sleep while we were gone
def test_i7_no_ticket_whatever_happens_to_us_while_nobody_is_down(folder: Path, seed: int) -> None:
    """Nobody crashes or is cut off: who was heard has none. Who was not may have one, until it is back."""
    world = build(folder / "world", 5, seed, kinds=PLANNED)
    live(world, horizon=1800.0, restarts=3, jumps=3)
    assert world.at >= START + 1800.0
    assert wrong(world) == []
    heard = {host for host, life in world.lives.items() if not (life.unheard or life.unsure)}
    assert not heard & world.tickets()[0].keys()
    world.store.close()
