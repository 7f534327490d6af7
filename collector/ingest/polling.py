"""Which of gRPC's two servers polls: see docs/decisions/0015. Nothing here may load gRPC, which reads it only once."""

from collections.abc import MutableMapping

VARIABLE = "GRPC_EXPERIMENTS"
ONE_THREAD = "-event_engine_listener"


def poll_in_one_thread(environ: MutableMapping[str, str]) -> None:
    """The server that hands no event from thread to thread, unless the environment says otherwise; even if empty."""
    environ.setdefault(VARIABLE, ONE_THREAD)
