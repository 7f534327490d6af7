"""Serves the application by gunicorn with threads: one worker process, restarted when it dies.

Knows nothing of the application but that it is made after the fork, so no connection crosses it.
"""

from collections.abc import Callable
from typing import Any

from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]

GRACE = 10  # seconds a request may still take at shutdown


class _Application(BaseApplication):  # type: ignore[misc]
    def __init__(self, make: Callable[[], object], options: dict[str, Any]) -> None:
        self._make, self._options = make, options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> object:
        return self._make()


def run(make: Callable[[], object], *, listen: str, threads: int) -> int:
    """Serve until SIGTERM; `make` builds the WSGI application in the worker process. Returns the exit code."""
    options = {
        "bind": listen,
        "workers": 1,
        "threads": threads,
        "worker_class": "gthread",
        "graceful_timeout": GRACE,
        "timeout": 60,
        "keepalive": 15,
        "limit_request_line": 8190,
        "limit_request_fields": 60,
        "accesslog": None,
        "loglevel": "warning",
        "proc_name": "czuwak-web",
        "forwarded_allow_ips": "",  # who may speak for a client is decided by the application's own setting
        "control_socket_disable": True,
    }
    try:
        _Application(make, options).run()
    except SystemExit as end:
        return int(end.code or 0) if not isinstance(end.code, str) else 1
    return 0
