"""`czuwak rules ...` as a user types it; queries and back-tests against an engine that runs behind a real socket."""

import asyncio
import json
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from collector.head import Head
from collector.ingest.engine import Engine
from collector.labels import Labels
from collector.main import main
from collector.metrics import Metrics
from collector.query.service import QueryServicer
from collector.rules.schedule import Schedule
from czuwak.v1 import query_pb2_grpc

ROOT = Path(__file__).parents[2]
TEST_FILES = sorted([*ROOT.glob("tests/**/*.test.yml"), *ROOT.glob("collector/**/*.test.yml")])
RULES = """
groups:
  - name: g
    rules:
      - {alert: High, expr: 'node_load1 > 5', for: 1m, labels: {severity: warning}}
"""
# What makes a test that holds fail: an alert that is not there, or another label.
OPPOSITES = [("exp_alerts: []", "exp_alerts: [{exp_labels: {a: b}}]"), ("severity: ", "severity: x")]
TEST = """
rule_files: [r.yml]
evaluation_interval: 1m
tests:
  - name: load
    interval: 1m
    input_series:
      - {series: 'node_load1{instance="a"}', values: '9x10'}
    alert_rule_test:
      - eval_time: 5m
        alertname: High
        exp_alerts: [{exp_labels: {severity: warning, instance: a}}]
"""


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    try:
        code = main(["rules", *words])
    except SystemExit as error:
        code = int(str(error.code))
    told = capsys.readouterr()
    return code, told.out, told.err


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "r.yml"
    path.write_text(RULES)
    (tmp_path / "r.test.yml").write_text(TEST)
    return path


# --- check ---


def test_check_is_quiet_and_0_when_there_is_nothing_to_mend(capsys: pytest.CaptureFixture[str], rules: Path) -> None:
    assert run(capsys, "check", str(rules)) == (0, "", "1 file: 0 errors, 0 warnings, 0 notes\n")


def test_check_shows_the_place_and_is_1_when_there_is(capsys: pytest.CaptureFixture[str], rules: Path) -> None:
    rules.write_text(RULES.replace("node_load1", "node_laod1"))
    code, out, err = run(capsys, "check", str(rules))
    assert code == 1
    assert out.splitlines()[3:] == [
        f"{rules}:5:30: warning: High: no agent of ours sends node_laod1; did you mean node_load1?",
        "          - {alert: High, expr: 'node_laod1 > 5', for: 1m, labels: {severity: warning}}",
        f"{'^':>34}",
    ]
    assert err == "1 file: 0 errors, 2 warnings, 0 notes\n"


def test_check_takes_the_agents_interval_and_the_memory(capsys: pytest.CaptureFixture[str], rules: Path) -> None:
    rules.write_text(RULES.replace("node_load1 >", "avg_over_time(node_load1[1h]) >"))
    assert run(capsys, "check", str(rules))[0] == 0
    code, out, _ = run(capsys, "check", "--interval", "1h", "--retention", "30m", "--json", str(rules))
    assert code == 1
    assert [(one["lint"], one["line"], one["column"]) for one in json.loads(out)] == [
        ("windows", 5, 54), ("retention", 5, 54)
    ]  # fmt: skip


def test_notes_alone_are_no_finding(capsys: pytest.CaptureFixture[str], rules: Path) -> None:
    rules.write_text(RULES.replace("for: 1m", "for: 1m, keep_firing_for: 5m"))
    code, out, _ = run(capsys, "check", str(rules))
    assert code == 0
    assert "needs Prometheus 2.42" in out


def test_wrong_words_are_2(capsys: pytest.CaptureFixture[str], rules: Path) -> None:
    for words in (
        ("check",), ("check", "--interval", "soon", str(rules)), ("check", "--interval", "0", str(rules)), ("nope",),
        ("query", "m", "--at", "yesterday"), ("query", "m", "--at", "-5"), ("backtest", str(rules), "--days", "0"),
        ("backtest", str(rules), "--step", "x"), ("test",),
    ):  # fmt: skip
        assert run(capsys, *words)[0] == 2, words


# --- test ---


def test_a_test_that_holds_is_a_line(capsys: pytest.CaptureFixture[str], rules: Path) -> None:
    code, out, err = run(capsys, "test", str(rules.with_name("r.test.yml")))
    assert code == 0
    assert out.startswith(f"ok    {rules.with_name('r.test.yml')}  (1 tests, ")
    assert err == "1 file: 1 passed, 0 failed\n"


def test_a_test_that_does_not_hold_says_what_was_expected(capsys: pytest.CaptureFixture[str], rules: Path) -> None:
    path = rules.with_name("r.test.yml")
    path.write_text(TEST.replace("instance: a}", "instance: b}"))
    code, out, err = run(capsys, "test", str(path))
    assert code == 1
    assert out.splitlines() == [
        f"FAIL  {path}",
        "      line 10: load: High at 300 s",
        '          expected: {alertname="High",instance="b",severity="warning"} {}',
        '          got:      {alertname="High",instance="a",severity="warning"} {}',
    ]
    assert err == "1 file: 0 passed, 1 failed\n"
    code, out, _ = run(capsys, "test", "--json", str(path))
    assert code == 1
    assert [(one["passed"], one["tests"], one["failures"][0]["line"]) for one in json.loads(out)] == [(False, 1, 10)]


def test_a_file_that_cannot_be_run_fails_and_the_others_go_on(
    capsys: pytest.CaptureFixture[str], rules: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.yml").write_text("nope: 1")
    code, out, _ = run(capsys, "test", str(tmp_path / "bad.yml"), str(rules.with_name("r.test.yml")))
    assert code == 1
    assert "unknown field 'nope'" in out
    assert "\nok    " in out


@pytest.mark.server("promtool")
@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: path.stem)
def test_promtool_and_we_refuse_the_opposite_of_every_rule_test_of_the_project(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, path: Path
) -> None:
    """That both accept the test itself is shown where the default rules are tested."""
    head, *tests = re.split(r"(?m)^(?=  - name: )", path.read_text())
    old, new = next(pair for pair in OPPOSITES[TEST_FILES.index(path) % 2 :] if any(pair[0] in one for one in tests))
    turned = next(one for one in tests if old in one)  # the file's other tests hold as before
    other = tmp_path / "o.test.yml"
    other.write_text(absolute(head + turned.replace(old, new, 1), path))
    code, out, _ = run(capsys, "test", str(other))
    ran = subprocess.run(["promtool", "test", "rules", str(other)], capture_output=True, text=True, check=False)
    assert (code, ran.returncode) == (1, 1)
    assert "expected:" in out
    assert "exp:" in ran.stdout + ran.stderr


def absolute(text: str, path: Path) -> str:
    """The same tests where `rule_files` do not depend on the file's place."""
    lines = [
        line.replace("../", f"{path.parent}/../", 1) if ".yml" in line and "../" in line else line
        for line in text.splitlines()
    ]
    return "\n".join([*lines, ""])


# --- query and backtest ---


@pytest.fixture
def config(tmp_path: Path) -> Iterator[str]:
    """A configuration whose query socket is served by an engine with an hour of two hosts' load."""
    now = time.time()
    head, metrics = Head(), Metrics()
    for minute in range(60, -1, -1):
        series = [Labels.of(__name__="node_load1", instance=name) for name in ("a", "b\x1b[31m")]
        head.set(series, [9.0 if minute % 10 in (3, 4, 5) else 1.0, 2.0], now - minute * 60)
    engine = Engine(
        head=head,
        schedule=lambda _: Schedule((), (), started_at=now),
        commit=lambda changes, _: changes.upserts,
        clock=time.time,
        metrics=metrics,
    )
    ready, done = threading.Event(), threading.Event()

    async def serve() -> None:
        server = grpc.aio.server()
        query_pb2_grpc.add_QueryServiceServicer_to_server(QueryServicer(engine.call, metrics, lambda: now), server)
        server.add_insecure_port(f"unix:{tmp_path}/q.sock")
        await server.start()
        ready.set()
        await asyncio.to_thread(done.wait)
        await server.stop(None)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    engine.start()
    thread.start()
    assert ready.wait(10)
    path = tmp_path / "czuwak.toml"
    path.write_text(f'[ingest]\nquery_socket = "{tmp_path}/q.sock"\n')
    try:
        yield str(path)
    finally:
        done.set()
        thread.join()
        engine.stop()


def test_a_query_is_a_table_in_which_nothing_steers_the_terminal(
    capsys: pytest.CaptureFixture[str], config: str
) -> None:
    code, out, _ = run(capsys, "query", "node_load1", "--config", config)
    assert code == 0
    assert sorted(out.splitlines()) == [
        'node_load1{instance="a"}       1',
        'node_load1{instance="b?[31m"}  2',
    ]
    assert run(capsys, "query", "nothing", "--config", config)[1] == "no series\n"


def test_a_query_in_json_knows_every_number(capsys: pytest.CaptureFixture[str], config: str) -> None:
    at = time.time() - 240
    words = ("query", 'node_load1{instance="a"} / (node_load1{instance="a"} > bool 5 == bool 0)', "--json")
    _, out, _ = run(capsys, *words, "--at", str(at), "--config", config)
    (row,) = json.loads(out)
    assert (row["labels"], row["value"]) == ({"instance": "a"}, "+Inf")
    assert row["at"] == pytest.approx(at)


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("sum(node_load1", "sum(node_load1\n             ^\ncolumn 14: "),
        ("node_load1 +\n  nonsense(m)", "  nonsense(m)\n  ^\ncolumn 16: "),
        ("(" * 300, "more than 200 operators"),
        ("m" * 5000, "4096 are allowed"),
    ],
)
def test_a_mistake_is_shown_under_its_column_without_any_collector(
    capsys: pytest.CaptureFixture[str], expression: str, told: str
) -> None:
    code, out, err = run(capsys, "query", expression, "--config", "nowhere.toml")
    assert (code, out) == (1, "")
    assert told in err


def test_a_collector_that_is_away_is_one_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "czuwak.toml"
    path.write_text(f'[ingest]\nquery_socket = "{tmp_path}/none.sock"\n')
    code, _, err = run(capsys, "query", "m", "--config", str(path))
    assert code == 1
    assert err == f"czuwak: the collector does not answer at {tmp_path}/none.sock: is `czuwak serve` running?\n"


def test_a_back_test_on_the_collectors_memory_tells_tickets_and_episodes(
    capsys: pytest.CaptureFixture[str], config: str, rules: Path
) -> None:
    code, out, err = run(capsys, "backtest", str(rules), "--config", config)
    assert code == 0, err
    first, span, head, *rows = out.splitlines()
    assert first == "this would have opened 1 ticket, opened one again 5 times, 1 healed by themselves within 5 min"
    assert span.endswith(", every 1m")
    assert head.split() == ["FIRED", "LASTED", "END", "RULE", "LABELS"]
    assert len(rows) == 6
    assert rows[0].split()[2:] == ["2m", "recovered", "High", '{instance="a",severity="warning"}']
    assert "recovered, again" in rows[1]
    code, out, _ = run(capsys, "backtest", str(rules), "--json", "--config", config)
    answer = json.loads(out)
    assert (answer["tickets"], answer["reopened"], len(answer["episodes"])) == (1, 5, 6)


def test_a_back_test_that_cannot_be_done_is_told(
    capsys: pytest.CaptureFixture[str], config: str, rules: Path, free_port: Callable[[], int]
) -> None:
    code, _, err = run(capsys, "backtest", str(rules), "--end", "4e9", "--config", config)
    assert (code, err) == (1, "czuwak: the end is in the future\n")
    code, _, err = run(capsys, "backtest", str(rules), "--prometheus", f"http://127.0.0.1:{free_port()}")
    assert code == 1
    assert "refused" in err
    rules.write_text(RULES.replace("> 5", "> > 5"))
    code, _, err = run(capsys, "backtest", str(rules), "--config", config)
    assert code == 1
    assert f"{rules}:5:" in err


def test_rules_that_find_nothing_say_so(capsys: pytest.CaptureFixture[str], config: str, rules: Path) -> None:
    rules.write_text(RULES.replace("node_load1", "nothing"))
    code, out, err = run(capsys, "backtest", str(rules), "--config", config)
    assert code == 0
    assert out.startswith("this would have opened 0 tickets, 0 healed")
    assert "nothing matched" in err
