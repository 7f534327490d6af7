"""What can go wrong in a probe, as one small tree. Only the round decides what an error costs."""


class ProbeError(Exception):
    """The subject could not be read."""


class NoDataError(ProbeError):
    """This host has no such subject: no conntrack module, no mdstat, no system bus. Nobody needs to act."""


class MalformedError(ProbeError):
    """A file of the kernel does not look as expected."""

    def __init__(self, source: str, line: str) -> None:
        super().__init__(f"{source} does not look as expected: {line[:120]!r}")
        self.source = source
        self.line = line
