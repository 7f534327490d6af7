"""The head against a dict of lists."""

from functools import cache

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from collector.head import Head, Match, Matcher, UnknownSchemaError
from collector.labels import Labels
from tests.collector.head.fill import NAMES, newest, series, windows


@cache
def own(names: tuple[str, ...]) -> tuple[Labels, ...]:
    """The same object each time, as a fleet's hosts share it."""
    return tuple(Labels.of(__name__=name) for name in names)


class HeadAgainstLists(RuleBasedStateMachine):
    """One host per letter; the model is a dict of lists of (time, value)."""

    @initialize()
    def begin(self) -> None:
        self.head = Head(retention=1000.0, max_samples=64)
        self.model: dict[Labels, dict[float, float | None]] = {}
        self.schemas: dict[str, tuple[str, ...]] = {}
        self.slots: dict[str, set[float]] = {}
        self.clock = 1000.0

    @rule(
        host=st.sampled_from("ab"),
        names=st.lists(st.sampled_from(NAMES), unique=True, min_size=1),
        whole=st.booleans(),
    )
    def register(self, host: str, names: list[str], *, whole: bool) -> None:
        self.schemas[host] = tuple(names)
        schema = ",".join(names).encode()
        if whole:
            self.head.register(host, schema, series(host, *names))
        else:
            self.head.register(host, schema, own(tuple(names)), Labels.of(instance=host, job="node"))

    @rule(host=st.sampled_from("ab"), step=st.integers(1, 40), mask=st.lists(st.booleans(), min_size=4, max_size=4))
    def append(self, host: str, step: int, mask: list[bool]) -> None:
        self.clock += step
        self.write(host, self.clock, mask, old=False)

    @rule(host=st.sampled_from("ab"), back=st.integers(0, 900))
    def append_old(self, host: str, back: int) -> None:
        self.write(host, self.clock - back, [True] * 4, old=True)

    def write(self, host: str, at: float, mask: list[bool], *, old: bool) -> None:
        if host not in self.schemas or (old and len(self.slots.get(host, ())) > 50):
            return
        names = self.schemas[host]
        values = np.arange(len(names), dtype=np.float64) + at
        put = self.head.append_old if old else self.head.append
        schema = ",".join(names).encode()
        try:
            put(host, schema, at, np.array(mask[: len(names)]), values)
        except UnknownSchemaError:  # it was silent for longer than the retention
            self.head.register(host, schema, series(host, *names))
            put(host, schema, at, np.array(mask[: len(names)]), values)
        taken = self.slots.setdefault(host, set())
        if at not in taken:
            taken.add(at)
            for labels, value, present in zip(series(host, *names), values.tolist(), mask, strict=False):
                self.model.setdefault(labels, {})[at] = value if present else None

    @rule(host=st.sampled_from("ab"))
    def silence(self, host: str) -> None:
        newest = self.head.newest(host)
        self.clock += 1
        self.head.mark_stale(host, self.clock)
        if newest is not None:
            self.slots[host].add(self.clock)

    @rule(host=st.sampled_from("ab"))
    def remove(self, host: str) -> None:
        self.head.remove(host)
        self.schemas.pop(host, None)
        self.slots.pop(host, None)
        self.model = {labels: points for labels, points in self.model.items() if labels.get("instance") != host}

    @rule()
    def compact(self) -> None:
        self.head.compact(self.clock)
        oldest = self.clock - 1000.0
        self.slots = {host: {t for t in times if t >= oldest} for host, times in self.slots.items()}
        self.model = {k: {t: v for t, v in points.items() if t >= oldest} for k, points in self.model.items()}

    @rule(width=st.integers(1, 600), back=st.integers(0, 100))
    def compare(self, width: int, back: int) -> None:
        end = self.clock - back
        got = {labels: points for labels, points in windows(self.head, end - width, end).items() if points}
        wanted = {
            labels: [(t, v) for t, v in sorted(points.items()) if end - width < t <= end and v is not None]
            for labels, points in self.model.items()
        }
        assert got == {labels: points for labels, points in wanted.items() if points}
        assert newest(self.head, end) == {
            f"{labels.get('instance')}.{labels.get('__name__')}": value
            for labels in self.model
            if (value := self.value_at(labels, end)) is not None
        }

        named = newest(self.head, end, Matcher("__name__", Match.EQUAL, "up"))
        assert named == {key: v for key, v in newest(self.head, end).items() if key.endswith(".up")}

    def value_at(self, labels: Labels, at: float) -> float | None:
        slots = [t for t in self.slots.get(labels.get("instance"), set()) if at - 300 < t <= at]
        return self.model[labels].get(max(slots)) if slots else None


HeadAgainstLists.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestHeadAgainstLists = HeadAgainstLists.TestCase
