import stat
from pathlib import Path

import pytest

from agent import files


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    files.write(tmp_path / "new/deep/key", b"one", files.PRIVATE)
    files.write(tmp_path / "new/deep/key", b"two", files.PRIVATE)
    assert (tmp_path / "new/deep/key").read_bytes() == b"two"
    assert [path.name for path in (tmp_path / "new/deep").iterdir()] == ["key"]
    assert stat.S_IMODE((tmp_path / "new/deep/key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write(tmp_path / "a", b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write(tmp_path / "a", b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"old")]
