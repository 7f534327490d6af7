"""The text of one side of a comparison, cut from its expression: what a chart of that side asks for again."""

import re
from collections.abc import Iterator, Sequence

from collector.promql.errors import PlanError
from collector.promql.lexer import Token, tokens
from collector.promql.nodes import Plan
from collector.promql.plan import plan

_COMPARISONS = frozenset({"==", "!=", "<=", ">=", "<", ">"})
_MODIFIER = re.compile(r"(?:bool\b|(?:on|ignoring)\s*\([^)]*\))\s*", re.IGNORECASE)  # of the operator before
_SETS = frozenset({"and", "or", "unless"})


def excerpt(part: Plan) -> str:
    """The piece of `part.expression` that plans to `part`; empty where none of its comparisons has such a side."""
    words = list(tokens(part.expression))
    seen = set()
    for text in _sides(part.expression, words):
        if text not in seen and _is(text, part):
            return text
        seen.add(text)
    return ""


def _sides(expression: str, words: Sequence[Token]) -> Iterator[str]:
    """What stands left and right of every comparison, up to the bracket, comma or set operator around it."""
    depths, places = _depths(words), [*(word.start for word in words), len(expression)]
    for at, word in enumerate(words):
        if word.text not in _COMPARISONS:
            continue
        ends = [
            i for i, (other, depth) in enumerate(zip(words, depths, strict=True)) if _ends(other, depth, depths[at])
        ]
        first = max((i + 1 for i in ends if i < at), default=0)
        last = min((i for i in ends if i > at), default=len(words))
        yield _bare(expression[places[first] : word.start])
        yield _bare(expression[places[at + 1] : places[last]])


def _bare(text: str) -> str:
    modifier = _MODIFIER.match(text.strip())
    return text.strip()[modifier.end() if modifier else 0 :]


def _ends(word: Token, depth: int, level: int) -> bool:
    return depth < level or (depth == level and word.text.lower() in _SETS | {","})


def _depths(words: Sequence[Token]) -> list[int]:
    """How deep in brackets each word stands; a bracket itself belongs to what is around it."""
    depths, depth = [], 0
    for word in words:
        depth -= word.text in {")", "]", "}"}
        depths.append(depth)
        depth += word.text in {"(", "[", "{"}
    return depths


def _is(text: str, part: Plan) -> bool:
    try:
        return bool(text) and plan(text).root == part.root
    except PlanError:
        return False
