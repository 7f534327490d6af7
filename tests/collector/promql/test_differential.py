"""Random expressions over random series through a real Prometheus and through the head: same labels, values to 1e-9.

CZUWAK_SEED=n asks other questions, or those of a failure again. What is left out, and why, stands in grammar.py.
"""

import math
import os
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, note, seed, settings

from collector.head import Head
from collector.promql import PromqlError, evaluate, evaluate_range, plan
from tests.collector.promql import grammar
from tests.collector.promql.grammar import Question
from tests.collector.promql.peer import Answer, Peer, PeerError, prometheus

SEED = int(os.environ.get("CZUWAK_SEED", "3"))
EXPRESSIONS = int(os.environ.get("CZUWAK_EXPRESSIONS", "2000"))
DATA_SETS = 40


class Both:
    """The same data sets in Prometheus and in heads, loaded when first asked for."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.outcomes = Counter[str]()
        self._heads: dict[int, Head] = {}

    def head(self, data: int) -> Head:
        if data not in self._heads:
            self._heads[data] = Head(retention=1e6, max_samples=1000)
            made = grammar.series(data)
            self.peer.write({labels: points for labels, points in made.items() if points})
            for labels, points in made.items():
                for at, value in points:
                    self._heads[data].set([labels], [value], at)
        return self._heads[data]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[Both]:
    with prometheus(tmp_path_factory.mktemp("prometheus"), free_port()) as peer:
        made = Both(peer)
        yield made
        print(f"seed {SEED}: {made.outcomes.total()} expressions, of them {dict(made.outcomes)}")


@pytest.mark.server("prometheus")
@seed(SEED)
@settings(
    max_examples=EXPRESSIONS,
    deadline=None,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)
@given(grammar.questions(DATA_SETS))
def test_prometheus_gives_the_same_answer(both: Both, question: Question) -> None:
    note(
        f"CZUWAK_SEED={SEED} data set {question.data} at {question.at} in {question.steps} steps: {question.expression}"
    )
    head = both.head(question.data)
    theirs, ours = _theirs(both.peer, question), _ours(head, question)
    note(f"Prometheus: {theirs}")
    note(f"Czuwak: {ours}")
    both.outcomes["refused by both" if isinstance(theirs, str) else "with rows" if theirs else "empty"] += 1
    assert isinstance(ours, str) == isinstance(theirs, str)
    if isinstance(ours, str) or isinstance(theirs, str):
        return
    assert ours.keys() == theirs.keys()
    for labels, line in theirs.items():
        assert ours[labels].keys() == line.keys(), labels
        wrong = [(at, ours[labels][at], value) for at, value in line.items() if not _same(ours[labels][at], value)]
        assert not wrong, labels


def _theirs(peer: Peer, question: Question) -> Answer | str:
    try:
        if question.steps == 1:
            return peer.instant(question.expression, question.at)
        end = question.at + question.step * (question.steps - 1)
        return peer.ranged(question.expression, question.at, end, question.step)
    except PeerError as error:
        return str(error)


def _ours(head: Head, question: Question) -> Answer | str:
    try:
        made = plan(question.expression.replace("holt_winters", "double_exponential_smoothing"))
        if question.steps == 1:
            vector = evaluate(made, head.select, question.at).vector
            values = zip(vector.labels, vector.values.tolist(), strict=True)
            return {labels: {question.at: value} for labels, value in values}
        end = question.at + question.step * (question.steps - 1)
        lines = evaluate_range(made, head.select, question.at, end, question.step)
    except PromqlError as error:
        return str(error)
    return {line.labels: dict(zip(line.at, line.values, strict=True)) for line in lines}


def _same(ours: float, theirs: float) -> bool:
    return bool(np.isnan(ours) and np.isnan(theirs)) or math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-9)
