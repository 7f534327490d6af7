import sys
import threading

import pytest

from collector.ingest.gathering import Loop
from collector.ingest.turns import Turns


def test_who_gives_way_waits_until_rules_are_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.ingest.turns._LONGEST", 60.0)
    turns, served = Turns(), threading.Event()

    def serve() -> None:
        turns.give_way()
        served.set()

    other = threading.Thread(target=serve)
    with turns.first():
        other.start()
        assert not served.wait(0.2)
    assert served.wait(30.0)
    other.join()


def test_nobody_waits_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.ingest.turns._LONGEST", 0.01)
    turns = Turns()
    with turns.first():
        turns.give_way()  # comes back


def test_what_waits_for_a_database_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.ingest.turns._LONGEST", 3600.0)
    turns = Turns()
    with turns.first():
        with turns.aside():
            turns.give_way()  # comes back
        assert not turns._free.is_set()
    turns.give_way()


def test_threads_take_short_turns_only_while_rules_are_judged() -> None:
    before = sys.getswitchinterval()
    with Turns().first():
        assert sys.getswitchinterval() == pytest.approx(1e-4)
    assert sys.getswitchinterval() == before > 1e-3


def test_the_event_loop_gives_way_before_each_round() -> None:
    asked: list[int] = []
    loop = Loop(lambda: asked.append(len(asked)))
    try:
        for _ in range(3):
            loop.call_soon(loop.stop)
            loop.run_forever()
    finally:
        loop.close()
    assert asked == [0, 1, 2]
