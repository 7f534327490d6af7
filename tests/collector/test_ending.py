import subprocess
import sys

import pytest

BEGIN = "import os, signal, threading, time\nfrom collector import ending\nended = ending.told()\n"


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
def test_a_signal_that_another_thread_gets_ends_the_wait_at_once(number: str) -> None:
    other = f"lambda: (time.sleep(0.3), signal.pthread_kill(threading.get_ident(), signal.{number}), time.sleep(30))"
    script = f"threading.Thread(target={other}, daemon=True).start()\nos._exit(3 if ended(15) else 4)"
    assert code_of(script) == 3


def test_without_a_signal_it_is_the_time_that_ends_the_wait() -> None:
    assert code_of("os._exit(4 if ended(0.01) else 3)") == 3


def code_of(script: str) -> int:
    return subprocess.run([sys.executable, "-c", BEGIN + script], timeout=20, check=False).returncode
