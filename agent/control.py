"""The local socket that the sleep hook and the commands speak to: one JSON line in, one line out.

Who may open the file may speak: it is its owner's and root's alone.
"""

import contextlib
import logging
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from agent.errors import ControlError

LOG = logging.getLogger(__name__)

SOCKET = "control.sock"
MAX_REQUEST = 4096
ANSWER_SECONDS = 4.0
_PATIENCE = 2.0


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is asked: goodbye with a reason and seconds, or resume."""

    action: str
    reason: str = ""
    back: int = 0


class Answer(msgspec.Struct, frozen=True):
    """Whether it was done, and a sentence for people."""

    ok: bool
    said: str


def listen(state_dir: Path, act: Callable[[Request], Answer]) -> Callable[[], None] | None:
    """Serve until the function returned is called; None where no socket can be made: the agent runs without it."""
    path = state_dir / SOCKET
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        # The mode stands before anybody can connect.
        before = os.umask(0o177)
        try:
            server.bind(str(path))
        finally:
            os.umask(before)
        server.listen(4)
    except (OSError, ValueError) as error:
        server.close()
        LOG.warning("No control socket: %s: %s", path, error, extra={"action": "control_failed"})
        return None
    threading.Thread(target=_serve, args=(server, act), name="control", daemon=True).start()

    def close() -> None:
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()
        path.unlink(missing_ok=True)

    return close


def ask(state_dir: Path, request: Request) -> str:
    """What the running agent answers. Raises ControlError where there is none or it refuses."""
    path = state_dir / SOCKET
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(ANSWER_SECONDS)
            client.connect(str(path))
            client.sendall(msgspec.json.encode(request) + b"\n")
            answer = msgspec.json.decode(_line(client), type=Answer)
    except (OSError, ValueError) as error:
        raise ControlError(f"no running agent answers at {path}: {error}; is it started, and by you or root?") from None
    if not answer.ok:
        raise ControlError(answer.said)
    return answer.said


def _serve(server: socket.socket, act: Callable[[Request], Answer]) -> None:
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        with client, contextlib.suppress(OSError):
            client.settimeout(_PATIENCE)
            client.sendall(msgspec.json.encode(_answered(client, act)) + b"\n")


def _answered(client: socket.socket, act: Callable[[Request], Answer]) -> Answer:
    try:
        request = msgspec.json.decode(_line(client), type=Request)
    except (OSError, ValueError) as error:
        return Answer(ok=False, said=f"not understood: {error}")
    return act(request)


def _line(sender: socket.socket) -> bytes:
    data = b""
    while b"\n" not in data and len(data) < MAX_REQUEST and (more := sender.recv(MAX_REQUEST)):
        data += more
    return data
