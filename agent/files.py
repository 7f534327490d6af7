"""Small files that must survive a power cut: written beside, synced, renamed, and the folder synced."""

import os
from pathlib import Path

PRIVATE = 0o600
PUBLIC = 0o644


def write(path: Path, data: bytes, mode: int = PUBLIC) -> None:
    """Replace `path` by `data` in one step; its folder is made (0700) where it is missing. Raises OSError.

    What root writes belongs to the folder's owner, so that an administrator can enroll for the agent's own user.
    """
    _make_folder(path.parent)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        _write_new(beside, data, mode)
        _hand_over(beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    sync_folder(path.parent)


def remove(path: Path) -> None:
    """Remove `path`, which need not be there, and sync its folder. Raises OSError."""
    if path.exists():
        path.unlink()
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the folder's own entries durable. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _make_folder(folder: Path) -> None:
    if not folder.exists():
        _make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        _hand_over(folder)


def _hand_over(path: Path) -> None:
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _write_new(path: Path, data: bytes, mode: int) -> None:
    path.unlink(missing_ok=True)
    # The mode stands from the first byte on: a key is never readable by others, not even for a moment.
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
