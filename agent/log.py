"""Log lines on standard error: a sentence and its action; for systemd with a priority instead of a time."""

import logging
import sys
from collections.abc import Mapping

from agent.errors import ConfigError, Mistake

_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class Lines(logging.Formatter):
    """One line per record. `journal`: systemd adds the time itself and reads the priority from the line's start."""

    def __init__(self, *, journal: bool) -> None:
        super().__init__("%(message)s" if journal else "%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S%z")
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        """The record's line; what a peer put into it cannot start another one."""
        text = super().format(record)
        if not record.exc_info:
            text = text.replace("\r", " ").replace("\n", " ")
        action = getattr(record, "action", "")
        line = f"{text} action={action}" if action else text
        return f"<{_PRIORITIES.get(record.levelno, 6)}>{line}" if self._journal else line


def level_of(environment: Mapping[str, str]) -> int:
    """What CZUWAK_LOG names, else INFO; ConfigError for what is no level."""
    name = (environment.get("CZUWAK_LOG") or "INFO").upper()
    if name not in _LEVELS:
        raise ConfigError((Mistake("CZUWAK_LOG", f"{name} is no level; write DEBUG, INFO, WARNING or ERROR"),))
    return logging.getLevelNamesMapping()[name]


def start(environment: Mapping[str, str], level: int = logging.INFO) -> None:
    """Send every record from `level` on to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines(journal="JOURNAL_STREAM" in environment))
    logging.basicConfig(level=level, handlers=[handler], force=True)
