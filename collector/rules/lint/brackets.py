"""The nodes of an expression that are written with [brackets], in the order of the text."""

from collections.abc import Iterator

from collector.promql.nodes import Node, Range, Subquery, operands


def brackets(node: Node) -> Iterator[Node]:
    """Ranges and subqueries."""
    for below in operands(node):
        yield from brackets(below)
    if isinstance(node, Range | Subquery):
        yield node
