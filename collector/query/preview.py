"""Expressions people type: read and evaluated in a helper process with limits; a hostile one costs the helper.

The helper is kept between questions and replaced when it dies or takes too long. It has no data of its own: it says
which samples an expression needs, and is given a bounded copy of those. What the head's owner does for it is bounded
too: no typed text is parsed, no typed pattern matched and nothing evaluated there.
"""

import json
import os
import resource
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import IO, Any, Protocol, TypeVar

from collector.head import Head, HeadError, Match, Matcher, Selection, Symbols, compiled
from collector.head.extract import Extract, distinct, extract, unpack
from collector.labels import Labels
from collector.promql import EvaluationError, Line, PlanError, evaluate_range, metric_names, needs, plan
from collector.query.errors import PreviewError

SECONDS = 1.0  # of the helper for one expression
STARTING = 20.0  # seconds the helper may take to be ready, beside the answer's
MEMORY = 1 << 30  # bytes of address space
BUDGET = 10_000_000  # values that one evaluation may work on
LOOKBACK = 300.0
MOST_SELECTORS = 30  # of one expression
MOST_LOOKED_AT = 300_000  # series gone through for one selector
MOST_SERIES = 20_000  # of one selector
MOST_SAMPLES = 3_000_000  # of all selectors
MOST_VALUES = 50_000  # of one label, to be tried against a pattern
_MOST = 64 << 20  # bytes of one answer
_REGEX = frozenset({Match.REGEX, Match.NOT_REGEX})

T = TypeVar("T")


class Owner(Protocol):
    """Runs a short piece of work where the head's owner is, and waits for it."""

    def __call__(self, work: Callable[[Head], T]) -> T:
        """`work(head)`; raises what it raises."""


@dataclass(frozen=True, slots=True)
class Previewed:
    """What became of an expression: its lines, the metrics it names, how far back it looks."""

    lines: tuple[Line, ...]
    metrics: frozenset[str]
    max_range: float


@dataclass(frozen=True, slots=True)
class _Need:
    """Samples after `low` up to `high`, of the series that these match and, in the helper, some patterns."""

    matchers: tuple[Matcher, ...]
    low: float
    high: float


class Preview:
    """One helper at a time; questions of several threads wait for each other."""

    def __init__(self, *, seconds: float = SECONDS, memory: int = MEMORY) -> None:
        self._seconds = seconds
        self._memory = memory
        self._lock = threading.Lock()
        self._helper: subprocess.Popen[bytes] | None = None

    def preview(
        self, expression: str, owner: Owner, *, start: float = 0.0, end: float = 0.0, step: float = 60.0
    ) -> Previewed:
        """The expression over the head's samples from start to end.

        Raises PlanError for what is no expression, EvaluationError where the samples allow no answer or are too many,
        PreviewError when it takes longer than the limit, needs more memory than the limit, or kills the helper, and
        what `owner` raises.
        """
        asked = {"expression": expression, "range": [start, end, step]}
        with self._lock:
            left = self._seconds
            answer, left = self._ask({"do": "read", **asked}, (), left)
            wanted = [_need(*one) for one in answer["needs"]]
            copies, samples = list[bytes](), MOST_SAMPLES
            for need, patterns in zip(wanted, answer["patterns"], strict=True):
                accepted: dict[str, list[str]] = {}
                if patterns:
                    values = _owned(owner, partial(_values, need, tuple(patterns)))
                    found, left = self._ask({"do": "match", "patterns": patterns, "values": values}, (), left)
                    accepted = found["accepted"]
                copy = _owned(owner, partial(_copy, need, accepted, samples))
                samples -= copy.samples
                copies.append(copy.pack())
            answer, left = self._ask({"do": "draw", **asked}, copies, left)
        lines = tuple(Line(Labels.of(pairs), tuple(at), tuple(values)) for pairs, at, values in answer["lines"])
        return Previewed(lines, frozenset(answer["metrics"]), answer["max_range"])

    def close(self) -> None:
        """End the helper; the next question starts another."""
        with self._lock:
            self._end()

    def _ask(self, question: Mapping[str, Any], copies: Sequence[bytes], left: float) -> tuple[dict[str, Any], float]:
        """The answer, and the seconds that are left for more. Raises PlanError, EvaluationError, PreviewError."""
        helper = self._helper
        if helper is None or helper.poll() is not None:
            self._end()
            helper = self._helper = _start(self._memory, self._seconds)
            self._answer(helper, time.monotonic() + STARTING)
        began = time.monotonic()
        head = json.dumps({**question, "sizes": [len(copy) for copy in copies]}).encode() + b"\n"
        try:
            _write(_pipe(helper.stdin).fileno(), b"".join((head, *copies)), began + left)
        except (OSError, PreviewError):
            self._end()
            if time.monotonic() >= began + left:
                raise PreviewError(_late(self._seconds)) from None
            raise PreviewError("the helper has ended") from None
        answer = self._answer(helper, began + left)
        return _told(answer), left - (time.monotonic() - began)

    def _answer(self, helper: subprocess.Popen[bytes], until: float) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = json.loads(_line(_pipe(helper.stdout).fileno(), until, self._seconds))
        except (PreviewError, ValueError):
            self._end()
            raise
        return answer

    def _end(self) -> None:
        helper, self._helper = self._helper, None
        if helper is not None:
            helper.kill()
            helper.communicate()


# --- where the head's owner is ---


def _owned(owner: Owner, work: Callable[[Head], T]) -> T:
    try:
        return owner(work)
    except HeadError as error:
        raise EvaluationError(str(error)) from None


def _values(need: _Need, names: Sequence[str], head: Head) -> dict[str, tuple[str, ...]]:
    return distinct(_selected(need, head), names, MOST_VALUES)


def _copy(need: _Need, accepted: Mapping[str, Sequence[str]], samples: int, head: Head) -> Extract:
    return extract(_selected(need, head), accepted, most_series=MOST_SERIES, most_samples=samples)


def _selected(need: _Need, head: Head) -> Selection:
    looked_at = head.breadth(need.matchers)
    if looked_at > MOST_LOOKED_AT:
        raise HeadError(f"a selector that goes through {looked_at} series is too much to be tried; name a metric")
    return head.select(need.matchers, need.low, need.high)


# --- talking to the helper ---


def _start(memory: int, seconds: float) -> subprocess.Popen[bytes]:
    # -P: nothing is imported from the folder we happen to stand in.
    command = [sys.executable, "-P", "-m", "collector.query.preview", str(memory), str(seconds)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # each of its threads would reserve memory
    helper = subprocess.Popen(  # noqa: S603 - our own command
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    )
    os.set_blocking(_pipe(helper.stdin).fileno(), False)  # one that does not read must not hold us
    return helper


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise PreviewError("the helper has ended")
    return pipe


def _write(descriptor: int, data: bytes, until: float) -> None:
    view = memoryview(data)
    while view:
        _, ready, _ = select.select([], [descriptor], [], max(0.0, until - time.monotonic()))
        if not ready:
            raise PreviewError("the helper does not read")
        view = view[os.write(descriptor, view[: 1 << 20]) :]


def _line(descriptor: int, until: float, limit: float) -> bytes:
    """What the helper writes up to a line's end."""
    pieces, size = list[bytes](), 0
    while not pieces or not pieces[-1].endswith(b"\n"):
        ready, _, _ = select.select([descriptor], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            raise PreviewError(_late(limit))
        pieces.append(os.read(descriptor, 1 << 16))
        size += len(pieces[-1])
        if not pieces[-1]:
            raise PreviewError("the expression ended the helper process")
        if size > _MOST:
            raise PreviewError("the answer is too long")
    return b"".join(pieces)


def _late(seconds: float) -> str:
    return f"the expression took longer than {seconds:g} s"


def _told(answer: dict[str, Any]) -> dict[str, Any]:
    match answer:
        case {"refused": message, "column": column}:
            raise PlanError(message, column)
        case {"failed": message}:
            raise EvaluationError(message)
        case {"exhausted": message}:
            raise PreviewError(message)
    return answer


def _need(matchers: Sequence[tuple[str, str, str]], low: float, high: float) -> _Need:
    """Patterns are left out: nothing typed is compiled on this side."""
    plain = (one for one in matchers if one[1] not in _REGEX)
    return _Need(tuple(Matcher(name, Match(match), value) for name, match, value in plain), low, high)


# --- the helper ---


def _help(memory: int, seconds: float) -> None:
    """A question a line with the bytes it announces, an answer a line, until the input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    print("{}", flush=True)  # noqa: T201 - ready
    for line in sys.stdin.buffer:
        used = resource.getrusage(resource.RUSAGE_SELF)
        allowed = int(used.ru_utime + used.ru_stime + seconds) + 2
        resource.setrlimit(resource.RLIMIT_CPU, (allowed, resource.RLIM_INFINITY))
        print(json.dumps(_answered(json.loads(line))), flush=True)  # noqa: T201 - the answer


def _answered(question: dict[str, Any]) -> dict[str, Any]:
    doing: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {"read": _read, "match": _match, "draw": _draw}
    try:
        return doing[question["do"]](question)
    except PlanError as error:
        return {"refused": error.message, "column": error.column}
    except EvaluationError as error:
        return {"failed": str(error)}
    except MemoryError:
        return {"exhausted": "the expression needs too much memory"}


def _read(question: dict[str, Any]) -> dict[str, Any]:
    start, end, _ = question["range"]
    found = needs(plan(question["expression"]), start, end, LOOKBACK)
    if len(found) > MOST_SELECTORS:
        raise EvaluationError(f"{len(found)} different selectors are too many to be tried; {MOST_SELECTORS} may be")
    listed = [
        [[(m.name, str(m.match), m.value) for m in matchers], low, high] for matchers, (low, high) in found.items()
    ]
    return {"needs": listed, "patterns": [_patterns(matchers) for matchers in found]}


def _patterns(matchers: Sequence[Matcher]) -> dict[str, list[tuple[bool, str]]]:
    """Label -> (whether it has to match, pattern)."""
    found: dict[str, list[tuple[bool, str]]] = {}
    for matcher in matchers:
        if matcher.match in _REGEX:
            found.setdefault(matcher.name, []).append((matcher.match is Match.REGEX, matcher.value))
    return found


def _match(question: dict[str, Any]) -> dict[str, Any]:
    accepted: dict[str, list[str]] = {}
    for name, patterns in question["patterns"].items():
        tests = [(wanted, compiled(pattern)) for wanted, pattern in patterns]
        accepted[name] = [
            value
            for value in question["values"][name]
            if all((test.fullmatch(value) is not None) is wanted for wanted, test in tests)
        ]
    return {"accepted": accepted}


def _draw(question: dict[str, Any]) -> dict[str, Any]:
    copies = [unpack(sys.stdin.buffer.read(size)) for size in question["sizes"]]
    made, (start, end, step) = plan(question["expression"]), question["range"]
    symbols, keys = Symbols(), needs(made, start, end, LOOKBACK)
    places = {key: copy.place(symbols) for key, copy in zip(keys, copies, strict=True)}

    def chosen(matchers: Sequence[Matcher], low: float, high: float) -> Selection:
        frame, place = places[tuple(matchers)]
        return Selection(frame, place, round(low * 1000) / 1000, round(high * 1000) / 1000)

    lines = evaluate_range(made, chosen, start, end, step, lookback=LOOKBACK, budget=BUDGET)
    drawn = [(line.labels.pairs, line.at, line.values) for line in lines]
    return {"lines": drawn, "metrics": sorted(metric_names(made)), "max_range": made.max_range}


if __name__ == "__main__":
    _help(int(sys.argv[1]), float(sys.argv[2]))
