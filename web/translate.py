"""The typed door to Flask-Babel: what it says in the language of the request. Every visible sentence passes here."""

from collections.abc import Callable
from datetime import tzinfo
from typing import cast

import flask_babel as babel  # type: ignore[import-untyped]  # it ships no types
from flask import Flask


def install(app: Flask, choose: Callable[[], str]) -> None:
    """Makes the application speak the language `choose` names for each request."""
    babel.Babel(app, locale_selector=choose)


def gettext(sentence: str, **values: object) -> str:
    """The sentence in the reader's language; `%(name)s` stands for a value."""
    return str(babel.gettext(sentence, **values))


def ngettext(one: str, many: str, num: int, **values: object) -> str:
    """The sentence in the form the number needs; `%(num)s` is the number."""
    return str(babel.ngettext(one, many, num, **values))


def lazy_gettext(sentence: str) -> object:
    """The sentence, translated when it becomes text."""
    return babel.lazy_gettext(sentence)


def lazy_pgettext(context: str, sentence: str) -> object:
    """As `lazy_gettext`, for a word that is translated differently in this context."""
    return babel.lazy_pgettext(context, sentence)


def locale() -> str:
    """`en` or `pl`; English outside of a request."""
    return str(babel.get_locale() or "en")


def timezone() -> tzinfo:
    """The installation's zone."""
    return cast("tzinfo", babel.get_timezone())
