from agent.turns import Turns

ADDRESSES = (("one.example", 8443), ("two.example", 8443), ("fd00::1", 9))


def test_collectors_are_tried_in_turn_from_the_one_picked() -> None:
    turns = Turns(ADDRESSES, lambda _: 1)
    assert turns.current == "two.example:8443"
    assert [turns.advance() for _ in range(4)] == [
        "two.example:8443",
        "[fd00::1]:9",
        "one.example:8443",
        "two.example:8443",
    ]
    assert turns.current == "two.example:8443"


def test_one_collector_is_tried_again_and_again() -> None:
    turns = Turns(ADDRESSES[:1])
    assert [turns.advance(), turns.advance()] == ["one.example:8443"] * 2
    assert str(turns) == "one.example:8443"


def test_agents_spread_over_the_collectors() -> None:
    assert len({Turns(ADDRESSES).current for _ in range(200)}) == 3
    assert str(Turns(ADDRESSES)) == "one.example:8443 or two.example:8443 or [fd00::1]:9"
