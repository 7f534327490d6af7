"""Two sides that can never have equal labels never meet."""

from collections.abc import Iterator

from collector.promql.nodes import Binary, Operator
from collector.promql.survey import is_scalar
from collector.rules.lint.catalogue import Catalogue
from collector.rules.lint.shape import Shape, shape
from collector.rules.lint.subject import Remark, Subject


def check(subject: Subject) -> Iterator[Remark]:
    """Binary operators between vectors where a label they are matched on stands on one side only."""
    for node in subject.nodes:
        lonely = apart(node, subject.world.catalogue) if isinstance(node, Binary) else None
        if isinstance(node, Binary) and lonely is not None:
            label, side = lonely
            message = f"the two sides of {node.operator} never match: only the {side} one has the label {label}"
            yield subject.at_operator(node, message)


def apart(node: Binary, catalogue: Catalogue) -> tuple[str, str] | None:
    """A label that keeps the two sides apart and the side that has it; None: they may meet."""
    if is_scalar(node.left) or is_scalar(node.right) or node.operator in (Operator.OR, Operator.UNLESS):
        return None
    left, right = shape(node.left, catalogue), shape(node.right, catalogue)
    lonely = {(label, "left") for label in _lonely(node, left, right)}
    lonely |= {(label, "right") for label in _lonely(node, right, left)}
    return min(lonely, default=None)


def _lonely(node: Binary, here: Shape, there: Shape) -> frozenset[str]:
    """Labels that decide, that this side always has and the other never."""
    labels = frozenset(node.matching.labels)
    deciding = here.always & labels if node.matching.on else here.always - labels
    return frozenset(label for label in deciding if there.lacks(label))
