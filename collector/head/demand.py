"""How long samples of which series are kept: what loaded rules look at, and nothing else. Pure.

Kinds are the few lengths there are, so that series of one host that are kept equally long share their slots.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from collector.head.matcher import Match, Matcher
from collector.labels import NAME, Labels

# Seconds of the kinds; the first has only the newest samples, the last two are ALL and THIN.
LENGTHS = (
    0.0,
    60.0,
    300.0,
    600.0,
    900.0,
    1800.0,
    3600.0,
    7200.0,
    10800.0,
    21600.0,
    43200.0,
    86400.0,
    172800.0,
    604800.0,
)
NEWEST = 0
ALL = len(LENGTHS)  # as long as the head's retention
THIN = ALL + 1  # a sample every two minutes or so of the last hour, for charts
KINDS = THIN + 1
CHART_SECONDS = 3600.0
CHART_STEP = 130.0  # two of them within the five minutes that rates usually look at


@dataclass(frozen=True, slots=True)
class Want:
    """Somebody looks this many seconds back at the series these matchers accept; 0: at the newest sample."""

    matchers: tuple[Matcher, ...]
    seconds: float = 0.0


class Demand:
    """What is wanted; `rest` is how long everything else is kept, None for the head's retention."""

    def __init__(self, wants: Iterable[Want] = (), rest: float | None = None) -> None:
        self._rest = ALL if rest is None else kind_of(rest)
        self._named: dict[str, list[Want]] = {}
        self._unnamed: list[Want] = []
        for want in wants:
            name = next((m.value for m in want.matchers if m.name == NAME and m.match is Match.EQUAL), None)
            (self._unnamed if name is None else self._named.setdefault(name, [])).append(want)

    def need(self, own: Labels) -> tuple[int, bool]:
        """The kind of a series and whether it is kept for charts as well; `own` may lack labels its host shares."""
        kind, charted = self._rest, False
        for want in (*self._named.get(own.get(NAME), ()), *self._unnamed):
            if _accepts(want.matchers, own):
                kind, charted = max(kind, kind_of(want.seconds)), True
        return kind, charted and kind != ALL and LENGTHS[kind] < CHART_SECONDS


def kind_of(seconds: float) -> int:
    """The shortest kind that is long enough."""
    return next((kind for kind, length in enumerate(LENGTHS) if length >= seconds), ALL)


def slots_of(kind: int, interval: float, most: int) -> int:
    """Slots a block of this kind needs when a sample comes every `interval` seconds; some are for sliding.

    `most` limits the kind that is kept as long as the head's retention.
    """
    if kind == NEWEST:
        return 3
    if kind == ALL:
        return min(32, most)
    seconds, step = (CHART_SECONDS, CHART_STEP) if kind == THIN else (LENGTHS[kind], interval)
    needed = int(seconds / step) + 2
    return needed + max(2 if kind == THIN else 3, needed // 16 if kind == THIN else needed // 8)


def first_of(kind: int, slots: int) -> int:
    """Slots a block that will need so many begins with: an hour's are not laid out before there are samples."""
    return min(slots, 8 if kind == THIN else 32)


def most_of(kind: int, often: int) -> int:
    """How many times the usual slots a block of this kind may have: senders may come more often than usual."""
    return 1 if kind in (NEWEST, THIN) else 4 * often


def _accepts(matchers: Sequence[Matcher], own: Labels) -> bool:
    """A label the series does not have itself may be its host's: that one is not asked."""
    return all(not (value := own.get(m.name)) or m.accepts(value) for m in matchers)
