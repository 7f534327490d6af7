"""One rule under the linter's eye: the rule, where its words stand, and what is known of the world."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from collector.promql.lexer import Token, tokens
from collector.promql.nodes import Binary, Node, Selector, operands
from collector.rules.document import Item
from collector.rules.lint.catalogue import Catalogue
from collector.rules.lint.shape import Shape, name_of, shape
from collector.rules.model import AlertRule, Group, Rule

WARNING = "warning"
NOTE = "note"  # worth knowing, nothing to mend
_KEYWORDS = frozenset(
    {"and", "or", "unless", "by", "without", "on", "ignoring", "group_left", "group_right", "bool", "offset", "atan2"}
)


@dataclass(frozen=True, slots=True)
class Remark:
    """Something doubtful about a rule; line and column count from 1."""

    line: int
    column: int
    message: str
    severity: str = WARNING


@dataclass(frozen=True, slots=True)
class World:
    """What the rules will meet. Seconds."""

    catalogue: Catalogue
    sample_interval: float
    retention: float


@dataclass(frozen=True, slots=True)
class Subject:
    """`item` is the mapping the rule was read from, `place` that of its group."""

    group: Group
    rule: Rule
    item: Item
    place: Item
    world: World
    nodes: tuple[Node, ...]  # of the expression, from left to right

    @property
    def root(self) -> Node:
        """The expression's first node."""
        return self.rule.plan.root

    @property
    def alert(self) -> AlertRule | None:
        """The rule if it is an alert."""
        return self.rule if isinstance(self.rule, AlertRule) else None

    def shape(self, node: Node) -> Shape:
        """Labels of a node's rows."""
        return shape(node, self.world.catalogue)

    def field(self, *names: str) -> Item:
        """The value at `names`, one below the other; the nearest there is."""
        found = self.item
        for name in names:
            found = next((value for key, value in found.pairs if key.text == name), found)
        return found

    def texts(self, name: str) -> Mapping[str, Item]:
        """The values of a mapping of texts, as `labels`."""
        item = self.field(name)
        return {} if item is self.item else {key.text: value for key, value in item.pairs}

    def at(self, item: Item, message: str, offset: int = 0, severity: str = WARNING) -> Remark:
        """A remark at a character of a value."""
        line, column = item.place.of_character(item.text, offset) if item.text else (item.line, item.column)
        return Remark(line, column, message, severity)

    def in_expression(self, offset: int, message: str) -> Remark:
        """A remark at a character of the expression, as it is written in the file."""
        return self.at(self.field("expr"), message, offset)

    def at_selector(self, node: Selector, message: str, word: str = "") -> Remark:
        """A remark at a selector's name, or at a word of it."""
        name = name_of(node)
        same = [one for one in self.nodes if isinstance(one, Selector) and name_of(one) == name]
        starts = [t.start for t in self._tokens() if _means(t, name)] or [0]
        start = starts[min(next(i for i, one in enumerate(same) if one is node), len(starts) - 1)]
        later = (t.start for t in self._tokens() if t.start > start and t.text == word)
        return self.in_expression(next(later, start) if word else start, message)

    def at_operator(self, node: Binary, message: str) -> Remark:
        """A remark at a binary operator."""
        same = [one for one in _in_order(self.root) if one.operator is node.operator]
        starts = [start for start, text in self._operators() if text == node.operator.value] or [0]
        place = next((i for i, one in enumerate(same) if one is node), 0)
        return self.in_expression(starts[min(place, len(starts) - 1)], message)

    def at_bracket(self, number: int, message: str) -> Remark:
        """A remark at the n-th [ of the expression, from 0."""
        starts = [t.start for t in self._tokens() if t.text == "["] or [0]
        return self.in_expression(starts[min(number, len(starts) - 1)], message)

    def _tokens(self) -> tuple[Token, ...]:
        return _split(self.field("expr").text)

    def _operators(self) -> Iterator[tuple[int, str]]:
        """Binary operators with their places: not those in braces, no unary minus."""
        depth, value_before = 0, False
        for token in self._tokens():
            word = token.text.lower()
            depth += (word == "{") - (word == "}")
            operand = token.kind in ("name", "number", "string") and word not in _KEYWORDS
            if not depth and value_before and not operand and word not in ("(", ")", "[", "]", ","):
                yield token.start, word
            value_before = operand or word in (")", "]", "}")


@lru_cache(maxsize=2)
def _split(expression: str) -> tuple[Token, ...]:
    return tuple(tokens(expression))


def _means(token: Token, name: str) -> bool:
    return token.text == name or (token.kind == "string" and token.text[1:-1] == name)


def _in_order(node: Node) -> Iterator[Binary]:
    below = operands(node)
    if isinstance(node, Binary):
        yield from _in_order(node.left)
        yield node
        yield from _in_order(node.right)
        return
    for one in below:
        yield from _in_order(one)
