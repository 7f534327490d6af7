import subprocess
import sys

import pytest

BEGIN = "import os, signal, threading, time\nfrom agent import ending\nwait = ending.told()\n"


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
def test_a_signal_that_another_thread_gets_ends_the_wait(number: str) -> None:
    other = f"lambda: (time.sleep(0.3), signal.pthread_kill(threading.get_ident(), signal.{number}), time.sleep(30))"
    assert code_of(f"threading.Thread(target={other}, daemon=True).start()\nwait()\nos._exit(3)") == 3


def test_a_signal_before_the_wait_ends_it_and_a_second_one_kills_nobody() -> None:
    twice = "os.kill(os.getpid(), signal.SIGTERM)\n" * 2
    assert code_of(f"{twice}wait()\nos._exit(3)") == 3


def code_of(script: str) -> int:
    return subprocess.run([sys.executable, "-c", BEGIN + script], timeout=20, check=False).returncode
