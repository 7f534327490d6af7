import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from collector import main

CZUWAK = Path(sys.executable).parent / "czuwak"


def swarm(*words: str) -> dict[str, Any]:
    done = subprocess.run([CZUWAK, "bench", "swarm", *words], capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_five_agents_in_two_processes_are_acknowledged_and_write_their_ledger(tmp_path: Path) -> None:
    told = swarm(
        *("--agents", "5", "--series", "46", "--interval", "0.5", "--seconds", "8", "--processes", "2"),
        *("--backlog", "40", "--crossings", "3", "--ledger", str(tmp_path)),
    )
    assert told["connected"] == told["agents"] == told["connects"] == 5
    assert told["replay_acked"] >= 5 * 40
    assert told["acked"] > 5
    assert told["nacks"] == {}
    assert told["dropped"] == 0
    lines = [json.loads(line) for path in tmp_path.iterdir() for line in path.read_text().splitlines()]
    assert {line["agent"] for line in lines if line["what"] == "confirmed"} == {f"bench-{n:05d}" for n in range(3)}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--agents", "0"], "at least 1"),
        (["--collector", "127.0.0.1:1"], "go together"),
    ],
)
def test_a_mistake_is_said_in_a_sentence(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["bench", "swarm", *words]) == 2
    assert said in capsys.readouterr().err


def test_too_few_identities_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bench", "swarm", "--agents", "2", "--collector", "127.0.0.1:1", "--identities", str(tmp_path)]
    assert main.main(words) == 1
    assert "holds 0 identities" in capsys.readouterr().err
