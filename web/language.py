"""Which language, time zone, theme and keys a page is made for, and the form that changes them."""

from zoneinfo import ZoneInfo

from flask import Blueprint, Flask, g, redirect, render_template, request
from werkzeug.wrappers import Response

from collector.store import users
from collector.store.users import User
from web import translate
from web.security import is_local
from web.settings import parts

LANGUAGES = ("en", "pl")
NAMES = (("en", "English"), ("pl", "Polski"))
THEMES = ("system", "light", "dark")
_YEAR = 365 * 86400


def install(app: Flask, timezone: str) -> None:
    """Flask-Babel with our choice of language and the installation's zone. Raises for a zone that does not exist."""
    ZoneInfo(timezone)
    app.config.update(BABEL_DEFAULT_LOCALE="en", BABEL_DEFAULT_TIMEZONE=timezone)
    translate.install(app, choose)


def blueprint() -> Blueprint:
    """The form for language, theme and keys."""
    pages = Blueprint("language", __name__)
    pages.add_url_rule("/preferences", "save", save, methods=["POST"])
    pages.add_url_rule("/help/keys", "keys", keys)
    return pages


def choose() -> str:
    """The person's language, else the cookie's, else the browser's, else English."""
    for wish in (preference("language"), request.cookies.get("czuwak_language", "")):
        if wish in LANGUAGES:
            return wish
    return request.accept_languages.best_match(LANGUAGES) or "en"


def language() -> str:
    """`en` or `pl`, of the page being made."""
    return translate.locale()


def theme() -> str:
    """`light`, `dark` or `system`."""
    wish = preference("theme")
    return wish if wish in THEMES else "system"


def keys_on() -> bool:
    """Whether single-key shortcuts are wanted."""
    return preference("keys") != "off"


def preference(name: str) -> str:
    """A wish of who is logged in, else of this browser; empty where there is none."""
    user: User | None = g.get("user")
    return str(user.preferences.get(name, "")) if user else request.cookies.get(f"czuwak_{name}", "")


def keys() -> str:
    """The list of shortcuts as a page, for those without JavaScript."""
    return render_template("keys.html", keys_page=True)


def save() -> Response:
    """Keeps what the form names: in the account of who is logged in, and in cookies for the login page."""
    target = request.form.get("next")
    answer = redirect(target if target and is_local(target) else "/", code=303)
    wishes = _wishes()
    if g.get("user") and wishes:
        with parts().store.write() as conn:
            users.set_preferences(conn, g.user.id, wishes)
    for name, wish in wishes.items():
        _remember(answer, name, wish)
    return answer


def _wishes() -> dict[str, str]:
    allowed = {"language": LANGUAGES, "theme": THEMES, "keys": ("on", "off")}
    return {name: request.form[name] for name, values in allowed.items() if request.form.get(name) in values}


def _remember(answer: Response, name: str, value: str) -> None:
    secure = parts().settings.secure_cookies or request.is_secure
    answer.set_cookie(f"czuwak_{name}", value, max_age=_YEAR, samesite="Lax", httponly=True, secure=secure)
