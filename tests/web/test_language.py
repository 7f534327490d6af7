"""Two languages, complete; themes and keys; dates and plurals by the language's own rules."""

import io
import re
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.pofile import read_po

from tests.web.visitor import Visit

pytestmark = pytest.mark.usefixtures("estate")

WEB = Path(__file__).resolve().parents[2] / "web"
KEYWORDS = {**DEFAULT_KEYWORDS, "_": None, "lazy_gettext": None, "lazy_pgettext": ((1, "c"), 2)}
METHODS = [("**.py", "python"), ("templates/**.html", "jinja2.ext:babel_extract")]
SPLIT = re.compile(r"%\(\w+\)s")


@pytest.fixture(scope="module")
def polish() -> Catalog:
    text = (WEB / "translations/pl/LC_MESSAGES/messages.po").read_bytes()
    return read_po(io.BytesIO(text), locale="pl")


def said() -> set[tuple[str | None, str | tuple[str, ...]]]:
    """Every sentence of the pages with its context."""
    options = {"templates/**.html": {"silent": "false"}}
    found = extract_from_dir(WEB, METHODS, options, keywords=KEYWORDS)
    kept = (item for item in found if "node_modules" not in item[0])
    return {(context, message) for _, _, message, _, context in kept}


def test_every_sentence_is_translated(polish: Catalog) -> None:
    missing = []
    for context, message in said():
        key = message if isinstance(message, str) else message[0]
        found = polish.get(key, context)
        strings = found.string if found and isinstance(found.string, tuple) else (found.string if found else "",)
        if not all(strings) or (found is not None and found.fuzzy):
            missing.append(message)
    assert missing == []


def test_no_translation_is_left_over(polish: Catalog) -> None:
    used = {(context, message if isinstance(message, str) else message[0]) for context, message in said()}
    kept = {(m.context, m.id if isinstance(m.id, str) else m.id[0]) for m in polish if m.id}
    assert kept - used == set()


def test_translations_keep_their_values(polish: Catalog) -> None:
    def values(message: Message) -> bool:
        wanted = set(SPLIT.findall(message.id if isinstance(message.id, str) else message.id[1]))
        strings = message.string if isinstance(message.string, tuple) else (message.string,)
        return all(set(SPLIT.findall(str(s))) == wanted for s in strings)

    assert [m.id for m in polish if m.id and not values(m)] == []


def test_polish_has_its_three_plurals(polish: Catalog) -> None:
    found = polish.get("%(num)s ticket")
    assert found is not None
    assert found.string == ("%(num)s zgłoszenie", "%(num)s zgłoszenia", "%(num)s zgłoszeń")
    assert polish.num_plurals == 3


def test_the_browser_s_language_counts_until_one_chooses(browser: Visit) -> None:
    anna = browser("anna")
    assert 'lang="pl"' in anna.get("/queue", Accept_Language="pl-PL,pl;q=0.9,en;q=0.8").text
    assert 'lang="en"' in anna.get("/queue", Accept_Language="de").text
    anna.send("/preferences", {"language": "pl", "next": "/queue"})
    assert 'lang="pl"' in anna.get("/queue", Accept_Language="en").text
    assert "8 zgłoszeń" in anna.get("/queue").text


def test_the_choice_belongs_to_the_account(browser: Visit) -> None:
    browser("anna").send("/preferences", {"language": "pl"})
    assert 'lang="pl"' in browser("anna").get("/queue", Accept_Language="en").text
    assert 'lang="en"' in browser("jan").get("/queue", Accept_Language="en").text


def test_a_stranger_s_choice_is_in_the_browser(browser: Visit) -> None:
    here = browser()
    here.send("/preferences", {"language": "pl", "theme": "dark", "next": "/login"}, page="/login")
    page = here.get("/login", Accept_Language="en").text
    assert "Zaloguj się" in page
    assert 'data-theme="dark"' in page


def test_the_theme_is_made_by_the_server(browser: Visit) -> None:
    anna = browser("anna")
    assert "data-theme" not in anna.get("/queue").text
    anna.send("/preferences", {"theme": "dark"})
    assert 'data-theme="dark"' in anna.get("/queue").text
    anna.send("/preferences", {"theme": "system"})
    assert "data-theme" not in anna.get("/queue").text


def test_keys_can_be_switched_off(browser: Visit) -> None:
    anna = browser("anna")
    anna.send("/preferences", {"keys": "off"})
    assert 'data-keys="off"' in anna.get("/queue").text


@pytest.mark.parametrize("form", [{"language": "xx"}, {"theme": "pink"}, {"keys": "maybe"}, {}])
def test_a_wish_nobody_offers_changes_nothing(browser: Visit, form: dict[str, str]) -> None:
    anna = browser("anna")
    assert anna.send("/preferences", {**form, "next": "//evil.example"}).headers["Location"] == "/"
    assert '<html lang="en">' in anna.get("/queue").text
