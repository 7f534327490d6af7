"""How a figure tells its verdict in its lines: the first word says what `make chaos` makes of it."""

from tests.chaos.ledger import Verdict

VIOLATED = "violated: "  # correctness: ends the run with 1
MISSED = "missed: "  # a figure of speed or size was not reached
FEWER = "fewer: "  # reached, but with less than the goal names


def violated(what: str) -> str:
    """Something was lost, doubled, invented or not served."""
    return VIOLATED + what


def fewer(what: str) -> str:
    """Sized down to the budget or the machine."""
    return FEWER + what


def held(what: str, good: bool) -> str:
    """A figure that is or is not reached."""
    return what if good else MISSED + what


def judged(rule: str, verdict: Verdict) -> str:
    """One rule's tickets against the ledger."""
    return f"{rule}: {verdict}" if verdict.clean else violated(f"{rule}: {verdict}")


def summed(lines: list[str]) -> str:
    """The verdict of a figure in a word."""
    if any(line.startswith(VIOLATED) for line in lines):
        return "VIOLATED"
    if any(line.startswith(MISSED) for line in lines):
        return "missed"
    return "reached with fewer" if any(line.startswith(FEWER) for line in lines) else "reached"
