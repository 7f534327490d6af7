from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.rules.duration import format_duration, parse_duration
from collector.rules.errors import DurationError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0), ("0s", 0), ("30s", 30), ("5m", 300), ("1h30m", 5400), ("1d2h3m", 93780),
        ("250ms", 0.25), ("1w", 604800), ("1y", 31536000), ("1m500ms", 60.5),
    ],
)  # fmt: skip
def test_a_duration_is_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "5", "5x", "1m1h", "-5m", "1.5h", " 5m", "5m ", "\u0665m", "9" * 18 + "y", "1s1s"]
)
def test_what_prometheus_refuses_is_refused(text: str) -> None:
    with pytest.raises(DurationError):
        parse_duration(text)


@given(st.integers(min_value=0, max_value=10**12))
def test_a_printed_duration_reads_back(milliseconds: int) -> None:
    assert round(parse_duration(format_duration(milliseconds / 1000)) * 1000) == milliseconds


@given(st.text(max_size=30))
def test_any_text_is_a_duration_or_an_error(text: str) -> None:
    with suppress(DurationError):
        assert parse_duration(text) >= 0
