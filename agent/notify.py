"""Tells systemd how the service stands: one datagram on $NOTIFY_SOCKET, nothing where there is none."""

import contextlib
import socket
from collections.abc import Mapping


def notify(environment: Mapping[str, str], message: str) -> None:
    """Send `READY=1`, `STOPPING=1`, `STATUS=…`. What systemd does not hear is no reason to fail."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    # An @ stands for the NUL byte of an abstract socket's name.
    name = "\0" + address[1:] if address.startswith("@") else address
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
        to.sendto(message.encode(), name)
