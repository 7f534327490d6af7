"""Reading the small files of /proc and /sys: whole, at once, never raising on their encoding."""

import os
from pathlib import Path

from agent.probes.errors import MalformedError, NoDataError

_CHUNK = 1 << 16


def text(path: Path | str) -> str:
    """The file's text; bytes that are not UTF-8 become lone surrogates. NoDataError, OSError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise NoDataError(f"{path} is not there") from None
    try:
        return _all(descriptor).decode("utf-8", "surrogateescape")
    finally:
        os.close(descriptor)


def optional(path: Path | str) -> str | None:
    """The file's text without white space around it, None where it cannot be read (absent, or refused by a driver)."""
    try:
        return text(path).strip()
    except (NoDataError, OSError):
        return None


def number(word: str, source: str) -> float:
    """A number as the kernel writes it: finite, no sign of infinity. MalformedError otherwise."""
    try:
        value = float(word)
    except ValueError:
        raise MalformedError(source, word) from None
    if value - value != 0.0:
        raise MalformedError(source, word)
    return value


def _all(descriptor: int) -> bytes:
    parts = []
    while part := os.read(descriptor, _CHUNK):
        parts.append(part)
    return b"".join(parts)
