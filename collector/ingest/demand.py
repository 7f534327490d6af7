"""What loaded rules look at, told to the head: which series, and how far back. Pure."""

from collections.abc import Iterable, Iterator

from collector.head import HeadStats, Matcher, Want
from collector.promql import Plan
from collector.promql.nodes import Node, Range, Selector
from collector.promql.survey import nodes
from collector.rules.model import Group

LOOKBACK = 300.0
REST = 3600.0  # every series is kept this long while there is room, so that anything can be drawn
_ROOM = 256 * 1024 * 1024
_BYTES_A_SERIES = 33_000.0  # of an hour, at one round a second
_SERIES_A_HOST = 25  # at least; many a host that is known is away, or with another collector
_Matchers = tuple[Matcher, ...]


def wants(groups: Iterable[Group]) -> tuple[Want, ...]:
    """Every series the rules of these groups ask for, with the longest look back at it, in seconds."""
    longest: dict[_Matchers, float] = {}
    for group in groups:
        for rule in group.rules:
            for matchers, seconds in _of_plan(rule.plan, group.query_offset):
                longest[matchers] = max(longest.get(matchers, 0.0), seconds)
    return tuple(Want(matchers, seconds) for matchers, seconds in longest.items())


def rest(stats: HeadStats, before: float, interval: float, known: int = 0) -> float:
    """How long to keep what no rule asks for: an hour while that is little memory, else the newest samples.

    `before` is the last answer; there is some room between giving up and taking up again. `interval` is the seconds
    between two rounds of a host. `known` hosts may come yet: to move what is held while they do would hold them up.
    """
    room = _ROOM if before else _ROOM // 2
    series = max(stats.series, known * _SERIES_A_HOST)
    return REST if series * _BYTES_A_SERIES / interval <= room and stats.bytes <= 2 * room else 0.0


def _of_plan(plan: Plan, offset: float) -> list[tuple[_Matchers, float]]:
    found = list(_looks(plan.root))
    seen = max((seconds for _, seconds in found), default=0.0)
    # A subquery looks back further than the selectors in it say.
    more = 0.0 if seen >= plan.max_range else plan.max_range + LOOKBACK
    later = 0.0 if not offset else offset + LOOKBACK
    return [(matchers, max(seconds, more) + later) for matchers, seconds in found]


def _looks(root: Node) -> Iterator[tuple[_Matchers, float]]:
    windows = {id(node.selector) for node in nodes(root) if isinstance(node, Range)}
    for node in nodes(root):
        match node:
            case Range(selector=selector, seconds=seconds):
                yield selector.matchers, max(0.0, seconds + selector.offset)
            case Selector(matchers=matchers, offset=offset) if id(node) not in windows:
                yield matchers, offset + LOOKBACK if offset > 0 else 0.0
            case _:
                pass
