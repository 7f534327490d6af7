"""Text to plan, the only module that knows promql-parser.

What the engine cannot do is refused here, by name and column.
"""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import promql_parser as parser

from collector.head import Match, Matcher, MatcherError
from collector.labels import NAME
from collector.promql import guard
from collector.promql.aggregate import AGGREGATIONS
from collector.promql.call import FUNCTIONS
from collector.promql.errors import PlanError
from collector.promql.lexer import ZERO, column_of, for_parser, tokens
from collector.promql.nodes import (
    Aggregate,
    Binary,
    Call,
    Edge,
    Matching,
    Negate,
    Node,
    Number,
    Operator,
    Plan,
    Range,
    Selector,
    Subquery,
    Text,
)
from collector.promql.survey import is_scalar, reach

_MATCHES = {"Equal": Match.EQUAL, "NotEqual": Match.NOT_EQUAL, "Re": Match.REGEX, "NotRe": Match.NOT_REGEX}
_MANY = {"ManyToOne": "left", "OneToMany": "right"}
_EDGES = {"start()": Edge.START, "end()": Edge.END}
_DEFAULT_STEP = 60.0  # of a subquery that names none: Prometheus' default evaluation interval
_LAST = 1e11
_ZERO = timedelta(days=291 * 365 + 7, hours=13)  # lexer.ZERO
_QUOTED = re.compile(r"'([^']*)'")
_NEW_WORDS = frozenset({"smoothed", "anchored", "fill", "fill_left", "fill_right"})
_BYTE_ESCAPE = re.compile(r"\\(?:\\|x[89a-fA-F]|[2-7][0-7]{2})")


def plan(expression: str) -> Plan:
    """The plan of an expression. Raises PlanError with a 1-based column."""
    guard.check(expression)
    _refuse_words(expression)
    return guard.run(_plan, expression)


def _plan(expression: str) -> Plan:
    try:
        tree = parser.parse(for_parser(expression))
    except ValueError as error:
        raise _syntax(expression, str(error)) from None
    root = _node(tree, expression)
    if isinstance(root, Text):
        raise PlanError("the expression is a string, it must be a vector or a number", 1)
    if isinstance(root, Range | Subquery):
        raise PlanError("the expression is a range of samples, a function must take it", column_of(expression, "["))
    return Plan(expression, root, is_scalar(root), reach(root))


def _refuse_words(expression: str) -> None:
    before = ""
    for token in tokens(expression):
        if before == "@" and token.text == "-":
            raise PlanError("a time before 1970 after @ is not supported", token.start + 1)
        if token.text == ZERO:
            raise PlanError("a duration of more than 100 years", token.start + 1)
        if token.kind == "string" and any(m.group() != "\\\\" for m in _BYTE_ESCAPE.finditer(token.text)):
            raise PlanError("a byte above 127 is refused: write the character itself", token.start + 1)
        if token.text.lower() in _NEW_WORDS and before in {")", "]", "}", "name"}:
            raise PlanError(f"{token.text} is not supported", token.start + 1)
        before = "name" if token.kind == "name" else token.text


def _syntax(expression: str, message: str) -> PlanError:
    """The parser tells no place: find the word it quotes, or the bracket it misses."""
    quoted = _QUOTED.search(message)
    if quoted:
        return PlanError(message, column_of(expression, quoted.group(1)))
    if "parenthesis" in message or "brace" in message or "end of input" in message:
        return PlanError(message, max(1, len(expression)))
    if message.startswith("illegal regex for "):
        return PlanError(message, column_of(expression, message.removeprefix("illegal regex for ")))
    return PlanError("this is not a PromQL expression" if message == "invalid promql query" else message, 1)


def _node(tree: Any, text: str) -> Node:
    for kind, make in _MAKERS:
        if isinstance(tree, kind):
            return make(tree, text)
    raise PlanError(f"{type(tree).__name__} is not supported", 1)


def _subquery(tree: Any, text: str) -> Subquery:
    seconds = _seconds(tree.range, text)
    step = _DEFAULT_STEP if tree.step is None else _seconds(tree.step, text)
    return Subquery(_node(tree.expr, text), seconds, step, _offset(tree, text), _pinned(tree, text))


def _selector(tree: Any, text: str) -> Selector:
    if tree.matchers.or_matchers:
        raise PlanError("'or' between matchers is not supported", column_of(text, "or"))
    named = (Matcher(NAME, Match.EQUAL, tree.name),) if tree.name else ()
    matchers = (*named, *(_matcher(m, text) for m in tree.matchers.matchers))
    return Selector(matchers, _offset(tree, text), _pinned(tree, text))


def _offset(tree: Any, text: str) -> float:
    if tree.offset is None or abs(tree.offset) == _ZERO:
        return 0.0
    return _seconds(tree.offset, text)


def _pinned(tree: Any, text: str) -> float | Edge | None:
    """The time after @. Read from its text: the parser's own conversion of it panics on some."""
    if tree.at is None:
        return None
    written = str(tree.at).removeprefix("@ ")
    if written in _EDGES:
        return _EDGES[written]
    if float(written) > _LAST:
        raise PlanError("the time after @ is more than 3000 years from now", column_of(text, "@"))
    return float(written)


def _matcher(tree: Any, text: str) -> Matcher:
    match = _MATCHES[str(tree.op).rpartition(".")[2]]
    try:
        return Matcher(tree.name, match, tree.value)
    except MatcherError as error:
        raise PlanError(str(error), column_of(text, tree.value)) from None


def _seconds(duration: timedelta, text: str) -> float:
    seconds = duration.total_seconds()
    if abs(seconds) > 100 * 365 * 86400:
        raise PlanError("a duration of more than 100 years", column_of(text, "offset"))
    return seconds


def _call(tree: Any, text: str) -> Call:
    name = tree.func.name
    if name not in FUNCTIONS:
        raise PlanError(f"the function {name}() is not supported", column_of(text, name))
    call = Call(name, tuple(_node(argument, text) for argument in tree.args))
    try:
        FUNCTIONS[name].check(call)
    except ValueError as error:
        raise PlanError(f"{name}(): {error}", column_of(text, name)) from None
    return call


def _aggregate(tree: Any, text: str) -> Aggregate:
    name = str(tree.op)
    if name not in AGGREGATIONS:
        raise PlanError(f"the aggregation {name}() is not supported", column_of(text, name))
    parameter = None if tree.param is None else _node(tree.param, text)
    operand = _node(tree.expr, text)
    if tree.modifier is None:
        return Aggregate(name, operand, parameter=parameter)
    without = str(tree.modifier.type).endswith("Without")
    return Aggregate(name, operand, tuple(tree.modifier.labels), without, parameter)


def _binary(tree: Any, text: str) -> Binary:
    name = str(tree.op)
    if name not in set(Operator):
        raise PlanError(f"the operator {name} is not supported", column_of(text, name))
    left, right = _node(tree.lhs, text), _node(tree.rhs, text)
    if tree.modifier is None:
        return Binary(Operator(name), left, right)
    return Binary(Operator(name), left, right, _matching(tree.modifier, text), tree.modifier.return_bool)


def _matching(tree: Any, text: str) -> Matching:
    fill = tree.fill_values
    if fill is not None and (fill.lhs is not None or fill.rhs is not None):
        raise PlanError("fill is not supported", column_of(text, "fill"))
    many = _MANY.get(str(tree.card).rpartition(".")[2], "")
    include = tuple(tree.group_labels or ())
    if tree.matching is None:
        return Matching(many=many, include=include)
    on = str(tree.matching.type).endswith("Include")
    return Matching(tuple(tree.matching.labels), on, many, include)


_MAKERS: tuple[tuple[type, Callable[[Any, str], Node]], ...] = (
    (parser.NumberLiteral, lambda tree, _: Number(float(tree.val))),
    (parser.StringLiteral, lambda tree, _: Text(tree.val)),
    (parser.ParenExpr, lambda tree, text: _node(tree.expr, text)),
    (parser.UnaryExpr, lambda tree, text: Negate(_node(tree.expr, text))),
    (parser.VectorSelector, _selector),
    (
        parser.MatrixSelector,
        lambda tree, text: Range(_selector(tree.vector_selector, text), _seconds(tree.range, text)),
    ),
    (parser.AggregateExpr, _aggregate),
    (parser.Call, _call),
    (parser.BinaryExpr, _binary),
    (parser.SubqueryExpr, _subquery),
)
