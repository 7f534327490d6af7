"""Samples into a head, and what comes out of it again."""

import numpy as np
from numpy.typing import NDArray

from collector.head import Head, Match, Matcher, Want
from collector.labels import Labels

NAMES = ("up", "load", "temp", "disk")
ALL = (Matcher("__name__", Match.REGEX, ".+"),)


def series(host: str, *names: str) -> list[Labels]:
    return [Labels.of(__name__=name, instance=host, job="node") for name in names]


def numbers(*values: float) -> NDArray[np.float64]:
    return np.array(values, np.float64)


def newest(head: Head, at: float, *matchers: Matcher) -> dict[str, float]:
    found = head.select(matchers or ALL, at - 300, at)
    latest = found.latest()
    rows = np.flatnonzero(latest.present)
    labels = found.frame.labels(rows.tolist())
    return {
        f"{one.get('instance')}.{one.get('__name__')}": float(latest.values[r])
        for one, r in zip(labels, rows, strict=True)
    }


def windows(head: Head, start: float, end: float) -> dict[Labels, list[tuple[float, float]]]:
    found = head.select(ALL, start, end)
    got = found.windows()
    times = got.times
    return {
        labels: list(
            zip(times[row, : got.counts[row]].tolist(), got.values[row, : got.counts[row]].tolist(), strict=True)
        )
        for row, labels in enumerate(found.frame.labels(range(found.frame.size)))
    }


def want(name: str, seconds: float) -> Want:
    return Want((Matcher("__name__", Match.EQUAL, name),), seconds)


def fill(head: Head, times: range, step: float = 15.0) -> None:
    for tick in times:
        head.append("1", b"s", tick * step, None, numbers(tick, -tick))


def kept(head: Head, name: str, end: float, seconds: float) -> list[float]:
    got = head.select((Matcher("__name__", Match.EQUAL, name),), end - seconds, end).windows()
    return list(got.values[0, : got.counts[0]].tolist())
