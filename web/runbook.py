"""The procedures: pages of docs/runbooks in the reader's language, and the first steps of one for a ticket.

They are Markdown files of ours; a name is looked up in the list of files, never joined to a path, and no HTML in them
is taken as such.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from flask import Blueprint, abort, render_template, url_for
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from web.language import LANGUAGES, language

_STEPS = 3
_OURS = re.compile(r"/?runbooks/(?:[a-z]{2}/)?([A-Za-z0-9_-]+)(?:\.md)?", re.ASCII)
_BESIDE = re.compile(r"(?:\.\./[a-z]{2}/)?([A-Za-z0-9_-]+)\.md", re.ASCII)
_WEB = ("https://", "http://")


@dataclass(frozen=True, slots=True)
class Runbook:
    """One procedure; `language` is that of the text, `steps` are its first, `body` all but the title."""

    name: str
    language: str
    title: str
    steps: tuple[Markup, ...]
    body: Markup


@dataclass(frozen=True, slots=True)
class Procedure:
    """What a ticket or a rule links to: one of ours with its first steps, or a page elsewhere without."""

    address: str
    outside: bool
    title: str = ""
    steps: tuple[Markup, ...] = ()
    language: str = ""


def blueprint() -> Blueprint:
    """The procedures' pages."""
    pages = Blueprint("runbook", __name__)
    pages.add_url_rule("/runbooks", "index", index)
    pages.add_url_rule("/runbooks/<name>", "show", show)
    return pages


def index() -> str:
    """Every procedure by its title."""
    found = [book for name in sorted(names()) if (book := find(name, language())) is not None]
    return render_template("runbooks.html", view="rules", books=sorted(found, key=lambda book: book.title.casefold()))


def show(name: str) -> str:
    """One procedure."""
    book = find(name, language())
    if book is None:
        abort(404)
    return render_template("runbook.html", view="rules", book=book)


def procedure(address: str) -> Procedure | None:
    """What a rule's `runbook_url` leads to; None for one of ours that is not there and for any other scheme."""
    ours = _OURS.fullmatch(address)
    if ours:
        book = find(ours[1], language())
        here = url_for("runbook.show", name=ours[1])
        return (
            Procedure(here, outside=False, title=book.title, steps=book.steps, language=book.language) if book else None
        )
    return Procedure(address, outside=True) if address.startswith(_WEB) else None


def find(name: str, wanted: str) -> Runbook | None:
    """The procedure of this name in the wanted language, else in another; None where there is none."""
    for spoken in dict.fromkeys((wanted, *LANGUAGES)):
        if name in names(spoken):
            return read((folder() / spoken / f"{name}.md").read_text(encoding="utf-8"), name, spoken)
    return None


def names(spoken: str = "en") -> frozenset[str]:
    """The names of all procedures in one language."""
    return frozenset(path.stem for path in (folder() / spoken).glob("*.md"))


def folder() -> Path:
    """Where the procedures are: beside this module in a wheel, in docs in a checkout."""
    here = Path(__file__).resolve().parent
    packed = here / "runbooks"
    return packed if packed.is_dir() else here.parent / "docs" / "runbooks"


def read(text: str, name: str, spoken: str) -> Runbook:
    """A procedure from its Markdown; the first heading is its title, the first list has its first steps."""
    tokens = _markdown().parse(text)
    title, rest = _title(tokens)
    if len(rest) > 2 and rest[1].content == f"`{name}`":  # the name stands above the page already
        rest = rest[3:]
    _mend(rest)
    steps = tuple(_html([item]) for item in _items(rest))[:_STEPS]
    return Runbook(name, spoken, title or name, steps, _html(rest))


def _title(tokens: Sequence[Token]) -> tuple[str, list[Token]]:
    """The text of a first-level heading at the start, and what follows it."""
    if len(tokens) > 2 and tokens[0].type == "heading_open" and tokens[0].tag == "h1":
        return "".join(child.content for child in tokens[1].children or []), list(tokens[3:])
    return "", list(tokens)


def _items(tokens: Sequence[Token]) -> Iterator[Token]:
    """The first line of every item of the first list."""
    depth = 0
    for token, after, third in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if token.type in {"bullet_list_open", "ordered_list_open"}:
            depth += 1
        elif token.type in {"bullet_list_close", "ordered_list_close"}:
            depth -= 1
            if not depth:
                return
        elif depth == 1 and token.type == "list_item_open" and after.type == "paragraph_open":
            yield third


def _mend(tokens: Sequence[Token]) -> None:
    """Links between the files lead to their pages; what leads elsewhere tells nobody where it came from."""
    for link in (child for token in tokens for child in token.children or [] if child.type == "link_open"):
        address = str(link.attrGet("href") or "")
        beside = _BESIDE.fullmatch(address)
        if beside:
            link.attrSet("href", url_for("runbook.show", name=beside[1]))
        elif address.startswith(_WEB):
            link.attrSet("rel", "noopener noreferrer")


def _html(tokens: Sequence[Token]) -> Markup:
    return Markup(_markdown().renderer.render(tokens, _markdown().options, {}))  # noqa: S704 - made with HTML off


@cache
def _markdown() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).disable("image")
