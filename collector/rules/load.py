"""Rule files as text and YAML: guards, positions and the door to `schema`. The only place that reads YAML.

A file is bounded (1 MiB, 32 levels, 64 aliases, 200,000 values), so no file can stall or kill the process.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from collector.rules.document import Item, Kind, Place
from collector.rules.errors import Mistake, RuleFileError
from collector.rules.model import Group
from collector.rules.schema import Reading, read, read_groups

LARGEST = 1 << 20  # bytes
DEEPEST = 32
MOST_ALIASES = 64
MOST_VALUES = 200_000

_HALF = re.compile("[\ud800-\udfff]")
_KINDS = {
    "tag:yaml.org,2002:null": Kind.NULL,
    "tag:yaml.org,2002:bool": Kind.BOOL,
    "tag:yaml.org,2002:int": Kind.INT,
    "tag:yaml.org,2002:float": Kind.FLOAT,
}


def load(path: Path) -> tuple[Group, ...]:
    """Groups of one rule file. Raises RuleFileError with every mistake in it."""
    return load_text(read_text(path), str(path))


def load_files(paths: Iterable[Path]) -> tuple[Group, ...]:
    """Groups of several files, in order. Raises RuleFileError with every mistake of all of them."""
    groups: list[Group] = []
    mistakes: list[Mistake] = []
    for path in paths:
        try:
            groups += load(path)
        except RuleFileError as error:
            mistakes += error.mistakes
    mistakes += repeated(groups)
    if mistakes:
        raise RuleFileError(tuple(mistakes))
    return tuple(groups)


def load_text(text: str, name: str) -> tuple[Group, ...]:
    """Groups of a rule file's text; `name` stands in messages. Raises RuleFileError."""
    document = load_document(text, name)
    return () if document is None else read_groups(document, name)


def reading(path: Path) -> Reading:
    """What a file holds besides its mistakes, which are in the answer; for `check`."""
    try:
        return reading_text(read_text(path), str(path))
    except RuleFileError as error:
        return Reading(mistakes=error.mistakes)


def reading_text(text: str, name: str) -> Reading:
    """The same for a file's text; `name` stands in messages."""
    try:
        document = load_document(text, name)
    except RuleFileError as error:
        return Reading(mistakes=error.mistakes)
    return Reading() if document is None else read(document, name)


def repeated(groups: Iterable[Group]) -> Iterator[Mistake]:
    """Rules that stand in two places of the given files."""
    first: dict[str, str] = {}
    for group in groups:
        for rule in group.rules:
            here = f"{group.file}:{rule.line}"
            there = first.setdefault(rule.uid, here)
            if there != here:
                yield Mistake(group.file, rule.line, 1, f"the same rule {rule.name!r} already stands at {there}")


def load_document(text: str, name: str) -> Item | None:
    """The guarded YAML document of a text, None when it is empty. Raises RuleFileError."""
    if len(text.encode(errors="replace")) > LARGEST:
        raise RuleFileError((Mistake(name, 1, 1, f"the file is larger than {LARGEST >> 20} MiB"),))
    half = _HALF.search(text)  # a file has none, text that came another way may; an escape of one is not YAML
    if half:
        line, column = text.count("\n", 0, half.start()) + 1, half.start() - text.rfind("\n", 0, half.start())
        raise RuleFileError((Mistake(name, line, column, "half a surrogate pair is no character"),))
    try:
        _guard(text, name)
        root = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        line, column = _position(error.problem_mark or error.context_mark)
        raise RuleFileError((Mistake(name, line, column, f"not YAML: {error.problem or error.context}"),)) from error
    except yaml.YAMLError as error:
        raise RuleFileError((Mistake(name, 1, 1, f"not YAML: {error}".splitlines()[0]),)) from error
    return None if root is None else _Reader(text, name).item(root)


def read_text(path: Path) -> str:
    """Text of a file. Raises RuleFileError when it cannot be read, is too large or is not UTF-8."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise RuleFileError((Mistake(str(path), 1, 1, f"cannot be read: {error.strerror or error}"),)) from error
    if len(data) > LARGEST:
        raise RuleFileError((Mistake(str(path), 1, 1, f"the file is larger than {LARGEST >> 20} MiB"),))
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        raise RuleFileError((Mistake(str(path), line, column, "not UTF-8 text"),)) from error


def _guard(text: str, name: str) -> None:
    """Refuses by events, before anything recursive: depth, aliases, several documents."""
    depth = aliases = documents = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        aliases += isinstance(event, yaml.AliasEvent)
        documents += isinstance(event, yaml.DocumentStartEvent)
        complaint = _complaint(depth, aliases, documents)
        if complaint:
            raise RuleFileError((Mistake(name, *_position(event.start_mark), complaint),))


def _position(mark: object) -> tuple[int, int]:
    """Line and column from 1 of either kind of YAML mark; the beginning where there is none."""
    return int(getattr(mark, "line", 0)) + 1, int(getattr(mark, "column", 0)) + 1


def _complaint(depth: int, aliases: int, documents: int) -> str:
    if depth > DEEPEST:
        return f"nested deeper than {DEEPEST} levels"
    if aliases > MOST_ALIASES:
        return f"more than {MOST_ALIASES} YAML aliases"
    return "only one YAML document is read from a file" if documents > 1 else ""


@dataclass(slots=True)
class _Reader:
    """Turns YAML nodes into items, counting them so that aliases cannot multiply without bound."""

    text: str
    name: str
    left: int = MOST_VALUES

    def item(self, node: yaml.Node, above: tuple[int, ...] = ()) -> Item:
        place = Place(self.text, node.start_mark.line, node.start_mark.column, getattr(node, "style", None) or "")
        self.left -= 1
        if self.left < 0 or id(node) in above:
            message = "an alias of itself" if self.left >= 0 else f"more than {MOST_VALUES} values"
            raise RuleFileError((Mistake(self.name, place.line + 1, place.column + 1, message),))
        above = (*above, id(node))
        if isinstance(node, yaml.MappingNode):
            pairs = tuple((self.item(key, above), self.item(value, above)) for key, value in node.value)
            return Item(Kind.MAP, place, pairs=pairs)
        if isinstance(node, yaml.SequenceNode):
            return Item(Kind.LIST, place, items=tuple(self.item(value, above) for value in node.value))
        return Item(_KINDS.get(node.tag, Kind.TEXT), place, text=str(node.value))
