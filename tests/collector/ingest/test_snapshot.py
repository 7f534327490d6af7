from pathlib import Path

import numpy as np
import pytest

from collector.head import Head, Match, Matcher
from collector.ingest.snapshot import MAGIC, Snapshot
from collector.labels import Labels

AT = 1_800_000_000.0
ONE = (Matcher("__name__", Match.EQUAL, "m"),)


def filled(hosts: int = 3) -> Head:
    head = Head()
    for host in range(hosts):
        head.register(f"{host}", b"s", [Labels.of(__name__="m", instance=f"pc{host}")])
        for tick in range(10):
            head.append(f"{host}", b"s", AT - 150 + tick * 15, None, np.array([float(tick)]))
    return head


def windows(head: Head) -> list[list[float]]:
    found = head.select(ONE, AT - 300, AT).windows()
    return [row[:count].tolist() for row, count in zip(found.values, found.counts, strict=True)]


def restored(path: Path) -> Head:
    head = Head()
    Snapshot(path).restore(head, AT)
    return head


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "state" / "head.snapshot"
    Snapshot(made).finish(filled(), AT)
    return made


def test_the_windows_come_back_after_a_restart(path: Path) -> None:
    assert windows(restored(path)) == [[float(tick) for tick in range(10)]] * 3
    assert [file.name for file in path.parent.iterdir()] == ["head.snapshot"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_fleet_is_taken_up_for_as_long_as_there_is_room(tmp_path: Path) -> None:
    path, head, sizes = tmp_path / "head.snapshot", Head(), list[int]()
    Snapshot(path).finish(filled(250), AT)
    Snapshot(path).restore(head, AT, lambda: sizes.append(head.stats.hosts))
    assert sizes == [100, 200]


def test_it_is_written_in_slices_when_it_is_time(tmp_path: Path) -> None:
    path = tmp_path / "head.snapshot"
    snapshot, head = Snapshot(path, every=300.0), filled(200)
    snapshot.restore(head, AT)
    snapshot.step(head, AT + 299.0)
    assert snapshot._writer is None
    snapshot.step(head, AT + 300.0)
    writer = snapshot._writer
    assert writer is not None
    while snapshot._records is not None:
        snapshot.step(head, AT + 301.0)
    writer.join()
    snapshot.step(head, AT + 302.0)
    assert snapshot._writer is None
    assert len(windows(restored(path))) == 200


def test_a_cut_snapshot_gives_what_is_whole(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        assert len(windows(restored(path))) <= 3
    assert "is not whole" in caplog.text
    path.write_bytes(whole[:-1])
    assert len(windows(restored(path))) == 3


def test_no_flipped_byte_stops_the_start(path: Path) -> None:
    whole = path.read_bytes()
    for place in range(0, len(whole), 3):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        assert all(row == [float(tick) for tick in range(10)] for row in windows(restored(path)))


def test_another_version_and_a_folder_in_its_place_are_passed_over(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(MAGIC, b"czuwak head 9\n"))
    assert windows(restored(path)) == []
    assert windows(restored(path.parent)) == []
    assert windows(restored(path.with_name("nothing"))) == []


def test_a_snapshot_that_cannot_be_written_leaves_the_old_one(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.with_name("head.snapshot.new").mkdir()
    Snapshot(path).finish(filled(9), AT)
    assert "is not written" in caplog.text
    assert len(windows(restored(path))) == 3


def test_its_size_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "head.snapshot"
    Snapshot(path, most=1000).finish(filled(9), AT)
    assert 0 < len(windows(restored(path))) < 5
