"""What can go wrong in the agent, as one small tree; the text of an error is the sentence a person reads."""

from dataclasses import dataclass
from pathlib import Path


class AgentError(Exception):
    """The agent cannot do what was asked; the message says what, where and what next."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake in the configuration: where (`file:line`, a variable or a flag) and what."""

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


class ConfigError(AgentError):
    """The configuration has mistakes; all of them are told at once, one a line."""

    def __init__(self, mistakes: tuple[Mistake, ...]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = mistakes


class IdentityError(AgentError):
    """The identity directory is not usable."""


class IdentityMissingError(IdentityError):
    """This machine has no identity yet."""

    def __init__(self, directory: Path) -> None:
        super().__init__(
            f"no identity in {directory}: run `czuwak-agent enroll --collector HOST:PORT --token-file FILE"
            " --ca-fingerprint SHA256` first"
        )
        self.directory = directory


class EnrollError(AgentError):
    """The machine was not enrolled; nothing of an earlier identity was changed."""


class RenewError(AgentError):
    """The certificate was not renewed now; the old one stays in use, and it is tried again."""


class FingerprintError(EnrollError):
    """The collector did not present the CA certificate with the pinned fingerprint."""


class RefusedError(EnrollError):
    """The collector refused the request, for good: the same token will be refused again."""


class ControlError(AgentError):
    """The running agent could not be asked, or said no."""


class ListenError(AgentError):
    """The Prometheus page could not be opened on its address."""


class DiskError(AgentError):
    """The spool's file cannot be used now; the batches stay in memory."""


class DiskFullError(DiskError):
    """There is no room for what was to be written; what is there already stays usable."""


class DiskDamagedError(DiskError):
    """The file's content is not what was written; it can be made anew from what is readable."""
