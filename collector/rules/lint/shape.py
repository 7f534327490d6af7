"""Which labels the result of an expression has: always, and at most. Pure; what is not known stays open."""

from dataclasses import dataclass

from collector.head import Match
from collector.labels import NAME
from collector.promql.nodes import Aggregate, Binary, Call, Matching, Node, Operator, Selector, Text, operands
from collector.promql.survey import is_scalar
from collector.rules.lint.catalogue import Catalogue

_SAME_ROWS = frozenset({"topk", "bottomk", "limitk", "limit_ratio"})
_ABSENT = frozenset({"absent", "absent_over_time"})
_BARE = frozenset({"vector", "scalar", "time", "pi"})


@dataclass(frozen=True, slots=True)
class Shape:
    """`always` are labels every row has, `sometimes` those a row can have; None: any."""

    always: frozenset[str] = frozenset()
    sometimes: frozenset[str] | None = None

    def lacks(self, label: str) -> bool:
        """True when no row can have this label."""
        return self.sometimes is not None and label not in self.sometimes

    def only(self, labels: frozenset[str]) -> "Shape":
        """Reduced to some labels."""
        return Shape(self.always & labels, labels if self.sometimes is None else self.sometimes & labels)

    def without(self, labels: frozenset[str]) -> "Shape":
        """Without some labels."""
        return Shape(self.always - labels, None if self.sometimes is None else self.sometimes - labels)

    def plus(self, label: str) -> "Shape":
        """With a label that may be there."""
        return Shape(self.always, None if self.sometimes is None else self.sometimes | {label})


NOTHING = Shape(frozenset(), frozenset())


def shape(node: Node, catalogue: Catalogue) -> Shape:
    """Labels of a node's rows, without the metric's name."""
    match node:
        case Selector():
            return _selector(node, catalogue)
        case Aggregate():
            return _aggregate(node, catalogue)
        case Binary():
            return _binary(node, catalogue)
        case Call():
            return _call(node, catalogue)
        case _:
            below = operands(node)
            return shape(below[0], catalogue) if len(below) == 1 else NOTHING if is_scalar(node) else Shape()


def name_of(node: Selector) -> str:
    """The metric a selector names with =, or nothing."""
    found = [m.value for m in node.matchers if m.name == NAME and m.match is Match.EQUAL]
    return found[0] if len(found) == 1 else ""


def _selector(node: Selector, catalogue: Catalogue) -> Shape:
    asked = frozenset(m.name for m in node.matchers if m.name != NAME and not m.accepts(""))
    metric = catalogue.get(name_of(node))
    if metric is None:
        return Shape(asked)
    return Shape(metric.always | asked, None if metric.sometimes is None else metric.sometimes | asked)


def _aggregate(node: Aggregate, catalogue: Catalogue) -> Shape:
    operand = shape(node.operand, catalogue)
    if node.operator in _SAME_ROWS:
        return operand
    labels = frozenset(node.labels)
    made = operand.without(labels) if node.without else operand.only(labels)
    return made.plus(node.parameter.value) if isinstance(node.parameter, Text) else made


def _call(node: Call, catalogue: Catalogue) -> Shape:
    if node.name in _ABSENT:
        return _absent(node)
    if node.name in _BARE or not node.arguments:
        return NOTHING
    vectors = [argument for argument in node.arguments if not is_scalar(argument) and not isinstance(argument, Text)]
    made = shape(vectors[-1], catalogue) if vectors else NOTHING
    if node.name in ("label_replace", "label_join") and isinstance(node.arguments[1], Text):
        label = node.arguments[1].value
        return Shape(made.always - {label}, made.sometimes).plus(label)
    if node.name == "histogram_quantile":
        return made.without(frozenset({"le"}))
    return made


def _absent(node: Call) -> Shape:
    argument = node.arguments[0]
    below = argument if isinstance(argument, Selector) else next(iter(operands(argument)), None)
    if not isinstance(below, Selector):
        return NOTHING
    labels = frozenset(m.name for m in below.matchers if m.name != NAME and m.match is Match.EQUAL and m.value)
    return Shape(labels, labels)


def _binary(node: Binary, catalogue: Catalogue) -> Shape:
    if is_scalar(node.left):
        return NOTHING if is_scalar(node.right) else shape(node.right, catalogue)
    left = shape(node.left, catalogue)
    if is_scalar(node.right) or node.operator in (Operator.AND, Operator.UNLESS):
        return left
    right = shape(node.right, catalogue)
    if node.operator is Operator.OR:
        every = None if left.sometimes is None or right.sometimes is None else left.sometimes | right.sometimes
        return Shape(left.always & right.always, every)
    return _joined(node.matching, left, right)


def _joined(matching: Matching, left: Shape, right: Shape) -> Shape:
    labels = frozenset(matching.labels)
    if not matching.many:
        if not matching.on:
            return Shape(left.always | right.always, left.sometimes).without(labels)
        return left.only(labels)
    many, one = (left, right) if matching.many == "left" else (right, left)
    made = many.without(frozenset(matching.include))
    for label in matching.include:
        made = made if one.lacks(label) else made.plus(label)
    return Shape(made.always | (one.always & frozenset(matching.include)), made.sometimes)
