import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from collector.tickets.errors import QueryError
from collector.tickets.query import STATES, Field, Query, Term, parse, seconds


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", ()),
        ("  \t ", ()),
        ("printer", (Term(Field.TEXT, ("printer",)),)),
        ('"no space left"', (Term(Field.TEXT, ("no space left",)),)),
        ("-printer", (Term(Field.TEXT, ("printer",), negated=True),)),
        ("host:srv-db-02", (Term(Field.HOST, ("srv-db-02",)),)),
        ("STATE:New,Waiting", (Term(Field.STATE, ("new", "waiting")),)),
        ("state:in-progress", (Term(Field.STATE, ("in_progress",)),)),
        ("prio:1,p2,P1", (Term(Field.PRIORITY, ("P1", "P2")),)),
        ("-owner:me older:2D", (Term(Field.OWNER, ("me",), negated=True), Term(Field.OLDER, ("2d",)))),
        ('company:"Alfa sp. z o.o."', (Term(Field.COMPANY, ("Alfa sp. z o.o.",)),)),
        ("cz-2026-123", (Term(Field.NUMBER, ("CZ-2026-000123",)),)),
        ("number:0123", (Term(Field.NUMBER, ("123",)),)),
        ('"CZ-2026-123"', (Term(Field.TEXT, ("CZ-2026-123",)),)),
        ('a"b c"', (Term(Field.TEXT, ("a",)), Term(Field.TEXT, ("b c",)))),
        (r'"say \"hi\""', (Term(Field.TEXT, ('say "hi"',)),)),
        ("zażółć", (Term(Field.TEXT, ("zażółć",)),)),
    ],
)
def test_a_search_is_read_as(text: str, terms: tuple[Term, ...]) -> None:
    assert parse(text) == Query(terms)


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("foo:bar", 1, "foo: is not known"),
        ("disk http://x", 6, "quotes"),
        ("prio:5", 6, "P1, P2, P3, P4"),
        ("state:lost", 7, "in_progress"),
        ("older:soon", 7, "30m, 12h, 2d"),
        ("number:x", 8, "CZ-2026-000123"),
        ('ab "cd', 4, "not closed"),
        ("host:", 6, "missing"),
        ("prio:1,", 8, "missing"),
        ("a -", 4, "missing"),
        ('""', 1, "missing"),
        (" ".join("x" * 31), 1, "30 conditions"),
        ("x" * 1001, 1001, "1000 characters"),
    ],
)
def test_a_mistake_is_told_with_its_column(text: str, column: int, words: str) -> None:
    with pytest.raises(QueryError) as error:
        parse(text)
    assert error.value.column == column
    assert words in error.value.message
    assert str(column) in str(error.value)


def test_an_age_is_seconds() -> None:
    assert [seconds(age) for age in ("30m", "12h", "2d", "1w")] == [1800, 43200, 172800, 604800]


@given(st.text(max_size=1100))
@example("-" * 999)
@example('"\\')
@example("a:\0")
@example("\ud800")
@example("number:²")
@example("older:1٣d")
def test_no_text_crashes_the_parser_and_what_it_reads_comes_back(text: str) -> None:
    query = _read(text)
    if isinstance(query, QueryError):
        assert 1 <= query.column <= len(text) + 1
    else:
        _comes_back(query)


WORD = st.text(min_size=1, max_size=12).map(str.strip).filter(lambda w: bool(w) and w.isprintable())
TERM = st.one_of(
    st.builds(Term, st.sampled_from([Field.TEXT]), st.tuples(WORD), st.booleans()),
    st.builds(
        Term,
        st.sampled_from([Field.HOST, Field.OWNER, Field.COMPANY, Field.QUEUE, Field.RULE]),
        st.lists(WORD, min_size=1, max_size=3, unique=True).map(tuple),
        st.booleans(),
    ),
    st.builds(Term, st.just(Field.STATE), st.tuples(st.sampled_from(STATES)), st.booleans()),
)


@given(st.lists(TERM, max_size=8))
@example([Term(Field.TEXT, ("CZ-2026-1",)), Term(Field.TEXT, ("-x",)), Term(Field.TEXT, ("a:b",))])
def test_the_canonical_text_reads_back_as_the_same_search(terms: list[Term]) -> None:
    _comes_back(Query(tuple(terms)))


def _read(text: str) -> Query | QueryError:
    try:
        return parse(text)
    except QueryError as error:
        return error


def _comes_back(query: Query) -> None:
    text = str(query)
    if len(text) <= 1000:
        assert parse(text) == query
        assert str(parse(text)) == text
