"""What one rule may cost, and the breaker that switches off a rule that costs more again and again. Pure.

A rule that is switched off is a rule that fails: its series says so, and the ticket about failing rules opens.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from collector.head import Matcher, Select, Selection
from collector.rules.duration import format_duration
from collector.rules.errors import RuleError

MOST_SAMPLES = 200_000_000  # of one evaluation of one rule
SAMPLE_INTERVAL = 15.0  # seconds: how many samples a time span is taken to hold
SHARE = 0.8  # of a group's interval
LEAST = 0.5  # seconds: a very short interval is no reason to switch rules off
STRIKES = 3  # in a row
REST = 600.0  # seconds switched off; then it gets one more chance


class BudgetError(RuleError):
    """The rule, or its group, costs more than it may."""


@dataclass(slots=True)
class Effort:
    """The seconds a thread has worked, of `work`, which is slow to ask: between two answers `wall` goes on counting.

    So it is at most `every` seconds ahead of the truth.
    """

    work: Callable[[], float]
    wall: Callable[[], float]
    every: float = 0.005
    asked: float = -math.inf
    worked: float = 0.0

    def __call__(self) -> float:
        """Seconds so far."""
        now = self.wall()
        if now - self.asked >= self.every:
            self.asked, self.worked = now, self.work()
        return self.worked + now - self.asked


@dataclass(slots=True)
class Breaker:
    """One rule's record of breaking its budget. Unix seconds."""

    strikes: int = 0
    off_until: float = 0.0
    reason: str = ""

    def check(self, at: float) -> None:
        """Raises BudgetError while the rule is switched off."""
        if at < self.off_until:
            raise BudgetError(f"switched off, it broke its budget {STRIKES} times in a row: {self.reason}")

    def strike(self, reason: str, at: float) -> bool:
        """Counts one breach; True when the rule is switched off by it."""
        self.strikes += 1
        self.reason = reason
        if self.strikes < STRIKES:
            return False
        self.strikes, self.off_until = STRIKES - 1, at + REST
        return True

    def clear(self) -> None:
        """The rule has kept to its budget."""
        self.strikes, self.off_until, self.reason = 0, 0.0, ""


def allowance(interval: float) -> float:
    """Seconds of work a group may take of its interval."""
    return max(LEAST, SHARE * interval)


def bounded(select: Select, most: float = MOST_SAMPLES) -> Select:
    """The same select for one evaluation, that raises BudgetError before it hands out more than `most` samples."""
    left = most

    def taken(matchers: Sequence[Matcher], start: float, end: float) -> Selection:
        nonlocal left
        found = select(matchers, start, end)
        left -= found.frame.size * max(1.0, (end - start) / SAMPLE_INTERVAL)
        if left < 0:
            raise BudgetError(f"more than {most:,.0f} samples in one evaluation")
        return found

    return taken


def too_slow(seconds: float, interval: float) -> str:
    """What is said of a rule that took so long."""
    return f"{seconds:.2f} s of work every {format_duration(interval)}"
