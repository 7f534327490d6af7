"""Who is online, away by plan, away without a word, catching up; pure."""

from collector.presence.states import Policy, Presence, Standing
from collector.presence.table import step

__all__ = ["Policy", "Presence", "Standing", "step"]
