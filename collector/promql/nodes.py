"""The plan of an expression: frozen nodes, free of the parser that made them."""

from dataclasses import dataclass
from enum import StrEnum

from collector.head import Matcher


class Operator(StrEnum):
    """Binary operators."""

    ADD = "+"
    SUBTRACT = "-"
    MULTIPLY = "*"
    DIVIDE = "/"
    MODULO = "%"
    POWER = "^"
    ATAN2 = "atan2"
    EQUAL = "=="
    NOT_EQUAL = "!="
    GREATER = ">"
    LESS = "<"
    GREATER_EQUAL = ">="
    LESS_EQUAL = "<="
    AND = "and"
    OR = "or"
    UNLESS = "unless"

    @property
    def compares(self) -> bool:
        """True for == != > < >= <=."""
        return self in _COMPARISONS

    @property
    def of_sets(self) -> bool:
        """True for and, or, unless."""
        return self in _SETS


_COMPARISONS = frozenset(Operator(text) for text in ("==", "!=", ">", "<", ">=", "<="))
_SETS = frozenset({Operator.AND, Operator.OR, Operator.UNLESS})


@dataclass(frozen=True, slots=True)
class Number:
    """A literal."""

    value: float


@dataclass(frozen=True, slots=True)
class Text:
    """A string literal; only an argument."""

    value: str


class Edge(StrEnum):
    """The ends of the evaluated range; an evaluation at one time has both there."""

    START = "start"
    END = "end"


@dataclass(frozen=True, slots=True)
class Selector:
    """The newest sample of each matching series, `offset` seconds before the evaluation or the `pinned` time (@)."""

    matchers: tuple[Matcher, ...]
    offset: float = 0.0
    pinned: float | Edge | None = None


@dataclass(frozen=True, slots=True)
class Range:
    """All samples of the last `seconds`; only an argument."""

    selector: Selector
    seconds: float


@dataclass(frozen=True, slots=True)
class Subquery:
    """The operand at every whole multiple of `step` in the last `seconds`; only an argument."""

    operand: "Node"
    seconds: float
    step: float
    offset: float = 0.0
    pinned: float | Edge | None = None


@dataclass(frozen=True, slots=True)
class Negate:
    """Unary minus."""

    operand: "Node"


@dataclass(frozen=True, slots=True)
class Call:
    """A function."""

    name: str
    arguments: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Aggregate:
    """An aggregation over groups: by these labels, or by all but these and the name."""

    operator: str
    operand: "Node"
    labels: tuple[str, ...] = ()
    without: bool = False
    parameter: "Node | None" = None


@dataclass(frozen=True, slots=True)
class Matching:
    """Which labels pair the two sides, and which side may have many (`left`, `right`, none)."""

    labels: tuple[str, ...] = ()
    on: bool = False
    many: str = ""
    include: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Binary:
    """An operator between two operands; `as_bool` gives 0 or 1 where a comparison would filter."""

    operator: Operator
    left: "Node"
    right: "Node"
    matching: Matching = Matching()
    as_bool: bool = False


Node = Number | Text | Selector | Range | Subquery | Negate | Call | Aggregate | Binary


@dataclass(frozen=True, slots=True)
class Plan:
    """An expression ready to be evaluated; `max_range` is how far back it looks, in seconds, without the look-back."""

    expression: str
    root: Node
    scalar: bool
    max_range: float


def operands(node: Node) -> tuple[Node, ...]:
    """The nodes directly below one."""
    match node:
        case Range(selector=selector):
            return (selector,)
        case Negate(operand=operand) | Subquery(operand=operand):
            return (operand,)
        case Call(arguments=arguments):
            return arguments
        case Aggregate(operand=operand, parameter=parameter):
            return (operand,) if parameter is None else (parameter, operand)
        case Binary(left=left, right=right):
            return (left, right)
        case _:
            return ()
