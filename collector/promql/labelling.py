"""label_replace and label_join: each distinct old value is worked on once, and the new frame hangs on the old one."""

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collector.head import Frame, Match, Matcher, MatcherError
from collector.head.matcher import compiled
from collector.promql.errors import EvaluationError
from collector.promql.nodes import Call, Node, Text
from collector.promql.rows import Rows

_LONGEST = 65_536  # characters of a label value
_TOGETHER = 50_000_000  # of all the values one function makes
_REFERENCE = re.compile(r"\$(?:\$|(?P<bare>\w+)|\{(?P<braced>\w+)\})", re.ASCII)


def check_replace(call: Call) -> None:
    """Raises ValueError for a bad regular expression or label name."""
    target, _, _, pattern = _texts(call.arguments[1:])
    try:
        Matcher("", Match.REGEX, pattern)
    except MatcherError as error:
        raise ValueError(str(error)) from None
    _check_name(target)


def check_join(call: Call) -> None:
    """Raises ValueError for a bad label name."""
    target, _, *sources = _texts(call.arguments[1:])
    for name in (target, *sources):
        _check_name(name)


def label_replace(call: Call, rows: Rows) -> Rows:
    """A label set from the parts of another where the whole of that matches."""
    key = ("label_replace", call.arguments[1:])
    return _relabelled(rows, rows.frame.memo(key, lambda: _replaced(rows.frame, *_texts(call.arguments[1:]))))


def label_join(call: Call, rows: Rows) -> Rows:
    """A label set to others joined by a separator."""
    key = ("label_join", call.arguments[1:])
    return _relabelled(rows, rows.frame.memo(key, lambda: _joined(rows.frame, *_texts(call.arguments[1:]))))


def _relabelled(rows: Rows, frame: Frame) -> Rows:
    return rows.with_frame(frame, rows.values)


def _texts(nodes: tuple[Node, ...]) -> tuple[str, ...]:
    return tuple(node.value for node in nodes if isinstance(node, Text))


def _check_name(name: str) -> None:
    if not name:
        raise ValueError("a label name is empty")


def _replaced(frame: Frame, target: str, replacement: str, source: str, pattern: str) -> Frame:
    regex, encode = compiled(pattern), frame.symbols.encode
    old, inverse = np.unique(_codes(frame, source), return_inverse=True)
    texts = [frame.symbols.decode(int(code)) for code in old]
    _refuse_long(max(map(len, texts), default=0) * replacement.count("$") + len(replacement), len(texts))
    found = [regex.fullmatch(text) for text in texts]
    made = np.array([-1 if m is None else encode(_expand(replacement, m)) for m in found], np.int32)
    new = made[inverse.reshape(-1)]
    return _with_column(frame, target, np.where(new >= 0, new, _codes(frame, target)))


def _joined(frame: Frame, target: str, separator: str, *sources: str) -> Frame:
    groups = frame.groups(sources)
    columns = [_codes(frame, name)[groups.first] for name in sources]
    decode, encode = frame.symbols.decode, frame.symbols.encode
    longest = (max((len(decode(int(code))) for code in np.unique(column)), default=0) for column in columns)
    _refuse_long(sum(longest) + len(separator) * len(sources), groups.size)
    texts = (separator.join(decode(int(c[group])) for c in columns) for group in range(groups.size))
    made = np.array([encode(text) for text in texts], np.int32)
    return _with_column(frame, target, made[groups.ids] if frame.size else np.zeros(0, np.int32))


def _refuse_long(size: int, texts: int) -> None:
    """A label made of itself doubles each time: without a limit a short expression fills the memory."""
    if size > _LONGEST or size * texts > _TOGETHER:
        raise EvaluationError(f"label values of {size} characters are too long")


def _codes(frame: Frame, name: str) -> NDArray[np.int32]:
    found = frame.columns.get(name)
    return np.zeros(frame.size, np.int32) if found is None else found


def _with_column(frame: Frame, name: str, codes: NDArray[np.int32]) -> Frame:
    return Frame(frame.symbols, {**frame.columns, name: codes.astype(np.int32)}, frame.size)


def _expand(replacement: str, found: Any) -> str:
    """Go's expansion: $1, ${1}, $name, $$; what does not exist is empty."""

    def part(reference: re.Match[str]) -> str:
        name = reference["bare"] or reference["braced"]
        if name is None:
            return "$"
        groups = found.groupdict()
        if name.isdigit():
            number = int(name)
            return (found.group(number) or "") if number <= len(found.groups()) else ""
        return groups.get(name) or ""

    return _REFERENCE.sub(part, replacement)
