"""Many times at once are worth exactly what they are worth one by one, also cut into small runs."""

import sys

import pytest

from collector.head import STALE, Head
from collector.labels import Labels
from collector.promql import EvaluationError, evaluate, evaluate_range, plan

EXPRESSIONS = [
    "x",
    "x > 20 and y",
    "x * on (host) group_left (version) info",
    "topk by (host) (1, x)",
    "rate(x[1m] offset 10s)",
    "predict_linear(x[2m], 60)",
    "quantile_over_time(scalar(y{host='a'}) / 100, x[3m])",
    "max_over_time((x > 20)[2m:15s])",
    "avg_over_time(rate(x[1m])[3m:] offset 1m)",
    'count_values("v", floor(x / 10))',
    "sum(x) or vector(time())",
    "absent(x{host='b'})",
    "timestamp(x) - x @ end() + x @ 100",
    'label_replace(x, "m", "$1", "n", "(.*)")',
    "histogram_quantile(0.9, label_replace(x, 'le', '$1', 'n', '(.*)') or label_replace(y, 'le', '+Inf', '', ''))",
]


@pytest.fixture(scope="module")
def head() -> Head:
    made = Head()
    for step in range(60):
        at, series, values = 10.0 * step, list[Labels](), list[float]()
        for host in "abc":
            gone = host == "b" and 20 <= step < 40
            for n in "12":
                series.append(Labels.of(__name__="x", host=host, n=n))
                values.append(STALE if gone else float(step % 13 * 4 + ord(host) - 96 + int(n)))
            series.append(Labels.of(__name__="y", host=host))
            values.append(float(step))
            for version, there in (("1", step < 30), ("2", step >= 30)):
                series.append(Labels.of(__name__="info", host=host, version=version))
                values.append(1.0 if there else STALE)
        made.set(series, values, at)
    return made


@pytest.mark.parametrize("text", EXPRESSIONS)
@pytest.mark.parametrize("block", [2_000_000, 40])
def test_a_range_is_its_instants(head: Head, text: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("evaluate", "spans"):
        monkeypatch.setattr(sys.modules[f"collector.promql.{name}"], "_BLOCK", block)
    made, times = plan(text), [45.5 + 17.0 * i for i in range(30)]
    instants: dict[Labels, dict[float, str]] = {}
    for at in times:
        pinned = plan(text.replace("end()", f"{times[-1]}"))
        vector = evaluate(pinned, head.select, at).vector
        for labels, value in zip(vector.labels, vector.values.tolist(), strict=True):
            instants.setdefault(labels, {})[at] = f"{value:.9g}"
    found = evaluate_range(made, head.select, times[0], times[-1], 17.0)
    assert len({line.labels for line in found}) == len(found)
    drawn = {
        line.labels: {at: f"{value:.9g}" for at, value in zip(line.at, line.values, strict=True)} for line in found
    }
    assert drawn == instants


def test_an_error_at_one_step_is_an_error_of_the_range() -> None:
    head = Head()
    one, other = (Labels.of(__name__="y", host="a", n=n) for n in "12")
    head.set([Labels.of(__name__="x", host="a"), one], [1.0, 1.0], 10.0)
    assert evaluate_range(plan("x + on (host) y"), head.select, 10.0, 20.0, 10.0)[0].values == (2.0, 2.0)
    head.set([other], [1.0], 20.0)
    with pytest.raises(EvaluationError, match="many-to-many"):
        evaluate_range(plan("x + on (host) y"), head.select, 10.0, 20.0, 10.0)


def test_work_is_bounded(head: Head) -> None:
    with pytest.raises(EvaluationError, match="too many samples"):
        evaluate(plan("sum(x + x)"), head.select, 100.0, budget=100)
    with pytest.raises(EvaluationError, match="too many samples"):
        evaluate(plan("max_over_time(x[100y:1ms])"), head.select, 100.0)
    with pytest.raises(EvaluationError, match="not a time"):
        evaluate(plan("x"), head.select, float("inf"))
