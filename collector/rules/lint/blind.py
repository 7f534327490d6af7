"""A rule that can give no result with what our agents send is blind: it never wakes anyone."""

from collections.abc import Iterator

from collector.promql.nodes import Binary, Call, Node, Operator, Selector, operands
from collector.promql.survey import is_scalar
from collector.rules.lint.catalogue import Catalogue
from collector.rules.lint.joins import apart
from collector.rules.lint.selectors import unmet
from collector.rules.lint.shape import name_of
from collector.rules.lint.subject import Remark, Subject


def check(subject: Subject) -> Iterator[Remark]:
    """Whole rules whose expression has no row whatever our agents measure."""
    if void(subject.root, subject.world.catalogue):
        yield subject.in_expression(0, "can never match what our agents send")


def void(node: Node, catalogue: Catalogue) -> bool:
    """Whether a node has no row for certain."""
    match node:
        case Selector():
            name = name_of(node)
            return bool(name) and (name not in catalogue or any(unmet(node, catalogue)))
        case Call(name=name) if name.startswith("absent") or name == "scalar":
            return False
        case Binary():
            return _binary(node, catalogue)
        case _:
            return any(void(below, catalogue) for below in operands(node) if not is_scalar(below))


def _binary(node: Binary, catalogue: Catalogue) -> bool:
    left, right = void(node.left, catalogue), void(node.right, catalogue)
    if node.operator is Operator.OR:
        return left and right
    if node.operator is Operator.UNLESS:
        return left
    return left or right or apart(node, catalogue) is not None
