"""The configuration takes exactly the schedules that presence understands."""

from pathlib import Path

import pytest

from collector.config import load
from collector.errors import ConfigError
from collector.presence.hours import days_off, parse


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


@pytest.mark.parametrize("text", ["", "12-25", "01-01, 02-29,2027-03-29"])
def test_days_off_are_taken_and_understood(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.toml").write_text(f'[presence]\ndays_off = "{text}"\n')
    assert load(tmp_path / "c.toml", {}).presence.days_off == text
    days_off(text)


@pytest.mark.parametrize("text", ["13-01", "2027-02-29", "25.12", ",", "12-25,", "20271225", "1-1", "W01-1"])
def test_what_is_no_day_is_named_with_its_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.toml").write_text(f'[presence]\ndays_off = "{text}"\n')
    with pytest.raises(ConfigError, match=r"c\.toml:2: presence\.days_off .* is not a list of days"):
        load(tmp_path / "c.toml", {})
