import os
import socket
from pathlib import Path

from agent.notify import notify


def test_systemd_hears_a_datagram(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "notify"))
        notify({"NOTIFY_SOCKET": str(tmp_path / "notify")}, "READY=1")
        assert ear.recv(100) == b"READY=1"


def test_an_abstract_socket_is_reached_too() -> None:
    name = f"czuwak-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind("\0" + name)
        notify({"NOTIFY_SOCKET": "@" + name}, "STOPPING=1")
        assert ear.recv(100) == b"STOPPING=1"


def test_without_systemd_nothing_happens() -> None:
    notify({}, "READY=1")
    notify({"NOTIFY_SOCKET": "relative"}, "READY=1")
    notify({"NOTIFY_SOCKET": "/nowhere/at/all"}, "READY=1")
