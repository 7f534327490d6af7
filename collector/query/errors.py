"""What a query may meet."""


class EngineStoppedError(Exception):
    """The engine thread has ended and takes nothing more."""
