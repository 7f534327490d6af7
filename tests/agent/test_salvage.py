"""What a damaged spool still gives, and that the rest of it is counted."""

import re
from pathlib import Path

import pytest

from agent.disk import PAGE
from tests.chaos.g25 import BATCHES, SCHEMA, original, tried


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


@pytest.mark.parametrize("is_", [6, 7 ^ 16, 119, 127])
def test_a_row_that_stands_at_another_place_is_counted_and_hides_no_other(tmp_path: Path, is_: int) -> None:
    """Every page can be read, but a search for a place goes past rows, or finds one twice."""
    files = original(tmp_path)
    data = bytearray(files["spool.db"])
    (row,) = re.finditer(rb"\x07[\x08-\x14]\x00\x16", data)  # place 7, then a record: no value, five bytes of text
    data[row.start()] = is_
    result = tried({**files, "spool.db": bytes(data)}, tmp_path)
    assert result.started, result.problem
    assert (result.kept, result.exact, result.later) == (BATCHES - 1, True, 0)


def test_a_page_that_stands_in_the_place_of_another_as_well_is_read_once(tmp_path: Path) -> None:
    files = original(tmp_path)
    data = bytearray(files["spool.db"])
    pages = [at for at in range(0, len(data), PAGE) if data[at] == 13 and SCHEMA.hash in data[at : at + PAGE]]
    data[pages[3] : pages[3] + PAGE] = data[pages[9] : pages[9] + PAGE]
    result = tried({**files, "spool.db": bytes(data)}, tmp_path)
    assert result.started, result.problem
    assert (result.exact, result.later) == (True, 0)
    assert BATCHES - 20 < result.kept < BATCHES
