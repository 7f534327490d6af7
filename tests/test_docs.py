"""What the documents name exists: files, modules and their functions, links, headings, make targets."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = tuple(sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]))
TOPS = "agent|collector|proto|web|tests|docs|\\.ci"
QUOTED = re.compile(r"`([^`\n]+)`")
OURS = re.compile(rf"(?:{TOPS})/[\w./*-]*")
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def text_of(document: Path) -> str:
    return FENCE.sub("", document.read_text())


def problems(document: Path) -> Iterator[str]:
    yield from (f"`{name}` does not exist" for name in quoted_paths(document) if not exists(name))
    yield from (f"link to {target} leads nowhere" for target in links(document) if not leads(document, target))
    yield from (f"make {name} is no target" for name in make_targets(document) if name not in targets())


def quoted_paths(document: Path) -> list[str]:
    return [name for name in QUOTED.findall(text_of(document)) if OURS.fullmatch(name)]


def exists(name: str) -> bool:
    """A file, a folder, a pattern, a module without its ending, or a module and something defined in it."""
    if "*" in name:
        return any(ROOT.glob(name))
    path = ROOT / name
    return path.exists() or path.with_name(path.name + ".py").exists() or defined(path)


def defined(path: Path) -> bool:
    module, _, attribute = path.name.partition(".")
    homes = [path.parent / f"{module}.py", *(path.parent / module).glob("*.py")]
    defines = re.compile(rf"^\s*(?:async )?(?:def|class) {re.escape(attribute)}\b", re.MULTILINE)
    return bool(attribute) and any(home.is_file() and defines.search(home.read_text()) for home in homes)


def links(document: Path) -> list[str]:
    return [
        target for target in LINK.findall(text_of(document)) if "://" not in target and not target.startswith("mailto:")
    ]


def leads(document: Path, target: str) -> bool:
    name, _, anchor = target.partition("#")
    path = (document.parent / name).resolve() if name else document
    if not path.exists() or not path.is_relative_to(ROOT):
        return False
    return not anchor or anchor in {
        slug(heading) for heading in re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    }


def slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def make_targets(document: Path) -> list[str]:
    return [
        match[1] for quoted in QUOTED.findall(document.read_text()) if (match := re.match(r"make ([a-z]+)", quoted))
    ]


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("document", DOCUMENTS, ids=[path.relative_to(ROOT).as_posix() for path in DOCUMENTS])
def test_a_document_names_only_what_exists(document: Path) -> None:
    found = list(problems(document))
    assert not found, "\n".join(found)


def test_a_wrong_path_a_wrong_function_and_a_dead_link_are_seen() -> None:
    assert exists("collector/alerts/alert.py")
    assert exists("collector/labels")
    assert exists("collector/alerts/alert.Alert")
    assert not exists("collector/alerts/alarm.py")
    assert not exists("collector/alerts/alert.Alarm")
    assert not leads(ROOT / "README.md", "docs/no-such-page.md")
