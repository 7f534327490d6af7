import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sample import LABEL_BYTES, Family, Kind, labels


def test_labels_are_in_name_order() -> None:
    assert labels(mode="idle", cpu="0") == (("cpu", "0"), ("mode", "idle"))


@given(value=st.text(alphabet=st.characters(codec=None)) | st.text("é\u0301ż", min_size=300, max_size=900))
def test_every_value_fits_the_wire(value: str) -> None:
    ((_, tidy),) = labels(mountpoint=value)
    assert len(tidy.encode()) <= LABEL_BYTES
    assert unicodedata.is_normalized("NFC", tidy)


def test_i13_accents_beyond_what_is_sent_are_not_put_in_order() -> None:
    letter = "a" + "\u0301" * LABEL_BYTES
    assert labels(path=letter + "\u0316" * 20_000) == labels(path=letter[:LABEL_BYTES])


@pytest.mark.parametrize("name", ["", "1x", "a-b", "a b", "ż"])
def test_a_name_prometheus_would_refuse_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not a metric name"):
        Family(name, Kind.GAUGE, "x")


@pytest.mark.parametrize(("name", "kind"), [("a_total", Kind.GAUGE), ("a", Kind.COUNTER)])
def test_a_counter_and_nothing_else_ends_in_total(name: str, kind: Kind) -> None:
    with pytest.raises(ValueError, match="ends in _total"):
        Family(name, kind, "x")
