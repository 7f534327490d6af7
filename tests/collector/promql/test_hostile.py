"""Expressions made to hurt; `python -m tests.bench` asks five times as many."""

from pathlib import Path

from tests.bench import hostile


def test_each_is_refused_or_answered_within_a_second_and_the_process_lives(tmp_path: Path) -> None:
    found = hostile.answers(tmp_path, 2000)
    assert len(found) == 2000
    assert {one.outcome for one in found} == {"refused", "without an answer", "answered"}
    assert [one for one in found if one.seconds >= hostile.LIMIT] == []
