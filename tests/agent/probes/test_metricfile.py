from string import printable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.exposition import page
from agent.probes.metricfile import TextfileError, parse
from agent.sample import Kind, labels

GOOD = b"""# HELP backup_age_seconds How old.
# TYPE backup_age_seconds gauge
backup_age_seconds{name="db"} 12
# TYPE errors_total counter
errors_total 3
plain 1
"""


def test_samples_kinds_and_help() -> None:
    age, errors, plain = parse(GOOD)
    assert (age.family.help, age.family.kind, age.labels, age.value) == (
        "How old.",
        Kind.GAUGE,
        labels(name="db"),
        12,
    )
    assert (errors.family.name, errors.family.kind) == ("errors_total", Kind.COUNTER)
    assert (plain.family.untyped, age.family.untyped) == (True, False)


def test_an_empty_file_says_nothing() -> None:
    assert parse(b"") == ()


def test_a_last_line_without_an_end_counts() -> None:
    assert [s.value for s in parse(b"a 1\nb 2")] == [1, 2]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"a 1 1700000000000\n", "time of its own"),
        (b"a\n", "text format"),
        (b"a{ 1\n", "text format"),
        (b"a x\n", "text format"),
        (b"\xff\xfe 1\n", "UTF-8"),
        (b"a 1\na 2\n", "twice"),
        (b"up 1\n", "reserved"),
        (b"ALERTS 1\n", "reserved"),
        (b"ALERTS_FOR_STATE 1\n", "reserved"),
        (b"czuwak_host_presence 1\n", "reserved"),
        (b"node_scrape_collector_success 1\n", "reserved"),
        (b"node_textfile_scrape_error 0\n", "reserved"),
        (b"scrape_samples 0\n", "reserved"),
        (b"level:metric:sum 1\n", "reserved"),
        (b'a{instance="x"} 1\n', "only the collector"),
        (b'a{class="x"} 1\n', "only the collector"),
        (b'a{__name__="x"} 1\n', "more than once"),
        (b'a{b="\0"} 1\n', "cannot be taken"),
        (b"a" * 200 + b" 1\n", "not a name"),
        (b"#" * 9000 + b"\n", "longer"),
        (b"a{" + b",".join(b'l%d="x"' % i for i in range(40)) + b"} 1\n", "labels"),
    ],
)
def test_a_file_that_says_what_it_may_not_is_refused_whole(text: bytes, reason: str) -> None:
    with pytest.raises(TextfileError, match=reason):
        parse(GOOD + text)


@given(st.binary(max_size=200) | st.text(printable, max_size=200).map(str.encode))
def test_any_bytes_are_taken_or_refused(data: bytes) -> None:
    try:
        found = parse(data)
    except TextfileError:
        return
    page(found)
    page(found, "application/openmetrics-text")
