"""Replacing fields of a frozen class gives what the standard library gives."""

from dataclasses import FrozenInstanceError, dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.replacing import replacing


@dataclass(frozen=True, slots=True)
class Book:
    title: str
    pages: int = 0
    read: tuple[int, ...] = ()


replaced = replacing(Book)


@given(
    st.builds(Book),
    st.fixed_dictionaries(
        {}, optional={"title": st.text(), "pages": st.integers(), "read": st.lists(st.integers()).map(tuple)}
    ),
)
def test_it_is_the_standard_library_s_replace(book: Book, changes: dict[str, object]) -> None:
    before = replace(book)
    assert replaced(book, **changes) == replace(book, **changes)  # type: ignore[arg-type]
    assert book == before


def test_the_copy_is_frozen_too() -> None:
    with pytest.raises(FrozenInstanceError):
        replaced(Book("a"), pages=1).pages = 2  # type: ignore[misc]


def test_a_field_that_is_not_there_is_refused() -> None:
    with pytest.raises(KeyError, match="colour"):
        replaced(Book("a"), colour="red")
