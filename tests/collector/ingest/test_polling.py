"""The choice of gRPC's server is made before gRPC is loaded, and is the operator's where he made one."""

import subprocess
import sys

import pytest

from collector.ingest.polling import poll_in_one_thread

CHOSEN = """
import os, sys
from collector import serve
before = "grpc" in sys.modules
serve.raise_file_limit = lambda: sys.exit(f"{before} {os.environ.get('GRPC_EXPERIMENTS')} {'grpc' in sys.modules}")
serve.run_ingest(None)
"""
TOLD = """
import asyncio, os
from collector.ingest.polling import poll_in_one_thread
poll_in_one_thread(os.environ)
import grpc
async def main():
    await grpc.aio.server().start()
asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"GRPC_EXPERIMENTS": "-event_engine_listener"}),
        ({"GRPC_EXPERIMENTS": ""}, {"GRPC_EXPERIMENTS": ""}),
        ({"GRPC_EXPERIMENTS": "tcp_rcv_lowat"}, {"GRPC_EXPERIMENTS": "tcp_rcv_lowat"}),
    ],
)
def test_who_chose_is_obeyed(before: dict[str, str], after: dict[str, str]) -> None:
    poll_in_one_thread(before)
    assert before == after


def test_ingest_chooses_before_grpc_is_loaded() -> None:
    done = subprocess.run([sys.executable, "-c", CHOSEN], capture_output=True, text=True, check=False, env={})
    assert done.stderr == "False -event_engine_listener True\n"


def test_the_grpc_that_is_installed_knows_the_choice() -> None:
    done = subprocess.run([sys.executable, "-c", TOLD], capture_output=True, text=True, check=True, env={})
    assert "Unknown experiment" not in done.stderr
