"""Waits for the signal that ends the agent. Owns the process' handlers of SIGTERM and SIGINT."""

import os
import signal
from collections.abc import Callable

ENDINGS = (signal.SIGTERM, signal.SIGINT)


def told() -> Callable[[], object]:
    """From now on both signals only end the wait that is returned; one that came before it ends it at once.

    The kernel may give a signal to any thread, and a handler may run while the main thread holds a lock: so it is the
    C handler itself that writes to a pipe, and nothing else happens.
    """
    heard, told_ = os.pipe()
    os.set_blocking(told_, False)
    signal.set_wakeup_fd(told_, warn_on_full_buffer=False)
    for number in ENDINGS:
        signal.signal(number, lambda *_: None)
    return lambda: os.read(heard, 1)
