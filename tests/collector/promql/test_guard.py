import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.promql import PlanError, plan

BOMBS = {
    "parentheses": "(" * 10_000 + "a" + ")" * 10_000,
    "parentheses_in_limit_of_bytes": "(" * 2000 + "a" + ")" * 2000,
    "minus": "-" * 4000 + "a",
    "sums": "a" + "+a" * 2000,
    "powers": "2" + "^2" * 2000,
    "calls": "abs(" * 900 + "a" + ")" * 900,
    "aggregations": "sum(" * 900 + "a" + ")" * 900,
    "subqueries": "a" + "[5m:1m]" * 500,
    "or": "a" + " or a" * 800,
    "braces": "a" + "{" * 4000,
    "quotes": '"' * 4001,
    "open_string": 'a{b="' + "x" * 4000,
    "comments": "#\n" * 2000,
    "commas": "f(" + "," * 4000 + ")",
    "names": "a " * 2000,
    "nul": "a\0b",
    "long_duration": "a[" + "9" * 3000 + "y]",
    "long_offset": "a offset " + "9" * 18 + "y",
    "regex": 'a{b=~"' + "(" * 3000 + '"}',
    "big_regex": 'a{b=~"(((a{1000}){1000}){1000})"}',
    "emoji": "\N{PILE OF POO}" * 1000,
    "at": "a @ 1e300",
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS.keys())
def test_a_bomb_is_refused_within_a_second(text: str) -> None:
    began = time.monotonic()
    with pytest.raises(PlanError):
        plan(text)
    assert time.monotonic() - began < 1.0


def test_the_deepest_allowed_expression_is_planned() -> None:
    assert plan("(" * 100 + "a" + ")" * 100).expression.startswith("((")
    assert plan("-" * 200 + "a").max_range == 0.0
    assert plan("a" + "+a" * 200).max_range == 0.0


def test_a_number_beyond_all_numbers_is_infinite() -> None:
    assert plan("9" * 4000).scalar


def test_one_operator_more_is_refused_at_its_column() -> None:
    with pytest.raises(PlanError, match="more than 200 operators") as caught:
        plan("a" + "+a" * 201)
    assert caught.value.column == 402


def test_operators_in_strings_and_comments_do_not_count() -> None:
    assert plan('a{b="' + "+" * 1000 + '"} #' + "(" * 1000).max_range == 0.0


WORDS = list("()[]{}+-*/%^@,=<>!~`'\"#\n\\\0ż")
WORDS += ["a", "b:c", "sum", "rate", "by", "on", "and", "or", "offset", "5m", "1", "1e9", "Inf", "0x", '"x"']
WORDS += ["bool", "group_left", "label_replace", "topk", "=~", "start()"]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join) | st.text(max_size=200))
def test_any_text_is_planned_or_refused_with_a_column_in_it(text: str) -> None:
    try:
        plan(text)
        column = 1
    except PlanError as error:
        column = error.column
    assert 1 <= column <= max(1, len(text))


def test_many_threads_plan_at_once() -> None:
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(plan, ["(" * 95 + "a" + ")" * 95] * 200, timeout=60))
    assert len(made) == 200


def test_a_process_full_of_bombs_lives() -> None:
    program = (
        "from collector.promql import plan, PlanError\n"
        "for text in ['(' * 2000 + 'a', '-' * 4000 + 'a', 'a' + '[5m:1m]' * 500, 'abs(' * 900]:\n"
        "    try:\n        plan(text)\n    except PlanError:\n        pass\n"
        "print('alive')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == "alive"
