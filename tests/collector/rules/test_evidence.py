import math

from collector.head import Head
from collector.labels import Labels
from collector.promql import plan
from collector.rules.evidence import MOST_LINES, POINTS, gather, proof
from collector.rules.model import AlertRule


def filled(names: str = "ab", **more: str) -> Head:
    head = Head()
    for at in range(0, 7200, 60):
        head.set(
            [Labels.of({"__name__": "m", "instance": name, **more}) for name in names],
            [float(at)] * len(names),
            float(at),
        )
    return head


def rule(expression: str) -> AlertRule:
    return AlertRule("A", expression, plan(expression))


def test_the_last_hour_of_the_series_behind_the_alert_is_kept() -> None:
    evidence = gather(rule("m > 5 and m < 1e9"), Labels.of(instance="a"), filled().select, 7140.0)
    (line,) = evidence.lines
    assert (evidence.threshold, evidence.comparison, evidence.series) == (5.0, ">", "m")
    assert (len(line.at), line.at[0], line.at[-1]) == (POINTS, 3570.0, 7140.0)
    assert (line.labels.get("instance"), line.values[-1]) == ("a", 7140.0)


def test_without_a_literal_the_whole_expression_is_drawn() -> None:
    evidence = gather(rule("m > m offset 1m"), Labels.of(instance="a"), filled().select, 7140.0)
    assert (evidence.threshold, evidence.comparison, len(evidence.lines)) == (None, "", 1)
    assert evidence.series == "m > m offset 1m"


def test_labels_one_side_does_not_have_fall_back_to_the_host() -> None:
    evidence = gather(
        rule("sum by (instance) (m) > 5"), Labels.of(instance="a", made="up"), filled(device="x").select, 7140.0
    )
    assert [line.labels for line in evidence.lines] == [Labels.of(instance="a")]


def test_a_chart_has_few_lines_and_may_have_none() -> None:
    many = gather(rule("m > 5"), Labels(), filled("abcdefghijklm").select, 7140.0)
    assert len(many.lines) == MOST_LINES
    assert gather(rule("gone > 5"), Labels.of(instance="a"), filled().select, 7140.0).lines == ()


def test_an_expression_that_cannot_be_drawn_gives_no_lines() -> None:
    head = filled()
    assert gather(rule("m * on () m > 5"), Labels(), head.select, 7140.0).lines == ()


def test_the_proof_of_recovery_is_the_value_now() -> None:
    select = filled().select
    assert proof(rule("m > 1e9"), Labels.of(instance="a"), select, 7140.0) == 7140.0
    assert proof(rule("m * 2 > 1e9"), Labels.of(instance="b"), select, 7140.0) == 14280.0


def test_without_one_number_there_is_no_proof_to_show() -> None:
    select = filled().select
    assert math.isnan(proof(rule("m > 5"), Labels(), select, 7140.0))
    assert math.isnan(proof(rule("m > m offset 1m"), Labels.of(instance="a"), select, 7140.0))
    assert math.isnan(proof(rule("m * on () m > 5"), Labels(), select, 7140.0))
