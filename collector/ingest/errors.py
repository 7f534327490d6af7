"""What can go wrong at the agents' door; each message says what, where and what next."""

from dataclasses import dataclass

from czuwak.v1 import ingest_pb2 as pb


class IngestError(Exception):
    """The ingest process cannot do what it was asked."""


class CaError(IngestError):
    """The certificate authority's files are missing, damaged or readable by others."""


class CsrError(IngestError):
    """A signing request does not prove a key we accept."""


class ListenError(IngestError):
    """An address cannot be listened on."""


class EnrollmentError(IngestError):
    """An enrolment is refused; `code` is the gRPC status name the agent hears."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True)
class PayloadError(IngestError):
    """A schema or a batch is refused; `reason` is what the nack says and `detail` one sentence for the log."""

    reason: pb.NackReason.ValueType
    detail: str

    def __str__(self) -> str:
        return self.detail
