"""When a fleet has come: what belongs to its streams is there to stay. Pure."""

MANY = 1000  # streams more than the last time
CALM = 30  # looks at which hardly anybody comes
_HARDLY = 1000  # one of so many


class Settling:
    """Looked at once a second."""

    def __init__(self) -> None:
        self._most = self._last = self._calm = 0

    def look(self, streams: int) -> bool:
        """Whether a quarter more than ever before, and many, have come by now, and the last of them a while ago."""
        came, self._last = streams - self._last, streams
        self._calm = self._calm + 1 if came * _HARDLY <= streams else 0
        if self._calm < CALM or streams < self._most * 5 // 4 + MANY:
            return False
        self._most = streams
        return True
