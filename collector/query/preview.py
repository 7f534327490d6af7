"""Expressions people type: planned and evaluated in a helper process with limits; a hostile one costs the helper.

The helper is kept between questions, has no data of its own, and is replaced when it dies or takes too long.
"""

import json
import os
import resource
import select
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

from collector.head import STALE, Head
from collector.labels import Labels
from collector.promql import EvaluationError, Line, PlanError, evaluate_range, metric_names, plan
from collector.query.errors import PreviewError

SECONDS = 1.0  # for one answer
STARTING = 20.0  # seconds the helper may take to be ready, beside the answer's
MEMORY = 1 << 30  # bytes of address space
BUDGET = 10_000_000  # values that one evaluation may work on
_MOST = 64 << 20  # bytes of one answer

Samples = Sequence[tuple[Labels, Sequence[float], Sequence[float | None]]]


@dataclass(frozen=True, slots=True)
class Previewed:
    """What became of an expression: its lines over the samples given, the metrics it names, how far back it looks."""

    lines: tuple[Line, ...]
    metrics: frozenset[str]
    max_range: float


class Preview:
    """One helper at a time; questions of several threads wait for each other."""

    def __init__(self, *, seconds: float = SECONDS, memory: int = MEMORY) -> None:
        self._seconds = seconds
        self._memory = memory
        self._lock = threading.Lock()
        self._helper: subprocess.Popen[bytes] | None = None

    def preview(
        self, expression: str, samples: Samples = (), *, start: float = 0.0, end: float = 0.0, step: float = 60.0
    ) -> Previewed:
        """The expression over (labels, times, values) from start to end; a value None ends its series.

        Raises PlanError for what is no expression, EvaluationError where the samples allow no answer, and
        PreviewError when it takes longer than the limit, needs more memory than the limit, or kills the helper.
        """
        question = {
            "expression": expression,
            "range": [start, end, step],
            "samples": [[list(labels.pairs), list(times), list(values)] for labels, times, values in samples],
        }
        with self._lock:
            return _previewed(self._ask(json.dumps(question).encode() + b"\n"))

    def close(self) -> None:
        """End the helper; the next question starts another."""
        with self._lock:
            self._end()

    def _ask(self, question: bytes) -> dict[str, Any]:
        helper = self._helper
        if helper is None or helper.poll() is not None:
            self._end()
            helper = self._helper = _start(self._memory, self._seconds)
            self._answer(helper, STARTING)
        try:
            _pipe(helper.stdin).write(question)
            _pipe(helper.stdin).flush()
        except OSError:
            self._end()
            raise PreviewError("the helper has ended") from None
        return self._answer(helper, self._seconds)

    def _answer(self, helper: subprocess.Popen[bytes], seconds: float) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = json.loads(_line(_pipe(helper.stdout).fileno(), seconds))
        except (PreviewError, ValueError):
            self._end()
            raise
        return answer

    def _end(self) -> None:
        helper, self._helper = self._helper, None
        if helper is not None:
            helper.kill()
            helper.communicate()


def _start(memory: int, seconds: float) -> subprocess.Popen[bytes]:
    # -P: nothing is imported from the folder we happen to stand in.
    command = [sys.executable, "-P", "-m", "collector.query.preview", str(memory), str(seconds)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # each of its threads would reserve memory
    return subprocess.Popen(  # noqa: S603 - our own command
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    )


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise PreviewError("the helper has ended")
    return pipe


def _line(descriptor: int, seconds: float) -> bytes:
    """What the helper writes up to a line's end."""
    until, pieces, size = time.monotonic() + seconds, list[bytes](), 0
    while not pieces or not pieces[-1].endswith(b"\n"):
        ready, _, _ = select.select([descriptor], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            raise PreviewError(f"the expression took longer than {seconds:g} s")
        pieces.append(os.read(descriptor, 1 << 16))
        size += len(pieces[-1])
        if not pieces[-1]:
            raise PreviewError("the expression ended the helper process")
        if size > _MOST:
            raise PreviewError("the answer is too long")
    return b"".join(pieces)


def _previewed(answer: dict[str, Any]) -> Previewed:
    match answer:
        case {"refused": message, "column": column}:
            raise PlanError(message, column)
        case {"failed": message}:
            raise EvaluationError(message)
        case {"exhausted": message}:
            raise PreviewError(message)
    lines = tuple(Line(Labels.of(pairs), tuple(at), tuple(values)) for pairs, at, values in answer["lines"])
    return Previewed(lines, frozenset(answer["metrics"]), answer["max_range"])


def _help(memory: int, seconds: float) -> None:
    """The helper: a question a line, an answer a line, until the input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    print("{}", flush=True)  # noqa: T201 - ready
    for question in sys.stdin:
        used = resource.getrusage(resource.RUSAGE_SELF)
        allowed = int(used.ru_utime + used.ru_stime + seconds) + 2
        resource.setrlimit(resource.RLIMIT_CPU, (allowed, resource.RLIM_INFINITY))
        print(json.dumps(_answered(json.loads(question))), flush=True)  # noqa: T201 - the answer


def _answered(question: dict[str, Any]) -> dict[str, Any]:
    try:
        made = plan(question["expression"])
        lines = evaluate_range(made, _head(question["samples"]).select, *question["range"], budget=BUDGET)
    except PlanError as error:
        return {"refused": error.message, "column": error.column}
    except EvaluationError as error:
        return {"failed": str(error)}
    except MemoryError:
        return {"exhausted": "the expression needs too much memory"}
    drawn = [[line.labels.pairs, line.at, line.values] for line in lines]
    return {"lines": drawn, "metrics": sorted(metric_names(made)), "max_range": made.max_range}


def _head(samples: Samples) -> Head:
    longest = max((len(times) for _, times, _ in samples), default=1)
    head = Head(retention=1e12, max_samples=longest + 1)
    for pairs, times, values in samples:
        labels = Labels.of(pairs)
        for at, value in zip(times, values, strict=True):
            head.set([labels], [STALE if value is None else value], at)
    return head


if __name__ == "__main__":
    _help(int(sys.argv[1]), float(sys.argv[2]))
