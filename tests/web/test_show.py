"""Times, durations and numbers as they are read in both languages."""

from collections.abc import Callable

import pytest
from flask import Flask

from tests.web.visitor import Clock, Visit
from web import show


@pytest.fixture
def within(app: Flask) -> Callable[..., str]:
    """Calls a function as if a page in this language were made."""

    def call(language: str, function: Visit, *values: object) -> str:
        with app.test_request_context("/login", headers={"Accept-Language": language}):
            return str(function(*values))

    return call


@pytest.mark.parametrize(
    ("seconds", "english", "polish"),
    [
        (0, "0 s", "0 s"),
        (59.9, "59 s", "59 s"),
        (60, "1 min", "1 min"),
        (3600, "1 h", "1 h"),
        (86_400, "1 day", "1 dzień"),
        (86_400 * 2, "2 days", "2 dni"),
        (-5, "0 s", "0 s"),
    ],
)
def test_a_rough_age_has_one_unit(within: Callable[..., str], seconds: float, english: str, polish: str) -> None:
    assert within("en", show.rough, seconds) == english
    assert within("pl", show.rough, seconds) == polish


def test_a_span_has_two_units(within: Callable[..., str]) -> None:
    assert within("en", show.span, 4320) == "1 h 12 min"
    assert within("pl", show.span, 86_400 * 5 + 7200) == "5 dni 2 h"
    assert within("pl", show.span, 3600) == "1 h"


@pytest.mark.parametrize(
    ("value", "unit", "english", "polish"),
    [
        (0.0412, "ratio", "4.1 %", "4,1 %"),
        (2.1e9, "bytes", "2.1 GB", "2,1 GB"),
        (999_600, "bytes", "1 MB", "1 MB"),
        (512, "bytes", "512 B", "512 B"),
        (1500, "bytes/s", "1.5 kB/s", "1,5 kB/s"),
        (777_600, "seconds", "9 days", "9 dni"),
        (12345.678, "", "12,346", "12 346"),
        (0.5, "", "0.5", "0,5"),
        (-0.0001, "", "0", "0"),
        (None, "", "–", "–"),  # noqa: RUF001 - typography
        (float("nan"), "", "–", "–"),  # noqa: RUF001 - typography
    ],
)
def test_a_number_is_read_with_its_unit(
    within: Callable[..., str], value: float | None, unit: str, english: str, polish: str
) -> None:
    assert within("en", show.number, value, unit) == english
    assert within("pl", show.number, value, unit).replace("\u00a0", " ") == polish


def test_a_moment_has_its_zone_and_its_whole_date(within: Callable[..., str], clock: Clock) -> None:
    got = within("pl", show.stamp, clock.at - 7 * 86_400)
    assert got == '<time datetime="2026-11-16T09:00:00+01:00" title="16 lis 2026, 09:00:00">16 lis, 09:00</time>'
    assert within("en", show.stamp, clock.at).endswith(">09:00</time>")
    assert within("en", show.stamp, None) == ""


def test_summer_time_is_told(within: Callable[..., str]) -> None:
    assert "2026-07-01T14:00:00+02:00" in within("en", show.stamp, 1_782_907_200.0)


@pytest.mark.parametrize(
    ("name", "letters"), [("Anna Kowal", "AK"), ("łucja", "Ł"), ("", "?"), (None, "?"), ("Jan Maria Rokita", "JR")]
)
def test_initials(name: str | None, letters: str) -> None:
    assert show.initials(name) == letters


def test_the_number_spoken_on_the_phone() -> None:
    assert show.short("CZ-2026-000412") == "000412"
