"""Whether a process is a watched one, by its name or its command line. Pure."""

import re
from dataclasses import dataclass

from agent.probes.probe import WatchedProcess

# The kernel keeps this much of a process' name.
_COMM = 15


@dataclass(frozen=True, slots=True)
class Matcher:
    """One of the three ways to match; the other two are empty."""

    exact: str = ""
    part: str = ""
    pattern: re.Pattern[str] | None = None

    def wants_command(self, comm: str) -> bool:
        """Whether the name alone does not decide."""
        return not self.exact or (len(self.exact) > _COMM and comm == self.exact[:_COMM])

    def of(self, comm: str, arguments: list[str]) -> bool:
        """Whether a process of this (maybe cut) name and these arguments matches."""
        if self.exact:
            return self._named(comm, arguments)
        command = " ".join(arguments)
        return self.pattern.search(command) is not None if self.pattern else self.part in command

    # A name too long for the kernel is told by the program's file.
    def _named(self, comm: str, arguments: list[str]) -> bool:
        if comm == self.exact:
            return True
        cut = comm == self.exact[:_COMM] and len(comm) == _COMM
        return cut and bool(arguments) and arguments[0].rpartition("/")[2] == self.exact


def matcher(watched: WatchedProcess) -> Matcher:
    """The matcher of a watched process, as WatchedProcess says."""
    if watched.match.startswith("~"):
        return Matcher(pattern=re.compile(watched.match[1:]))
    if watched.match.startswith("="):
        return Matcher(exact=watched.match[1:])
    return Matcher(part=watched.match) if watched.match else Matcher(exact=watched.name)
