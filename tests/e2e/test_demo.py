import json
import subprocess
import sys
import tempfile
from pathlib import Path

BIN = Path(sys.executable).parent


def test_the_demonstration_opens_one_ticket_and_sees_it_recover() -> None:
    before = set(Path(tempfile.gettempdir()).glob("czuwak-demo-*"))
    done = subprocess.run([BIN / "czuwak", "demo", "--once"], capture_output=True, text=True, timeout=180, check=False)
    steps = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stdout + done.stderr
    opened = next(s for s in steps if s["step"] == "ticket opened")
    assert opened["seconds"] < 60
    assert "czuwak-demo-worker" in opened["title"]
    assert steps[-1] == {"step": "done", "seconds": steps[-1]["seconds"], "tickets": 1}
    assert set(Path(tempfile.gettempdir()).glob("czuwak-demo-*")) == before
