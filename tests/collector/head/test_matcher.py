import pytest

from collector.head import Match, Matcher, MatcherError


@pytest.mark.parametrize(
    ("match", "pattern", "value", "accepted"),
    [
        (Match.EQUAL, "a", "a", True),
        (Match.EQUAL, "", "", True),
        (Match.NOT_EQUAL, "a", "", True),
        (Match.REGEX, "a", "ab", False),
        (Match.REGEX, "a|b", "b", True),
        (Match.REGEX, "a|bc", "ac", False),
        (Match.REGEX, "a.b", "a\nb", True),
        (Match.REGEX, "(?i)A", "a", True),
        (Match.NOT_REGEX, ".+", "", True),
        (Match.REGEX, "", "", True),
        (Match.REGEX, "zażółć.*", "zażółć gęślą", True),
    ],
)
def test_a_matcher_accepts_whole_values(match: Match, pattern: str, value: str, accepted: bool) -> None:
    assert Matcher("x", match, pattern).accepts(value) is accepted


@pytest.mark.parametrize("pattern", ["(", "a{2000}", "(?=a)", r"\1", "(((a{1000}){1000}){1000})"])
def test_what_re2_cannot_do_is_refused(pattern: str) -> None:
    with pytest.raises(MatcherError, match="invalid regular expression"):
        Matcher("x", Match.REGEX, pattern)


def test_a_pattern_that_kills_other_engines_is_quick() -> None:
    assert not Matcher("x", Match.REGEX, "(a+)+b").accepts("a" * 100_000)


def test_a_matcher_prints_as_in_an_expression() -> None:
    assert str(Matcher("x", Match.NOT_EQUAL, 'a"\\')) == 'x!="a\\"\\\\"'
