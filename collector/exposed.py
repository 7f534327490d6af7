"""Which of the collector's files others could read or replace: looked at before anything is served.

Keys and secrets are refused where they are read. Here is what is only told, with the command that mends it.
"""

import stat
from collections.abc import Iterator
from pathlib import Path

from collector.config import Config

_WRITABLE = stat.S_IWGRP | stat.S_IWOTH


def exposed(config: Config) -> Iterator[tuple[str, str]]:
    """(what is wrong, the command that mends it), one for each file or folder. Never raises."""
    for folder in dict.fromkeys((config.folder, config.ca.dir, config.web.secret_file.parent)):
        mode = _mode(folder)
        if mode & _WRITABLE and not mode & stat.S_ISVTX:
            yield f"{folder}: others can replace files in it (mode {mode:04o})", f"chmod go-w {folder}"
    certificate = config.ca.dir / "ca.pem"
    if (mode := _mode(certificate)) & _WRITABLE:
        yield f"{certificate}: others can change whom agents believe (mode {mode:04o})", f"chmod go-w {certificate}"
    for path, what in _private(config):
        if (mode := _mode(path)) & stat.S_IROTH:
            yield f"{path}: everybody can read {what} (mode {mode:04o})", f"chmod o-rwx {path}"


def _private(config: Config) -> Iterator[tuple[Path, str]]:
    if config.database.url.startswith("sqlite:///"):
        path = Path(config.database.url.removeprefix("sqlite:///"))
        # In a folder of our own the file's mode does not matter: nobody gets there.
        if _mode(path.parent) & stat.S_IXOTH:
            yield path, "all tickets"
    elif config.database.url != config.database.shown:
        yield config.path, "the database's password"


def _mode(path: Path) -> int:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return 0  # what is not there is told by whoever needs it
