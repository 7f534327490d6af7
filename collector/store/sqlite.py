"""What SQLite needs from us: safe pragmas, the journal mode its version allows, no network file system."""

import os
import sqlite3
from pathlib import Path

from collector.store.errors import SchemaError, StoreError

_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "ocfs2", "gfs2"})
_NETWORK |= {"gpfs", "beegfs", "orangefs", "ncpfs", "coda", "davfs", "fuse.sshfs", "fuse.glusterfs", "fuse.s3fs"}
_NETWORK |= {"fuse.rclone", "fuse.davfs", "fuse.cephfs", "fuse.smbnetfs", "fuse.juicefs"}
BUSY_SECONDS = 5.0


def journal_mode(version: tuple[int, ...]) -> str:
    """WAL only where the linked SQLite cannot lose commits by the WAL-reset race (3.7.0-3.51.2, two backports)."""
    if (3, 44, 6) <= version < (3, 45) or (3, 50, 7) <= version < (3, 51):
        return "WAL"
    return "TRUNCATE" if (3, 7, 0) <= version < (3, 51, 3) else "WAL"


def prepare(connection: sqlite3.Connection) -> None:
    """Set what every connection needs; runs once per connection."""
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
    cursor.execute(f"PRAGMA journal_mode = {journal_mode(sqlite3.sqlite_version_info)}")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA trusted_schema = OFF")
    cursor.close()


def check_place(path: Path, mountinfo: str) -> None:
    """Raises StoreError where the file would lie on a network file system: its locks are not to be trusted."""
    kind = file_system(path, mountinfo)
    if kind in _NETWORK:
        raise StoreError(
            f"{path} is on a network file system ({kind}), where SQLite's locks are not safe; "
            "put the database on a local disk or use PostgreSQL"
        )


def file_system(path: Path, mountinfo: str) -> str:
    """The type of the file system `path` is on, by the text of /proc/self/mountinfo; empty where it is not known."""
    best, kind = "", ""
    for row in mountinfo.splitlines():
        before, found, after = row.partition(" - ")
        fields = before.split()
        if not found or len(fields) < 5:
            continue
        point = _unescaped(fields[4])
        if path.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, after.split(maxsplit=1)[0]
    return kind


def mounts() -> str:
    """The text of /proc/self/mountinfo; empty where there is none."""
    try:
        return Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def check_directory(path: Path) -> None:
    """Raises StoreError where the file's directory is missing or not writable."""
    if not path.parent.is_dir():
        raise StoreError(f"{path.parent} does not exist; create it or correct the database url")
    if not os.access(path.parent, os.W_OK):
        raise StoreError(f"{path.parent} is not writable for this user; SQLite also needs to write beside {path.name}")


def check_file(path: Path, *, create: bool) -> None:
    """Make a missing file with `create`; without it raise SchemaError. It holds password hashes: mode 0600."""
    if path.exists():
        return
    if not create:
        raise SchemaError(f"there is no database {path}; run `czuwak db upgrade` to make one")
    path.touch(mode=0o600)


def _unescaped(point: str) -> str:
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        point = point.replace(code, char)
    return point
