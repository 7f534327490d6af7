"""The README's picture: made from the real pages, of the size it says, light enough for everyone."""

import struct
from pathlib import Path

import pytest

from tests.web import screenshot


def size(png: bytes) -> tuple[int, int]:
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def test_the_picture_is_there_and_light() -> None:
    picture = screenshot.TARGET.read_bytes()
    assert size(picture) == screenshot.SIZE
    assert len(picture) < screenshot.HEAVIEST


@pytest.mark.server("chromium")
def test_the_picture_can_be_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(screenshot, "ROOT", tmp_path)
    monkeypatch.setattr(screenshot, "TARGET", tmp_path / "images" / "queue.png")
    assert screenshot.main() == 0
    assert size(screenshot.TARGET.read_bytes()) == screenshot.SIZE
    assert capsys.readouterr().out.startswith("images/queue.png: ")
