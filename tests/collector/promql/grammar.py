"""Random series and random expressions that Debian's Prometheus 2.42 and Prometheus 3 answer alike.

Left out, or built so that it does not matter, because 2.42 differs from 3 by design:
- 2.42 counts the sample on a window's far edge: samples are 7 ms and questions 500 ms past the second, and what is
  inside a subquery, which is evaluated at whole seconds, has no subquery of its own without an odd offset;
- 2.42 extrapolates a counter to zero before it looks how far the window's edge is: rate and increase are asked only of
  counters without gaps that begin before every window;
- 2.42 keeps the name under atan2, and finds the deviation of one NaN or infinity to be 0: neither is asked;
- 2.42 counts many-to-one matches only after a comparison has filtered: no comparison pairs many with one unsaid.
- 2.42 forgets the offset beside @ under timestamp(): not asked;
- which of 0 and -0 is the smallest depends on the order of series: nothing is divided by min or max;
- 2.42 loses samples of a fixed window (@) under predict_linear and quantile_over_time in a range: not asked.
Where rounding could tip a decision (comparisons, floor, topk, ...) the operand's numbers are exact in both.
"""

import random
from dataclasses import dataclass
from typing import TypeVar

from hypothesis import strategies as st

from collector.head import STALE
from collector.labels import Labels

BASE = 1_700_000_000.0
STEP = 15.0
COUNT = 64  # samples of a series without gaps
Points = list[tuple[float, float]]
T = TypeVar("T")


@dataclass(frozen=True)
class Question:
    """An expression and when it is asked; `steps` beyond 1 make it a range."""

    data: int
    expression: str
    at: float
    steps: int
    step: float


def series(data: int) -> dict[Labels, Points]:
    """The series of one data set; its number is in every metric's name."""
    chance = random.Random(data)  # noqa: S311  # repeatable on purpose
    made: dict[Labels, Points] = {}
    for host in "abc"[: chance.randint(1, 3)]:
        for cpu in "01":
            made[_labels(data, "c_total", host=host, cpu=cpu)] = _counter(chance)
        for disk in chance.sample("xyz", chance.randint(0, 3)):
            made[_labels(data, "g", host=host, disk=disk)] = _gauge(chance)
        made[_labels(data, "h", host=host)] = _gauge(chance)
        made[_labels(data, "u", host=host, zone=chance.choice("mn"))] = _unique(chance, len(made))
        made[_labels(data, "odd", host=host)] = _odd(chance)
        os = chance.choice(["linux", "other"])
        made |= _successors(data, chance, host, os)
        made |= _histogram(data, chance, host)
    return made


def _labels(data: int, name: str, **pairs: str) -> Labels:
    return Labels.of({"__name__": f"d{data}_{name}", **pairs})


def _times(chance: random.Random, missing: float) -> list[float]:
    return [BASE + 0.007 + STEP * i for i in range(COUNT) if chance.random() >= missing]


def _counter(chance: random.Random) -> Points:
    value, made = chance.randint(0, 2000) / 4, list[tuple[float, float]]()
    end = chance.randint(COUNT // 2, COUNT)
    for at in _times(chance, 0.0)[:end]:
        value = chance.randint(0, 40) / 4 if chance.random() < 0.08 else value + chance.randint(0, 80) / 4
        made.append((at, value))
    return made


def _gauge(chance: random.Random) -> Points:
    made = list[tuple[float, float]]()
    times = _times(chance, chance.choice([0.0, 0.1, 0.5]))
    for at in times[chance.randint(0, 20) : chance.randint(30, COUNT)]:
        stale = chance.random() < 0.05
        made.append((at, STALE if stale else chance.choice([0.0, 1.0, chance.randint(-400, 400) / 4])))
    return made


def _unique(chance: random.Random, number: int) -> Points:
    return [(at, chance.randint(-50, 50) * 64.0 + number) for at in _times(chance, 0.1)]


def _odd(chance: random.Random) -> Points:
    values = [float("nan"), float("inf"), float("-inf"), 0.0, -0.0, 3.0, -7.25]
    return [(at, chance.choice(values)) for at in _times(chance, 0.2)]


def _successors(data: int, chance: random.Random, host: str, os: str) -> dict[Labels, Points]:
    times = _times(chance, 0.0)
    change = chance.randint(5, COUNT - 5)
    old, new = (_labels(data, "info", host=host, os=os, version=v) for v in "12")
    return {
        old: [*((at, 1.0) for at in times[:change]), (times[change], STALE)],
        new: [(at, 1.0) for at in times[change:]],
    }


def _histogram(data: int, chance: random.Random, host: str) -> dict[Labels, Points]:
    bounds = ["0.1", "0.5", "1", "2.5", "+Inf"]
    kept = [bound for bound in bounds if chance.random() < 0.95]
    counts = [0] * len(bounds)
    made: dict[Labels, Points] = {_labels(data, "t_bucket", host=host, le=bound): [] for bound in kept}
    for at in _times(chance, 0.0):
        for _ in range(chance.randint(0, 6)):
            for place in range(chance.randrange(len(bounds)), len(bounds)):
                counts[place] += 1
        for bound, count in zip(bounds, counts, strict=True):
            if bound in kept:
                made[_labels(data, "t_bucket", host=host, le=bound)].append((at, float(count)))
    return made


_LABELS = ("host", "cpu", "disk", "zone", "os", "version")
_EXACT_WINDOWS = [
    "min_over_time",
    "max_over_time",
    "sum_over_time",
    "count_over_time",
    "last_over_time",
    "present_over_time",
    "changes",
    "resets",
    "idelta",
]
_WINDOWS = ["avg_over_time", "stddev_over_time", "stdvar_over_time", "delta", "deriv", "irate"]
_SMOOTH = [
    "abs",
    "sqrt",
    "exp",
    "ln",
    "log2",
    "log10",
    "sin",
    "cos",
    "tan",
    "atan",
    "sinh",
    "asinh",
    "tanh",
    "deg",
    "rad",
]
_DATES = ["minute", "hour", "day_of_week", "day_of_month", "day_of_year", "days_in_month", "month", "year"]
_EXACT_SHAPES = ("abs({})", "ceil({})", "floor({})", "sgn({})", "round({})", "round({}, 0.5)", "-{}", "(+{})")
_MATCHERS = (
    "",
    "",
    "",
    "",
    "",
    "",
    '{{host="a"}}',
    '{{host!="b"}}',
    '{{host=~"a|c"}}',
    '{{host!~"[bc]"}}',
    '{{host=""}}',
    '{{cpu="0"}}',
)


class Grammar:
    """Draws expressions over one data set. `exact` ones have the same bits in both engines."""

    def __init__(self, draw: st.DrawFn, data: int) -> None:
        self._draw = draw
        self._data = data

    def any(self, depth: int) -> str:
        return self.one((self.exact, self.inexact, self.inexact))(depth)

    def exact(self, depth: int) -> str:
        if depth <= 0:
            return self._selector(self.one(("g", "h", "u", "info", "c_total", "odd", "h", "g")))
        return self.one(
            (
                self._compared,
                self._chosen,
                self._counted,
                self._exact_window,
                self._membership,
                self._relabelled,
                self._scaled,
                self._shaped,
                self._sum,
                self._clock,
                self._missing,
                self._joined,
            )
        )(depth)

    def inexact(self, depth: int) -> str:
        if depth <= 0:
            return self._rate()
        return self.one(
            (
                self._rate_of,
                self._smooth,
                self._average,
                self._divided,
                self._window,
                self._quantile,
                self._predicted,
                self._histogram,
                self._subquery,
            )
        )(depth)

    def one(self, choices: tuple[T, ...] | list[T]) -> T:
        return self._draw(st.sampled_from(choices))

    def _name(self, name: str) -> str:
        return f"d{self._data}_{name}"

    def _selector(self, name: str) -> str:
        return self._name(name) + self.one(_MATCHERS).format() + self._when()

    def _when(self) -> str:
        pinned = ("", "", "", "", " @ 1700000400.5", " @ start()", " @ end()")
        return self.one(("", "", "", " offset 1m", " offset -30s", " offset 7m")) + self.one(pinned)

    def _range(self, name: str, *, free: bool = False) -> str:
        window = self.one(("20s", "45s", "1m", "2m", "5m"))
        return f"{self._name(name)}{self.one(_MATCHERS).format()}[{window}]{'' if free else self._when()}"

    def _counter(self) -> str:
        """Not so far back that the window begins before the counter does."""
        when = self.one(("", "", " offset 1m", " offset -30s", " @ 1700000400.5", " @ end()"))
        return f"{self._name('c_total')}{self.one(_MATCHERS).format()}[{self.one(('45s', '1m', '2m', '4m'))}]{when}"

    def _rate(self) -> str:
        return f"{self.one(('rate', 'increase'))}({self._counter()})"

    def _rate_of(self, _: int) -> str:
        return self._rate()

    def _grouping(self) -> str:
        names = self._draw(st.lists(st.sampled_from(_LABELS), max_size=3, unique=True))
        return self.one(("", f" by ({', '.join(names)})", f" without ({', '.join(names)})"))

    def _matching(self) -> str:
        return self.one(("", "", " on (host)", " ignoring (cpu, disk, zone, os, version)", " on ()"))

    def _number(self) -> str:
        return self.one(("0", "1", "-2.5", "100", "0.25", "NaN", "Inf", f"scalar(sum({self._name('h')}))"))

    def _compared(self, depth: int) -> str:
        operator = self.one(("==", "!=", ">", "<", ">=", "<=", "== bool", "> bool", "<= bool", "!= bool"))
        if self.one((True, False)):
            return f"({self.exact(depth - 1)} {operator} {self._number()})"
        left, right = self._aggregated(depth - 1), self._aggregated(depth - 1)
        return f"({left} {operator} on (host) {right})"

    def _aggregated(self, depth: int) -> str:
        return f"{self.one(('sum', 'min', 'max', 'count'))} by (host) ({self.exact(depth)})"

    def _chosen(self, _: int) -> str:
        kind, number = self.one(("topk", "bottomk")), self.one(("1", "2", "0", "-1", "1.9", "5"))
        return f"{kind}{self._grouping()} ({number}, {self._selector('u')})"

    def _counted(self, depth: int) -> str:
        return f'count_values{self._grouping()} ("{self.one(("value", "host"))}", {self.exact(depth - 1)})'

    def _exact_window(self, depth: int) -> str:
        function = self.one(_EXACT_WINDOWS)
        if depth > 1 and self.one((True, False, False)):
            return f"{function}({self._sub(self.exact(depth - 1))})"
        return f"{function}({self._range(self.one(('g', 'h', 'u', 'info', 'c_total', 'odd')))})"

    def _sub(self, inner: str) -> str:
        """Samples of a subquery stand at whole seconds; a window over them must end half a second off."""
        if "[" in inner and ":" in inner:
            return f"{self._name('h')}[2m:20s]"
        return f"{inner}[{self.one(('1m', '3m', '2m'))}:{self.one(('15s', '30s', '1m', ''))}]"

    def _membership(self, depth: int) -> str:
        operator = self.one(("and", "or", "unless"))
        return f"({self.exact(depth - 1)} {operator}{self._matching()} {self.exact(depth - 1)})"

    def _relabelled(self, depth: int) -> str:
        inner = self.exact(depth - 1)
        return self.one(
            (
                f'label_replace({inner}, "to", "$1-x", "host", "(.).*")',
                f'label_replace({inner}, "host", "$1", "zone", "(.*)")',
                f'label_replace({inner}, "disk", "", "disk", "x")',
                f'label_replace({inner}, "__name__", "n_$1", "host", "(a|b)")',
                f'label_join({inner}, "to", "/", "host", "disk", "none")',
                f"sort({inner})",
                f"sort_desc({inner})",
            )
        )

    def _scaled(self, depth: int) -> str:
        operator, number = self.one(("+", "-", "*", "%")), self.one(("2", "0.5", "-1", "3", "scalar(vector(4))"))
        inner = self.exact(depth - 1)
        return f"({inner} {operator} {number})" if self.one((True, False)) else f"({number} {operator} {inner})"

    def _shaped(self, depth: int) -> str:
        shapes = (*_EXACT_SHAPES, "clamp({}, -5, 20)", "clamp_min({}, 1)", "clamp_max({}, 2.5)", "clamp({}, 3, 1)")
        return self.one(shapes).format(self.exact(depth - 1))

    def _sum(self, depth: int) -> str:
        return f"{self.one(('sum', 'min', 'max', 'count', 'group'))}{self._grouping()} ({self.exact(depth - 1)})"

    def _clock(self, _: int) -> str:
        host = self._name(self.one(("h", "u"))) + self.one(("", " offset 1m", " @ 1700000400.5", " @ end()"))
        date = self.one(_DATES)
        return self.one((f"timestamp({host})", f"{date}()", f"{date}({host} * 1e7)", "vector(time())"))

    def _missing(self, depth: int) -> str:
        return self.one(
            (f"absent({self.exact(depth - 1)})", f"absent_over_time({self._range('g')})", "absent(no{a='b'})")
        )

    def _joined(self, depth: int) -> str:
        many, info = self.exact(depth - 1), self._selector("info")
        return self.one(
            (
                f"({many} * on (host) group_left (os) {info})",
                f"({many} * on (host) group_left (os, version) {info})",
                f"({info} + on (host) group_right () {many})",
                f"({many} - on (host) group_left () {self._aggregated(depth - 1)})",
                f"({many} - {many})",
                f"({self._selector('g')} + on (host) {self._selector('h')})",
                f"({many} + on (host) group_left () {self._selector('g')})",
                f"({self._selector('h')} + ignoring (zone) {self._selector('u')})",
                f"({self._selector('c_total')} > bool on (host) group_left {self._selector('h')})",
                f"({self._selector('g')} >= on (host) group_left (zone) {self._selector('u')})",
            )
        )

    def _smooth(self, depth: int) -> str:
        return f"{self.one(_SMOOTH)}({self.exact(depth - 1)})"

    def _average(self, depth: int) -> str:
        if self.one((True, False)):
            return f"{self.one(('avg', 'max', 'count', 'sum'))}{self._grouping()} ({self.inexact(depth - 1)})"
        return f"{self.one(('avg', 'stddev', 'stdvar'))}{self._grouping()} ({self._finite()})"

    def _finite(self) -> str:
        return self._selector(self.one(("g", "h", "u", "c_total")))

    def _divided(self, depth: int) -> str:
        operator = self.one(("/", "^", "/"))
        if self.one((True, False)):
            return f"({self.exact(depth - 1)} {operator} {self.one(('3', '0', '7', '0.1'))})"
        below = f"{self.one(('sum', 'count'))} by (host) ({self.exact(depth - 1)})"
        return f"({self._aggregated(depth - 1)} {operator} on (host) {below})"

    def _window(self, _: int) -> str:
        return f"{self.one(_WINDOWS)}({self._range(self.one(('g', 'h', 'u')))})"

    def _quantile(self, depth: int) -> str:
        level = self.one(("0.5", "0", "1", "0.9", "-1", "2", "NaN"))
        if self.one((True, False)):
            return f"quantile{self._grouping()} ({level}, {self.exact(depth - 1)})"
        return f"quantile_over_time({level}, {self._range(self.one(('g', 'h', 'odd')), free=True)})"

    def _predicted(self, _: int) -> str:
        name = self.one(("g", "h", "u"))
        if self.one((True, False)):
            return f"holt_winters({self._range(name)}, {self.one(('0.1', '0.5'))}, {self.one(('0.3', '0.9'))})"
        return f"predict_linear({self._range(name, free=True)}, {self.one(('60', '3600', '-30'))})"

    def _histogram(self, _: int) -> str:
        level = self.one(("0.5", "0.9", "0", "1", "-1", "NaN", "0.99"))
        inner = self.one((self._selector("t_bucket"), f"sum by (le) ({self._selector('t_bucket')})"))
        return f"histogram_quantile({level}, {inner})"

    def _subquery(self, _: int) -> str:
        function = self.one(("avg_over_time", "max_over_time", "deriv", "sum_over_time"))
        return f"{function}({self._sub(self._rate())})"


@st.composite
def questions(draw: st.DrawFn, data_sets: int) -> Question:
    """One expression over one of the data sets, at one time or over a few steps."""
    data = draw(st.integers(0, data_sets - 1))
    expression = Grammar(draw, data).any(draw(st.integers(1, 3)))
    at = BASE + draw(st.integers(490, 940)) + 0.5
    steps = draw(st.sampled_from([1, 1, 1, 7]))
    return Question(data, expression, at, steps, draw(st.sampled_from([15.0, 40.0])))
