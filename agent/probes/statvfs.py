"""Asking filesystems for their size without ever waiting for a dead one.

statvfs() on a mount whose server is gone does not return, and no signal reaches the thread inside it. So workers ask,
the round waits for a bounded time, and a mount that has not answered is left alone until its worker comes back.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import psutil

WORKERS = 4
# Dead mounts hold a thread each; past this many no new worker starts, and what is left unanswered is told as an error.
THREADS = 16
_PATIENCE = 0.05


@dataclass(frozen=True, slots=True)
class Space:
    """A filesystem's room in bytes and files; `avail` is what every user may use. None where nobody counts files."""

    size: float
    free: float
    avail: float
    files: float | None
    files_free: float | None


Answer = Space | str


def space(path: str) -> Space:
    """The room of the filesystem at a path. OSError; may never return."""
    if not hasattr(os, "statvfs"):
        usage = psutil.disk_usage(path)
        return Space(usage.total, usage.free, usage.free, None, None)
    s = os.statvfs(path)
    return Space(s.f_blocks * s.f_frsize, s.f_bfree * s.f_frsize, s.f_bavail * s.f_frsize, s.f_files, s.f_ffree)


class Statvfs:
    """Asks many mounts at once. An answer is the result or why there is none, in the system's words."""

    def __init__(self, space: Callable[[str], Space], seconds: float) -> None:
        self._space = space
        self._seconds = seconds
        self._changed = threading.Condition()
        self._waiting: deque[str] = deque()
        self._asked: set[str] = set()
        self._running: set[str] = set()
        self._answers: dict[str, Answer] = {}
        self._threads = 0

    def ask(self, paths: Iterable[str]) -> dict[str, Answer]:
        """One answer per path, within the time given to the constructor."""
        wanted = list(dict.fromkeys(paths))
        with self._changed:
            stuck = len(self._running)
            self._asked = set(wanted) - self._running
            self._waiting = deque(path for path in wanted if path in self._asked)
            self._answers = {}
            self._wait(stuck)
            self._waiting.clear()
            self._asked = set()
            return {path: self._answers.get(path, "mountpoint timeout") for path in wanted}

    def stuck(self) -> frozenset[str]:
        """The mounts that have not answered yet; they are not asked again until they do."""
        with self._changed:
            return frozenset(self._running)

    def _wait(self, stuck: int) -> None:
        deadline = time.monotonic() + self._seconds
        answered = True
        while len(self._answers) < len(self._asked) and (left := deadline - time.monotonic()) > 0:
            # One worker is enough for healthy mounts. Another comes each time they were not done within a moment.
            if self._threads <= stuck or not answered:
                self._staff(stuck)
            if self._threads <= stuck:
                return
            self._changed.notify_all()
            answered = self._changed.wait(min(left, _PATIENCE))

    def _staff(self, stuck: int) -> None:
        if self._waiting and self._threads < min(WORKERS + stuck, THREADS):
            self._threads += 1
            threading.Thread(target=self._work, name="statvfs", daemon=True).start()

    def _work(self) -> None:
        while (path := self._take()) is not None:
            answer = self._one(path)
            with self._changed:
                self._running.discard(path)
                if path in self._asked:
                    self._answers[path] = answer
                if len(self._answers) == len(self._asked):
                    self._changed.notify_all()

    def _take(self) -> str | None:
        with self._changed:
            while not self._waiting:
                if self._threads > WORKERS + len(self._running):
                    self._threads -= 1
                    return None
                self._changed.wait()
            path = self._waiting.popleft()
            self._running.add(path)
            return path

    def _one(self, path: str) -> Answer:
        try:
            return self._space(path)
        except OSError as error:
            return (error.strerror or str(error)).lower()
        except ValueError as error:
            return str(error)
