"""Questions about a plan that need no data: its metrics, how far back it looks, its threshold; and narrowing it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from collector.head import Match, Matcher
from collector.labels import NAME
from collector.promql.nodes import (
    Aggregate,
    Binary,
    Call,
    Edge,
    Negate,
    Node,
    Number,
    Operator,
    Plan,
    Range,
    Selector,
    Subquery,
    operands,
)

Matchers = tuple[Matcher, ...]
Span = tuple[float, float]  # after the first time, up to the second

_SCALAR_CALLS = frozenset({"time", "scalar", "pi", "start", "end", "step", "range", "min_of", "max_of"})
_MIRRORED = {
    Operator.GREATER: Operator.LESS,
    Operator.LESS: Operator.GREATER,
    Operator.GREATER_EQUAL: Operator.LESS_EQUAL,
    Operator.LESS_EQUAL: Operator.GREATER_EQUAL,
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """`left operator limit`, the literal always on the right."""

    left: Plan
    operator: str
    limit: float


def nodes(node: Node) -> Iterator[Node]:
    """A node and everything below it, from left to right."""
    yield node
    for below in operands(node):
        yield from nodes(below)


def is_scalar(node: Node) -> bool:
    """True when a node gives one number and not a vector."""
    match node:
        case Number():
            return True
        case Negate(operand=operand):
            return is_scalar(operand)
        case Call(name=name):
            return name in _SCALAR_CALLS
        case Binary(left=left, right=right):
            return is_scalar(left) and is_scalar(right)
        case _:
            return False


def reach(node: Node) -> float:
    """Seconds of history an evaluation needs: the longest window plus its offset, without the look-back.

    A time fixed with @ stands still while the clock goes on, so it adds nothing.
    """
    match node:
        case Selector(pinned=pinned) | Subquery(pinned=pinned) if pinned is not None:
            return 0.0
        case Range(selector=selector, seconds=seconds):
            return max(0.0, seconds + selector.offset) if selector.pinned is None else 0.0
        case Selector(offset=offset):
            return max(0.0, offset)
        case Subquery(operand=operand, seconds=seconds, offset=offset):
            return max(0.0, seconds + offset + reach(operand))
        case _:
            return max((reach(below) for below in operands(node)), default=0.0)


def metric_names(plan: Plan) -> frozenset[str]:
    """The metrics an expression names with = in its selectors."""
    selectors = (node for node in nodes(plan.root) if isinstance(node, Selector))
    found = (m for s in selectors for m in s.matchers if m.name == NAME and m.match is Match.EQUAL)
    return frozenset(m.value for m in found)


def needs(plan: Plan, start: float, end: float, lookback: float) -> dict[Matchers, Span]:
    """Which samples an evaluation from start to end reads: of the series these match, after one time up to another."""
    found: dict[Matchers, Span] = {}
    for matchers, low, high in _needs(plan.root, (start, end), (start, end), lookback):
        known = found.get(matchers, (low, high))
        found[matchers] = min(low, known[0]), max(high, known[1])
    return found


def threshold(plan: Plan) -> Comparison | None:
    """The first comparison with a literal, from left to right; None without any."""
    for node in nodes(plan.root):
        if isinstance(node, Binary) and node.operator.compares:
            found = _limit(plan, node)
            if found is not None:
                return found
    return None


def restrict(plan: Plan, labels: Mapping[str, str]) -> Plan:
    """The same plan where every selector also asks for these label values."""
    added = tuple(Matcher(name, Match.EQUAL, value) for name, value in sorted(labels.items()))
    return replace(plan, root=_restricted(plan.root, added))


def _limit(plan: Plan, node: Binary) -> Comparison | None:
    left, right = _literal(node.left), _literal(node.right)
    if right is not None and not is_scalar(node.left):
        return Comparison(_part(plan, node.left), str(node.operator), right)
    if left is not None and not is_scalar(node.right):
        return Comparison(_part(plan, node.right), str(_MIRRORED.get(node.operator, node.operator)), left)
    return None


def _literal(node: Node) -> float | None:
    match node:
        case Number(value=value):
            return value
        case Negate(operand=Number(value=value)):
            return -value
        case _:
            return None


def _part(plan: Plan, node: Node) -> Plan:
    return replace(plan, root=node, scalar=False, max_range=reach(node))


def _restricted(node: Node, added: tuple[Matcher, ...]) -> Node:
    match node:
        case Selector(matchers=matchers):
            return replace(node, matchers=(*matchers, *(m for m in added if m not in matchers)))
        case Range(selector=selector):
            return replace(node, selector=replace(selector, matchers=(*selector.matchers, *added)))
        case Call(arguments=arguments):
            return replace(node, arguments=tuple(_restricted(a, added) for a in arguments))
        case Negate() | Aggregate() | Subquery():
            return replace(node, operand=_restricted(node.operand, added))
        case Binary(left=left, right=right):
            return replace(node, left=_restricted(left, added), right=_restricted(right, added))
    return node


def _needs(node: Node, span: Span, whole: Span, lookback: float) -> Iterator[tuple[Matchers, float, float]]:
    """`span` is what this node is asked for, `whole` what the expression is."""
    match node:
        case Selector(matchers=matchers):
            low, high = _moved(node, span, whole)
            yield matchers, low - lookback, high
        case Range(selector=selector, seconds=seconds):
            low, high = _moved(selector, span, whole)
            yield selector.matchers, low - max(seconds, lookback), high
        case Subquery(operand=operand, seconds=seconds, step=step):
            low, high = _moved(node, span, whole)
            yield from _needs(operand, (low - seconds - step, high), whole, lookback)
        case _:
            for below in operands(node):
                yield from _needs(below, span, whole, lookback)


def _moved(node: Selector | Subquery, span: Span, whole: Span) -> Span:
    match node.pinned:
        case None:
            low, high = span
        case Edge.START:
            low = high = whole[0]
        case Edge.END:
            low = high = whole[1]
        case at:
            low = high = at
    return low - node.offset, high - node.offset
