import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.text import joined, listen_address, normal_fingerprint, plain, split_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("host", ("host", 8443)),
        ("host:1", ("host", 1)),
        ("[::1]:5", ("::1", 5)),
        ("::1", ("::1", 8443)),
        ("[::1]", ("::1", 8443)),
        ("10.0.0.1:65535", ("10.0.0.1", 65535)),
    ],
)
def test_an_address_is_split(text: str, address: tuple[str, int]) -> None:
    assert split_address(text, 8443) == address


@pytest.mark.parametrize("text", ["", ":1", "host:", "host:0", "host:65536", "host:x", "host:²"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not HOST:PORT"):
        split_address(text, 8443)


@pytest.mark.parametrize(
    ("text", "address"), [(":9100", ("", 9100)), ("[::1]:0", ("::1", 0)), ("127.0.0.1:1", ("127.0.0.1", 1))]
)
def test_a_place_to_listen_is_split(text: str, address: tuple[str, int]) -> None:
    assert listen_address(text) == address


@pytest.mark.parametrize("text", ["", "host", "host:65536", "host:-1"])
def test_what_is_no_place_to_listen_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write HOST:PORT"):
        listen_address(text)


def test_an_address_is_joined_with_brackets_where_needed() -> None:
    assert (joined(("host", 1)), joined(("::1", 2))) == ("host:1", "[::1]:2")


@given(st.text())
def test_a_plain_text_is_one_printable_line(text: str) -> None:
    assert plain(text).isprintable()
    assert len(plain(text)) <= 300


@given(st.text())
def test_a_fingerprint_is_64_digits_or_refused(text: str) -> None:
    try:
        digits = normal_fingerprint(text)
    except ValueError:
        return
    assert len(digits) == 64
