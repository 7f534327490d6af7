"""What the expression engine refuses, before and while it evaluates."""


class PromqlError(Exception):
    """The expression cannot be evaluated."""


class PlanError(PromqlError):
    """The expression is not valid or needs something that is not supported; `column` is 1-based."""

    def __init__(self, message: str, column: int = 1) -> None:
        self.message = message
        self.column = column
        super().__init__(f"column {column}: {message}")


class EvaluationError(PromqlError):
    """The data does not allow an answer, as in many-to-many matching."""


class WorkError(EvaluationError):
    """The evaluation would cost more than it may."""
