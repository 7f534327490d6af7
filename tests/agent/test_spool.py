"""The spool on a real file, piece by piece, then against a model that kills, damages and fills it as it likes."""

import sqlite3
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from agent.batch import schema_of
from agent.disk import MIB, Disk
from agent.errors import DiskError, DiskFullError
from agent.events import Rewind
from agent.round import Round
from agent.sample import Family, Kind, Sample
from agent.spool import BLOCK, Spool
from czuwak.v1 import ingest_pb2 as pb

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
START = -(2**62)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory where there is one: thousands of small transactions, each of them synced."""
    memory = Path("/dev/shm")  # noqa: S108 - a fresh folder in it
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


def schema(name: str = "up") -> pb.Schema:
    return schema_of(Round(0.0, 0, (Sample(Family(name, Kind.GAUGE, "One."), (), 1.0),)))


def add(spool: Spool, seconds: float, which: pb.Schema | None = None, fill: int = 0) -> int:
    seq = spool.next_seq
    which = which or schema()
    batch = pb.Batch(
        epoch=spool.epoch, seq=seq, boottime_ns=int(seconds * SECOND), schema_hash=which.hash, values=bytes(fill)
    )
    return spool.add(batch, which).number


def opened(folder: Path, epoch: str = "e", **settings: float) -> Spool:
    return Spool(epoch, Disk(folder / "spool.db"), **settings)  # type: ignore[arg-type]


def numbers(spool: Spool, after: int = START) -> list[int]:
    return [entry.number for entry in spool.waiting(after, 10_000)]


def seqs(spool: Spool) -> list[tuple[str, int]]:
    return [(entry.epoch, entry.seq) for entry in spool.waiting(START, 10_000)]


# --- in memory ---


def test_numbers_begin_at_one_and_rise_by_one() -> None:
    spool = Spool("e")
    assert [add(spool, 0), add(spool, 1), add(spool, 2)] == [1, 2, 3]
    assert (spool.first_seq, spool.next_seq, spool.batches) == (1, 4, 3)


def test_an_empty_spool_begins_at_the_next_number() -> None:
    spool = Spool("e")
    assert (spool.first_seq, spool.next_seq, spool.oldest_queued, spool.size) == (1, 1, 1, 0)


def test_a_batch_comes_out_as_it_went_in_with_its_lane() -> None:
    spool = Spool("e")
    batch = spool.batch(add(spool, 5, fill=16), pb.LANE_REPLAY)
    assert batch is not None
    assert (batch.seq, batch.boottime_ns, batch.values, batch.lane) == (1, 5 * SECOND, bytes(16), pb.LANE_REPLAY)


def test_acknowledged_batches_leave_the_memory_after_thirty_minutes() -> None:
    spool = Spool("e")
    for minute in (0, 10, 30):
        spool.acknowledge(add(spool, minute * 60))
    add(spool, 31 * 60)
    assert (spool.dropped, spool.first_seq) == (0, 2)
    assert spool.batch(1, pb.LANE_LIVE) is None


def test_without_a_disk_the_oldest_are_lost_only_when_the_memory_is_full() -> None:
    spool = Spool("e", max_bytes=3000)
    for minute in range(4):
        add(spool, minute * 3600, fill=1000)
    assert (spool.first_seq, spool.dropped) == (3, 2)
    assert spool.size <= 3000
    oldest = spool.batch(3, pb.LANE_REPLAY)
    assert oldest is not None
    assert oldest.lost_before == 2


def test_the_newest_batch_stays_even_when_it_alone_is_too_big() -> None:
    spool = Spool("e", max_bytes=100)
    add(spool, 0, fill=1000)
    assert (spool.batches, spool.dropped) == (1, 0)


def test_an_acknowledgement_is_news_once() -> None:
    spool = Spool("e")
    add(spool, 0)
    assert spool.acknowledge(1)
    assert not spool.acknowledge(1)
    assert not spool.acknowledge(77)
    assert (spool.dropped, spool.batches) == (0, 0)


def test_an_acknowledged_batch_is_found_again_only_by_a_rewind() -> None:
    spool = Spool("e")
    for at in (0, 10, 20):
        add(spool, at)
    spool.acknowledge_below(3)
    assert numbers(spool) == [3]
    rewind = Rewind(since_ns=5 * SECOND, above=START, below=3)
    assert [entry.number for entry in spool.waiting(START, 9, rewind)] == [2, 3]


def test_a_refused_batch_is_a_loss_that_its_successor_tells() -> None:
    spool = Spool("e")
    for at in range(3):
        add(spool, at)
    spool.discard(2)
    spool.discard(2)
    assert (spool.dropped, spool.batches) == (1, 2)
    third = spool.batch(3, pb.LANE_REPLAY)
    assert third is not None
    assert third.lost_before == 1


def test_the_loss_of_the_newest_is_told_by_the_batch_to_come() -> None:
    spool = Spool("e")
    add(spool, 0)
    spool.discard(1)
    successor = spool.batch(add(spool, 1), pb.LANE_LIVE)
    assert successor is not None
    assert successor.lost_before == 1


def test_a_schema_lives_as_long_as_a_batch_that_needs_it() -> None:
    spool = Spool("e")
    old, new = schema("old"), schema("new")
    spool.acknowledge(add(spool, 0, old))
    spool.acknowledge(add(spool, 10, old))
    add(spool, 35 * 60, new)
    assert spool.schema(old.hash) is None
    assert spool.schema(new.hash) == new


def test_the_size_returns_to_nothing() -> None:
    spool = Spool("e")
    for minute in range(5):
        add(spool, minute, schema(f"s{minute}"), fill=10)
    for seq in range(1, 6):
        spool.discard(seq)
    assert spool.size == 0


# --- on disk ---


def test_what_is_acknowledged_in_time_never_touches_the_disk(folder: Path) -> None:
    spool = opened(folder)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    for n in range(200):
        number = add(spool, n * 15)
        spool.acknowledge(number)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_what_waits_for_an_interval_is_on_disk(folder: Path) -> None:
    spool = opened(folder)
    for at in (0, 14):
        add(spool, at)
    assert (spool.stored, spool.next_due) == (0, 15 * SECOND)
    add(spool, 15)
    assert (spool.stored, spool.next_due) == (1, 29 * SECOND)
    spool.keep_up(29 * SECOND)
    assert (spool.stored, spool.batches) == (2, 3)


def test_after_a_kill_everything_older_than_an_interval_is_there_with_its_number(folder: Path) -> None:
    spool = opened(folder)
    for n in range(10):
        add(spool, n * 15, fill=8)
    spool._disk.close()  # type: ignore[union-attr]  # as the kernel does for a process that was killed
    again = opened(folder, epoch="another")
    assert again.epoch == "e"
    assert seqs(again) == [("e", n) for n in range(1, 10)]
    assert again.next_seq == 1 + BLOCK
    assert add(again, 1000) == 1 + BLOCK
    assert numbers(again)[-1] == 1 + BLOCK


def test_a_number_is_never_given_twice_however_the_agent_ends(folder: Path) -> None:
    given: set[int] = set()
    for run in range(6):
        spool = opened(folder)
        taken = {add(spool, run * 1000 + n) for n in range(3)}
        assert not taken & given
        given |= taken
        if run % 2:
            spool.close()
        else:
            spool._disk.close()  # type: ignore[union-attr]


def test_an_orderly_end_writes_everything_and_leaves_no_gap_in_the_numbers(folder: Path) -> None:
    spool = opened(folder)
    for n in range(3):
        add(spool, n)
    spool.acknowledge(2)
    spool.close()
    again = opened(folder)
    assert seqs(again) == [("e", 1), ("e", 3)]
    assert (again.next_seq, again.first_seq, again.batches) == (4, 1, 2)


def test_an_acknowledgement_of_what_is_on_disk_outlives_the_process(folder: Path) -> None:
    spool = opened(folder)
    for n in range(10):
        add(spool, n * 15)
    assert spool.acknowledge(1)
    add(spool, 150)
    spool._disk.close()  # type: ignore[union-attr]
    assert seqs(opened(folder))[0] == ("e", 2)


def test_hours_without_a_collector_live_on_disk_and_not_in_memory(folder: Path) -> None:
    spool = opened(folder)
    for n in range(1500):
        add(spool, n * 15, fill=4000)
    assert spool.dropped == 0
    assert spool.batches == 1500
    assert spool.size < MIB
    assert 5 * MIB < spool.disk_bytes < 8 * MIB
    assert [entry.number for entry in spool.waiting(START, 3)] == [1, 2, 3]
    batch = spool.batch(1, pb.LANE_REPLAY)
    assert batch is not None
    assert batch.values == bytes(4000)


def test_the_schema_of_a_stored_batch_is_stored_once(folder: Path) -> None:
    spool = opened(folder)
    for n in range(5):
        add(spool, n * 15, schema("kept"))
    spool.close()
    again = opened(folder)
    assert again.schema(schema("kept").hash) == schema("kept")
    assert again.schema(b"unknown") is None


def test_the_oldest_are_thinned_to_one_in_four_then_dropped_and_every_loss_is_told(folder: Path) -> None:
    spool = Spool("e", Disk(folder / "spool.db", limit=MIB), max_age_ns=MINUTE)
    for n in range(3000):
        add(spool, n * 15, fill=1000)
    waiting = seqs(spool)
    assert 100 < len(waiting) < 1000
    assert spool.dropped == 3000 - len(waiting)
    batches = [spool.batch(number, pb.LANE_REPLAY) for number in numbers(spool)]
    told = sum(batch.lost_before for batch in batches if batch is not None)
    assert told == spool.dropped
    gaps = {b[1] - a[1] for a, b in pairwise(waiting)}
    assert gaps == {1, 4}
    assert (folder / "spool.db").stat().st_size <= MIB
    spool._disk.close()  # type: ignore[union-attr]
    assert opened(folder).dropped == spool.dropped


def test_no_more_rows_than_the_limit(folder: Path) -> None:
    spool = Spool("e", Disk(folder / "spool.db", most_rows=100), max_age_ns=MINUTE)
    for n in range(500):
        add(spool, n * 15)
    assert spool.stored <= 100
    assert spool.dropped + spool.batches == 500


def test_the_disk_is_given_back_when_all_is_acknowledged(folder: Path) -> None:
    spool = opened(folder)
    for n in range(500):
        add(spool, n * 15, fill=4000)
    assert (folder / "spool.db").stat().st_size > MIB
    for number in numbers(spool):
        spool.acknowledge(number)
    add(spool, 500 * 15)
    assert (spool.batches, spool.stored) == (1, 0)
    assert (folder / "spool.db").stat().st_size < MIB // 4


# --- a disk that does not do ---


class Broken(Disk):
    """A disk that fails as a test wishes."""

    failure: DiskError | None = None

    def change(self, *args: object, **kwargs: object) -> int:
        if self.failure is not None:
            if not isinstance(self.failure, DiskFullError):
                self.close()
            raise self.failure
        return super().change(*args, **kwargs)  # type: ignore[arg-type]

    def open(self) -> None:
        if self.failure is not None and not isinstance(self.failure, DiskFullError):
            raise self.failure
        super().open()


@pytest.mark.parametrize("failure", [DiskError("the disk says no"), DiskFullError("the disk is full")])
def test_a_failing_disk_costs_the_copy_only_and_is_used_again_when_it_works(
    folder: Path, failure: DiskError, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Broken(folder / "spool.db")
    spool = Spool("e", disk)
    disk.failure = failure
    for n in range(20):
        add(spool, n * 15)
    assert (spool.batches, spool.stored, spool.dropped) == (20, 0, 0)
    assert spool.trouble == str(failure)
    assert len([r for r in caplog.records if r.action == "spool_trouble"]) == 1  # type: ignore[attr-defined]
    disk.failure = None
    add(spool, 20 * 15)
    assert (spool.trouble, spool.stored, spool.batches) == ("", 20, 21)
    assert numbers(spool) == list(range(1, 22))


def test_a_disk_that_is_away_at_the_start_brings_its_batches_when_it_comes(folder: Path) -> None:
    first = opened(folder, epoch="old")
    for n in range(5):
        add(first, n * 15)
    first.close()
    disk = Broken(folder / "spool.db")
    disk.failure = DiskError("away")
    spool = Spool("new", disk)
    for n in range(5):
        add(spool, n * 15)
    disk.failure = None
    add(spool, 75)
    assert spool.recovered()
    assert not spool.recovered()
    assert seqs(spool) == [*(("old", n) for n in range(1, 6)), *(("new", n) for n in range(1, 7))]
    assert spool.acknowledge(numbers(spool)[0])
    spool.close()
    assert opened(folder).epoch == "new"


def test_a_file_taken_away_while_it_is_used_is_made_again_without_a_loss(folder: Path) -> None:
    spool = opened(folder)
    for n in range(10):
        add(spool, n * 15)
    for path in folder.iterdir():
        path.unlink()
    add(spool, 150)
    add(spool, 165)
    spool.close()
    assert seqs(opened(folder)) == [("e", n) for n in range(1, 13)]


def test_a_second_agent_in_the_same_folder_harms_nobody(folder: Path) -> None:
    first = opened(folder)
    second = opened(folder, epoch="second")
    for n in range(5):
        add(first, n * 15)
        add(second, n * 15)
    assert "locked" in second.trouble
    assert (first.stored, second.stored, second.epoch) == (4, 0, "second")


def test_a_folder_in_the_place_of_the_file_is_told_and_harms_nothing(folder: Path) -> None:
    (folder / "spool.db").mkdir()
    spool = opened(folder)
    assert "folder" in spool.trouble
    assert add(spool, 0) == 1


@pytest.mark.parametrize("content", [b"", b"\0" * 5000, b"SQLite format 3\0" + b"x" * 9000, b"# a note\n"])
def test_any_foreign_file_makes_room_for_a_spool(folder: Path, content: bytes) -> None:
    (folder / "spool.db").write_bytes(content)
    spool = opened(folder)
    assert spool.trouble == ""
    for n in range(5):
        add(spool, n * 15)
    assert spool.stored == 4


def test_a_foreign_database_makes_room_for_a_spool(folder: Path) -> None:
    with sqlite3.connect(folder / "spool.db") as conn:
        conn.execute("create table books (something)")
    conn.close()
    spool = opened(folder)
    assert spool.trouble == ""
    assert add(spool, 0) == 1


def test_a_row_that_is_not_what_was_written_is_lost_and_counted_alone(folder: Path) -> None:
    spool = opened(folder)
    for n in range(6):
        add(spool, n * 15)
    spool.close()
    with sqlite3.connect(folder / "spool.db") as conn:
        conn.execute("update batch set data = zeroblob(9) where seq = 3")
    conn.close()
    again = opened(folder)
    found = [again.batch(number, pb.LANE_REPLAY) for number in numbers(again)]
    assert [batch.seq if batch else None for batch in found] == [1, 2, None, 4, 5, 6]
    assert (again.dropped, again.batches) == (1, 5)
    fourth = again.batch(numbers(again)[2], pb.LANE_REPLAY)
    assert fourth is not None
    assert (fourth.seq, fourth.lost_before) == (4, 1)


def test_a_damaged_page_costs_its_rows_and_they_are_counted(folder: Path) -> None:
    spool = opened(folder)
    for n in range(200):
        add(spool, n * 15, fill=2000)
    spool.close()
    path = folder / "spool.db"
    data = bytearray(path.read_bytes())
    middle = len(data) * 3 // 4 // 4096 * 4096
    data[middle : middle + 4096] = bytes(4096)
    path.write_bytes(data)
    again = opened(folder)
    assert again.epoch == "e"
    kept = len(seqs(again))
    assert 150 < kept < 200
    assert again.dropped == 200 - kept
    assert not list(folder.glob("*.damaged*"))


def test_a_repair_that_was_cut_short_is_finished_at_the_next_start(folder: Path) -> None:
    spool = opened(folder)
    for n in range(9):
        add(spool, n * 15)
    spool.close()
    (folder / "spool.db").rename(folder / "spool.db.damaged")
    half = opened(folder / "half", epoch="e")
    for n in range(4):
        add(half, n * 15)
    half.close()
    (folder / "half" / "spool.db").rename(folder / "spool.db")
    again = opened(folder)
    assert seqs(again) == [("e", n) for n in range(1, 10)]
    assert (again.dropped, again.batches) == (0, 9)
    assert not list(folder.glob("*.damaged*"))


def test_damage_that_shows_only_in_writing_is_repaired_at_once(folder: Path) -> None:
    spool = opened(folder)
    for n in range(200):
        add(spool, n * 15, fill=2000)
    spool.close()
    path = folder / "spool.db"
    data = bytearray(path.read_bytes())
    data[4096 : 2 * 4096] = b"\xff" * 4096  # which page belongs to which tree: nobody reads it but to write
    path.write_bytes(data)
    again = opened(folder)
    for n in range(200, 210):
        add(again, n * 15, fill=2000)
    again.close()
    assert again.trouble == ""
    assert len(seqs(opened(folder))) == 210


def test_a_header_of_a_newer_format_is_damage_and_no_read_only_disk(folder: Path) -> None:
    spool = opened(folder)
    for n in range(9):
        add(spool, n * 15)
    spool.close()
    path = folder / "spool.db"
    data = bytearray(path.read_bytes())
    data[18] ^= 64  # the file format that writers have to know
    path.write_bytes(data)
    again = opened(folder)
    assert again.trouble == ""
    assert (again.epoch, len(seqs(again)), again.dropped) == ("e", 9, 0)
