"""Recent samples of all hosts in numpy arrays: register, append, select by matchers, staleness.

One thread owns a `Head`. Nothing here reads a clock, a file or a socket; every time is Unix seconds, handed in.
"""

from collector.head.demand import Want
from collector.head.errors import HeadError, MatcherError, RecordError, UnknownSchemaError
from collector.head.frame import Frame
from collector.head.head import Head, HeadStats
from collector.head.latest import Latest
from collector.head.matcher import Match, Matcher, compiled
from collector.head.record import Decoder, Encoder, Record
from collector.head.selection import Select, Selection
from collector.head.slab import STALE
from collector.head.symbols import Symbols
from collector.head.windows import Windows

__all__ = [
    "STALE",
    "Decoder",
    "Encoder",
    "Frame",
    "Head",
    "HeadError",
    "HeadStats",
    "Latest",
    "Match",
    "Matcher",
    "MatcherError",
    "Record",
    "RecordError",
    "Select",
    "Selection",
    "Symbols",
    "UnknownSchemaError",
    "Want",
    "Windows",
    "compiled",
]
