"""What a damaged spool still gives, and that the rest of it is counted."""

from pathlib import Path

import pytest

from tests.chaos.g25 import BATCHES, original, tried


@pytest.mark.parametrize("left", [0.9, 0.6, 0.3])
def test_a_file_whose_end_was_cut_off_gives_what_is_there_and_the_rest_is_counted(tmp_path: Path, left: float) -> None:
    files = original(tmp_path)
    data = files["spool.db"]
    result = tried({**files, "spool.db": data[: int(left * len(data))]}, tmp_path)
    assert result.started, result.problem
    assert result.exact
    assert 0 < result.kept < BATCHES


@pytest.mark.parametrize(
    ("was", "is_"),
    [(b"SQLite format 3", b"SQLite format 4"), (b"checksum integer", b"checksun integer"), (b"books", b"bunks")],
)
def test_a_first_page_that_leads_nowhere_costs_nothing(tmp_path: Path, was: bytes, is_: bytes) -> None:
    files = original(tmp_path)
    assert was in files["spool.db"][:4096]
    result = tried({**files, "spool.db": files["spool.db"].replace(was, is_)}, tmp_path)
    assert result.started, result.problem
    assert (result.kept, result.exact) == (BATCHES, True)
