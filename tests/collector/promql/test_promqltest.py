"""Runs *.test files in Prometheus' expression test language: our own beside this file, and Prometheus' where they are.

A case is passed, failed, or skipped by the name of what is refused; the counts are printed for each file.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from collector.head import STALE, Head, Matcher
from collector.labels import NAME, Labels
from collector.promql import EvaluationError, Plan, PlanError, evaluate, evaluate_range, plan
from collector.promql.nodes import Call, Node, Range, Selector, Text
from collector.promql.survey import nodes
from tests.field import HOW, field_data

HERE = Path(__file__).parent
_PAIR = re.compile(r'\s*(?:"((?:\\.|[^"\\])*)"|([\w.:]+))\s*(?:=\s*(?:"((?:\\.|[^"\\])*)"|\'([^\']*)\'))?\s*(?:,|$)')
_SERIES = re.compile(r"""^([A-Za-z_:][\w:]*)?\s*(?:\{((?:"(?:\\.|[^"\\])*"|'[^']*'|[^"}'])*)\})?\s*(.*)$""")
_RUN = re.compile(r"^(.+?)(?:([+-][^x+-]+(?:e[+-]?\d+)?))?x(\d+)$")
_UNIT = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 31536000.0}
_EVAL = re.compile(
    r"^eval(?:_(\w+))?\s+(?:instant\s+at\s+(\S+)|range\s+from\s+(\S+)\s+to\s+(\S+)\s+step\s+(\S+))\s+(.*)$"
)
GAP = None


class Skipped(Exception):  # noqa: N818  # not an error
    """Why a case is out of scope."""


@dataclass
class Case:
    line: int
    expression: str
    at: tuple[float, ...]
    ranged: bool
    fails: bool = False
    ordered: bool = False
    text: str | None = None
    window: tuple[float, ...] = ()
    lines: list[str] = field(default_factory=list)


@dataclass
class Store:
    """The data of one test file since its last clear."""

    head: Head = field(default_factory=lambda: Head(retention=1e9, max_samples=100_000))
    histograms: list[Labels] = field(default_factory=list)
    samples: dict[Labels, list[tuple[float, float]]] = field(default_factory=dict)

    def load(self, step: float, lines: list[str]) -> None:
        for line in lines:
            labels, values = series(line)
            if "{{" in line:
                self.histograms.append(labels)
                continue
            points = [(i * step, v) for i, v in enumerate(expanded(values)) if v is not GAP]
            host = str(labels.pairs)
            self.head.register(host, b"s", [labels])
            for at, value in points:
                self.head.append(host, b"s", at, None, np.array([value]))


def seconds(text: str) -> float:
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|[smhdwy])", text)
    return sum(float(n) * _UNIT[u] for n, u in parts) if parts else float(text)


def series(line: str) -> tuple[Labels, str]:
    found = _SERIES.match(line.strip())
    assert found, line
    name, inner, values = found.groups()
    pairs: dict[str, str] = {NAME: name} if name else {}
    for quoted, bare, value, single in _PAIR.findall(inner or ""):
        key = _unescaped(quoted) if quoted else bare
        if not key:
            continue
        if value or single or f"{key}=" in (inner or "").replace(" ", ""):
            pairs[key] = _unescaped(value or single)
        else:
            pairs[NAME] = key
    return Labels.of(pairs), values


def _unescaped(text: str) -> str:
    return text.replace('\\"', '"').replace("\\n", "\n").replace("\\\\", "\\")


def expanded(text: str) -> Iterator[float | None]:
    for token in text.split():
        if token == "stale":
            yield STALE
        elif token == "_":
            yield GAP
        elif re.fullmatch(r"_x\d+", token):
            yield from [GAP] * int(token[2:])
        elif run := _RUN.match(token):
            start, by, times = float(run[1]), float(run[2]) if run[2] else 0.0, int(run[3])
            yield from (start + by * i for i in range(times + 1))
        else:
            yield float(token)


def blocks(text: str) -> Iterator[tuple[int, str, list[str]]]:
    """(line number, first line, indented lines) of every command."""
    head: tuple[int, str] | None = None
    body: list[str] = []
    for index, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if re.match(r"(load|clear|eval|ignore|resume)", line) and not raw.startswith((" ", "\t")):
            if head:
                yield *head, body
            head, body = (index, line), []
        elif head:
            body.append(line)
    if head:
        yield *head, body


def case_of(line: int, text: str, body: list[str]) -> Case:
    found = _EVAL.match(text)
    assert found, text
    suffix, at, start, end, step, expression = found.groups()
    if at is not None:
        times: tuple[float, ...] = (seconds(at),)
    else:
        times = (seconds(start), seconds(end), seconds(step))
    case = Case(line, expression, times, at is None, fails=suffix == "fail", ordered=suffix == "ordered")
    for one in body:
        words = one.split()
        if words[0] != "expect":
            case.lines.append(one)
        elif words[1].split(":")[0] in {"fail", "ordered"}:
            case.fails |= words[1].startswith("fail")
            case.ordered |= words[1] == "ordered"
        elif words[1] == "string":
            case.text = one.split(maxsplit=2)[2][1:-1]
        elif words[1] == "range":
            case.window = tuple(seconds(words[place]) for place in (4, 6, 8))
    return case


def check(case: Case, store: Store) -> None:
    """Raises AssertionError or Skipped."""
    if case.text is not None:
        assert argument(f"label_replace(vector(0), 'x', {case.expression}, '', '')", 2) == Text(case.text)
        return
    if case.window:
        _compare_windows(case, store)
        return
    try:
        made = plan(case.expression)
    except PlanError as error:
        _planned_badly(case, error)
        return
    if any("{{" in line for line in case.lines) or _touches(made, store.histograms):
        raise Skipped("native histograms")
    try:
        got = list(_answer(made, case, store))
    except EvaluationError:
        if case.fails:
            return
        raise
    assert not case.fails, f"expected a failure, got {got}"
    _compare(case, got)


def argument(text: str, place: int) -> Node:
    """A string or a range of samples is no plan of its own, only a function's argument."""
    root = plan(text).root
    assert isinstance(root, Call)
    return root.arguments[place]


def _compare_windows(case: Case, store: Store) -> None:
    """The samples of a range selector, from START to END step STEP as the case says."""
    if any("{{" in line for line in case.lines):
        raise Skipped("native histograms")
    start, _, step = case.window
    node = argument(f"count_over_time({case.expression})", 0)
    assert isinstance(node, Range)
    selection = store.head.select(node.selector.matchers, case.at[0] - node.seconds, case.at[0])
    windows, found = selection.windows(), dict[Labels, dict[float, float]]()
    for row, labels in enumerate(selection.frame.labels(range(selection.frame.size))):
        count = int(windows.counts[row])
        if count:
            times, values = windows.times[row, :count].tolist(), windows.values[row, :count].tolist()
            found[labels] = dict(zip(times, values, strict=True))
    wanted = {
        labels: {start + i * step: value for i, value in enumerate(expanded(text)) if value is not GAP}
        for labels, text in map(series, case.lines)
    }
    assert found == wanted


def _planned_badly(case: Case, error: PlanError) -> None:
    if "not supported" in error.message:
        raise Skipped(
            re.sub(r"^the ", "", error.message).replace(" is not supported", "").replace(" are not supported", "")
        )
    if re.search(
        r"\[[^\]]*[-+*/(%^][^\]]*\]|offset\s*[-+]?\(|offset -?step|\b(start|end|step|range|min|max)\(", case.expression
    ):
        raise Skipped("duration expressions")
    if re.search(r"\b(smoothed|anchored)\b", case.expression):
        raise Skipped("smoothed, anchored")
    if re.search(r"\b(info|fill\w*|start_timestamp\w*|histogram_\w+|\w+_of)\(", case.expression):
        raise Skipped("functions newer than the parser")
    if not case.fails:
        raise error


def _touches(made: Plan, histograms: list[Labels]) -> bool:
    def accepts(matchers: tuple[Matcher, ...], labels: Labels) -> bool:
        return all(m.accepts(labels.get(m.name)) for m in matchers)

    selectors = [node for node in nodes(made.root) if isinstance(node, Selector)]
    return any(accepts(s.matchers, labels) for s in selectors for labels in histograms)


def _answer(made: Plan, case: Case, store: Store) -> Iterator[tuple[Labels, list[float | None]]]:
    if not case.ranged:
        vector = evaluate(made, store.head.select, case.at[0]).vector
        yield from ((labels, [value]) for labels, value in zip(vector.labels, vector.values.tolist(), strict=True))
        return
    start, end, step = case.at
    times = [start + i * step for i in range(int((end - start) / step + 1e-9) + 1)]
    for line in evaluate_range(made, store.head.select, start, end, step):
        values = dict(zip(line.at, line.values, strict=True))
        yield line.labels, [values.get(at) for at in times]


def _expected(case: Case) -> Iterator[tuple[Labels, list[float | None]]]:
    for line in case.lines:
        if re.fullmatch(r"[-+]?(\d[\d.eE+-]*|\.\d+|inf|nan)", line, re.IGNORECASE):
            count = int((case.at[1] - case.at[0]) / case.at[2] + 1e-9) + 1 if case.ranged else 1
            yield Labels(), [float(line)] * count
            continue
        labels, values = series(line)
        wanted = list(expanded(values))
        if case.ranged:
            count = int((case.at[1] - case.at[0]) / case.at[2] + 1e-9) + 1
            wanted += [GAP] * (count - len(wanted))
        yield labels, wanted


def _compare(case: Case, got: list[tuple[Labels, list[float | None]]]) -> None:
    wanted = [(labels, values) for labels, values in _expected(case) if any(v is not GAP for v in values)]
    if case.ordered:
        assert [labels for labels, _ in got] == [labels for labels, _ in wanted]
    assert sorted(labels for labels, _ in got) == sorted(labels for labels, _ in wanted), f"{got} != {wanted}"
    by_labels = dict(got)
    for labels, values in wanted:
        for have, want in zip(by_labels[labels], values, strict=True):
            assert _same(have, want), f"{labels}: {by_labels[labels]} != {values}"


def _same(have: float | None, want: float | None) -> bool:
    if have is None or want is None:
        return have is want
    if math.isnan(want) or math.isnan(have):
        return math.isnan(want) and math.isnan(have)
    return math.isclose(have, want, rel_tol=1e-6, abs_tol=1e-12)


def run(path: Path) -> tuple[int, list[str], Counter[str]]:
    passed, failed, skipped, store = 0, list[str](), Counter[str](), Store()
    for line, first, body in blocks(path.read_text()):
        if first == "clear":
            store = Store()
        elif first.startswith("load"):
            store.load(seconds(first.split()[1]), body)
        elif first.startswith("eval"):
            case = case_of(line, first, body)
            try:
                check(case, store)
                passed += 1
            except Skipped as reason:
                skipped[str(reason)] += 1
            except (AssertionError, EvaluationError, PlanError) as error:
                failed.append(f"{path.name}:{line}: {case.expression}: {str(error)[:400]}")
    return passed, failed, skipped


def _report(path: Path) -> list[str]:
    passed, failed, skipped = run(path)
    print(f"{path.name}: passed {passed}, failed {len(failed)}, skipped {sum(skipped.values())} {dict(skipped)}")
    return failed


@pytest.mark.parametrize("path", sorted(HERE.glob("*.test")), ids=lambda path: path.name)
def test_our_own_cases_hold(path: Path) -> None:
    assert _report(path) == []


@pytest.mark.parametrize(
    "name",
    ["selectors", "literals", "collision", "range_queries", "functions", "operators", "trig_functions", "at_modifier"],
)
def test_prometheus_cases_in_scope_hold(name: str) -> None:
    folder = field_data("promqltest")
    if folder is None:
        pytest.skip(HOW)
    assert _report(folder / f"{name}.test") == []
