"""What a query may meet."""


class EngineStoppedError(Exception):
    """The engine thread has ended and takes nothing more."""


class PreviewError(Exception):
    """The expression cannot be shown: it takes too long, needs too much, or ended the process that tried."""
