import math

import pytest

from collector.presence.returning import Returning


@pytest.mark.parametrize(
    ("came", "looks", "until"),
    [
        ([], [5.0], -math.inf),
        ([1.0], [2.0, 10.0, 11.0, 12.0], 10.0),
        ([1.0, 9.0], [2.0, 10.0, 18.0, 19.0, 20.0], 18.0),
        ([1.0] * 200 + [15.0], [10.0, 16.0], 10.0),  # one of two hundred is a straggler
        ([1.0] * 200 + [15.0, 16.0, 16.0], [10.0, 17.0], 17.0),
    ],
)
def test_a_fleet_returns_while_some_of_it_come(came: list[float], looks: list[float], until: float) -> None:
    returning, left = Returning(), sorted(came)
    for at in looks:
        while left and left[0] <= at:
            returning.came(left.pop(0))
        returning.look(at)
    assert returning.until == until


def test_those_of_an_earlier_return_do_not_count() -> None:
    returning = Returning()
    for _ in range(500):
        returning.came(1.0)
    returning.look(2.0)
    returning.began()
    returning.look(5.0)
    assert returning.until == 2.0
    returning.came(30.0)
    returning.look(31.0)
    assert returning.until == 31.0


def test_a_step_of_the_clock_moves_what_was_seen() -> None:
    returning = Returning()
    returning.came(1.0)
    returning.look(2.0)
    returning.jumped(100.0)
    assert returning.until == 102.0
    returning.look(110.0)
    assert returning.until == 110.0
    returning.look(111.0)
    assert returning.until == 110.0
