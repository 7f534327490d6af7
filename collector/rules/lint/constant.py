"""A condition that is always or never true says nothing about a host."""

from collections.abc import Iterator

from collector.promql.nodes import Aggregate, Binary, Call, Node, Number, Operator, Selector
from collector.promql.survey import is_scalar, nodes
from collector.rules.lint.bounds import Bounds, bounds, verdict
from collector.rules.lint.subject import Remark, Subject

_CHOOSES = frozenset({"topk", "bottomk", "limitk", "limit_ratio"})
_OPEN: Bounds = (float("-inf"), float("inf"))


def check(subject: Subject) -> Iterator[Remark]:
    """Comparisons decided before any data, contradictions joined by `and`, and alerts without a condition."""
    for node in subject.nodes:
        if isinstance(node, Binary) and node.operator.compares:
            yield from _comparison(subject, node)
        elif isinstance(node, Binary) and node.operator is Operator.AND:
            yield from _contradiction(subject, node)
    if subject.alert is not None and not _filters(subject.root):
        yield subject.in_expression(0, "always true: the expression has no condition, so it fires for every series")


def _comparison(subject: Subject, node: Binary) -> Iterator[Remark]:
    catalogue = subject.world.catalogue
    decided = verdict(node.operator, bounds(node.left, catalogue), bounds(node.right, catalogue))
    if decided is not None:
        word = "always true" if decided else "never true"
        yield subject.at_operator(node, f"{word}: {_why(subject, node)}")


def _why(subject: Subject, node: Binary) -> str:
    variable = node.right if isinstance(node.left, Number) else node.left
    low, high = bounds(variable, subject.world.catalogue)
    if low == high:
        return f"both sides are numbers that never change ({low:g})"
    return f"its values lie between {low:g} and {high:g}"


def _contradiction(subject: Subject, node: Binary) -> Iterator[Remark]:
    seen: dict[Node, Bounds] = {}
    for left, (low, high) in _conditions(node):
        known = seen.get(left, _OPEN)
        seen[left] = (max(low, known[0]), min(high, known[1]))
        if seen[left][0] > seen[left][1]:
            yield subject.at_operator(node, "never true: the two conditions contradict each other")
            return


def _conditions(node: Node) -> Iterator[tuple[Node, Bounds]]:
    """What `and` asks of one expression, as an interval of its values."""
    if isinstance(node, Binary) and node.operator is Operator.AND:
        yield from _conditions(node.left)
        yield from _conditions(node.right)
    elif isinstance(node, Binary) and isinstance(node.right, Number) and not node.as_bool:
        limit = node.right.value
        match node.operator:
            case Operator.GREATER | Operator.GREATER_EQUAL:
                yield node.left, (limit, _OPEN[1])
            case Operator.LESS | Operator.LESS_EQUAL:
                yield node.left, (_OPEN[0], limit)
            case Operator.EQUAL:
                yield node.left, (limit, limit)


def _filters(node: Node) -> bool:
    """Whether something in the expression decides which rows there are."""
    for one in nodes(node):
        if isinstance(one, Binary):
            compares = one.operator.compares and not one.as_bool and not (is_scalar(one.left) and is_scalar(one.right))
            if compares or one.operator in (Operator.AND, Operator.UNLESS):
                return True
        if isinstance(one, Call) and one.name.startswith("absent"):
            return True
        if isinstance(one, Aggregate) and one.operator in _CHOOSES:
            return True
    return isinstance(node, Selector)  # a series that is there only while something is wrong
