"""The configuration takes exactly the schedules that presence understands."""

from pathlib import Path

import pytest

from collector.config import load
from collector.errors import ConfigError
from collector.presence.hours import parse


@pytest.mark.parametrize("text", ["", "Mon-Fri 08:00-18:00", "sat 00:00-24:00, Sun-Mon 09:30-10:00"])
def test_a_schedule_is_taken_and_understood(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.toml").write_text(f'[presence]\nkiosk_hours = "{text}"\n')
    assert load(tmp_path / "c.toml", {}).presence.kiosk_hours == text
    parse(text)


@pytest.mark.parametrize(
    "text", ["Mon", "Mon-Fri 18:00-08:00", "Mon 08:00-25:00", "Mon 08:00-08:00", ",", "Foo 08:00-09:00"]
)
def test_what_is_none_is_named_with_its_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.toml").write_text(f'[presence]\nkiosk_hours = "{text}"\n')
    with pytest.raises(ConfigError, match=r"c\.toml:2: presence\.kiosk_hours .* is not a schedule"):
        load(tmp_path / "c.toml", {})
