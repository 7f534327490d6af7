"""Who is asking: log in, log out, one-time links, the session's cookie, and the rule that every page needs a login."""

import logging
import math
import secrets
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from flask import Blueprint, Flask, abort, g, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response

from collector.store import users
from collector.store.users import User
from web.security import is_local
from web.settings import parts
from web.translate import gettext as _
from web.translate import ngettext

log = logging.getLogger(__name__)

# Pages a stranger may see; everything else needs a login.
OPEN = frozenset({"static", "auth.login", "auth.once", "auth.logout", "language.save"})
# Blueprints that know their own readers: bearer tokens, allowed networks.
OWN_RULES = frozenset({"api", "health"})
_LONGEST_PASSWORD = 1024


def blueprint() -> Blueprint:
    """Log in, the one-time link, log out."""
    pages = Blueprint("auth", __name__)
    pages.add_url_rule("/login", "login", login, methods=["GET", "POST"])
    pages.add_url_rule("/login/once/<token>", "once", once)
    pages.add_url_rule("/logout", "logout", logout, methods=["POST"])
    return pages


def install(app: Flask) -> None:
    """Every request knows its user, and a page that needs one has one."""
    app.before_request(identify)
    app.before_request(require)


def identify() -> None:
    """Sets `g.user` and `g.scope` from the session's cookie; None for a stranger."""
    g.user = g.scope = None
    token = request.cookies.get(cookie())
    if not token or request.endpoint == "static" or request.blueprint in OWN_RULES:
        return
    here = parts()
    with here.store.read() as conn:
        found = users.session(conn, token, here.now())
    if found is not None:
        g.user, g.scope = found.user, found.user.companies


def require() -> Response | None:
    """Sends a stranger to the login page and remembers where they wanted to go."""
    if g.user or request.endpoint in OPEN or request.blueprint in OWN_RULES:
        return None
    if request.endpoint is None:
        return None  # the 404 is Flask's
    if request.method not in {"GET", "HEAD"}:
        abort(401)
    wanted = request.full_path.rstrip("?")
    return redirect(url_for("auth.login", next=wanted if wanted != "/" else None))


def login() -> str | Response | tuple[str, int]:
    """The form, and what it sends: a right password makes a new session with a new secret."""
    if request.method != "POST":
        return redirect("/") if g.user else _form("", "")
    here, name, password = parts(), request.form.get("login", ""), request.form.get("password", "")
    address = request.remote_addr or ""
    with here.store.read() as conn:
        until = users.locked_until(conn, name, address, here.now())
        found = users.user_by_login(conn, name)
    if until is not None:
        minutes = max(1, math.ceil((until - here.now()) / 60))
        wait = ngettext(
            "Too many attempts. Try again in %(num)s minute.",
            "Too many attempts. Try again in %(num)s minutes.",
            minutes,
        )
        return _form(name, wait), 429
    if not is_right(found, password) or found is None:
        with here.store.write() as conn:
            users.record_failure(conn, name, address, here.now())
        log.info("a login was refused", extra={"action": "login_refused", "address": address})
        return _form(name, _("The login or the password is not right.")), 403
    with here.store.write() as conn:
        users.clear_failures(conn, name, address)
        users.end_session(conn, _old())
        if needs_rehash(found):  # ends the account's other sessions; it happens once per change of parameters
            users.set_password(conn, found.id, hash_password(password))
        token = users.new_session(conn, found.id, here.now(), here.settings.session_seconds)
    return _enter(token)


def once(token: str) -> Response | tuple[str, int]:
    """A one-time link: the secret of a short session, worth nothing after its first use."""
    here = parts()
    with here.store.write() as conn:
        fresh = users.rotate_session(conn, token, here.now(), here.settings.session_seconds)
    if fresh is None:
        return _form("", _("This link was used already or is too old. Log in with your password.")), 403
    return _enter(fresh)


def logout() -> Response:
    """Ends the session here and in the database."""
    with parts().store.write() as conn:
        users.end_session(conn, _old())
    session.clear()
    answer = redirect(url_for("auth.login"), code=303)
    answer.delete_cookie(cookie())
    answer.headers["Clear-Site-Data"] = '"storage"'
    return answer


def cookie() -> str:
    """The session cookie's name; the prefix makes browsers insist on https and on this very host."""
    return "__Host-czuwak" if parts().settings.secure_cookies else "czuwak_session"


def is_right(user: User | None, password: str) -> bool:
    """Whether the password is this user's. An unknown or disabled user costs the same time as a known one."""
    usable = user is not None and user.disabled_at is None
    stored = user.password_hash if user is not None and usable else _nobody()
    try:
        _hasher().verify(stored, password[:_LONGEST_PASSWORD])
    except (VerificationError, InvalidHashError):
        return False
    return usable


def needs_rehash(user: User) -> bool:
    """Whether the hash was made with older parameters."""
    return _hasher().check_needs_rehash(user.password_hash)


def hash_password(password: str) -> str:
    """The argon2id hash of a password, for storing."""
    return _hasher().hash(password[:_LONGEST_PASSWORD])


def _enter(token: str) -> Response:
    here = parts()
    wanted = request.form.get("next") or request.args.get("next")
    session.clear()  # a new CSRF token for a new person
    answer = redirect(wanted if wanted and is_local(wanted) else "/", code=303)
    answer.set_cookie(
        cookie(),
        token,
        max_age=int(here.settings.session_seconds),
        secure=here.settings.secure_cookies or request.is_secure,
        httponly=True,
        samesite="Lax",
        path="/",
    )
    return answer


def _form(name: str, problem: str) -> str:
    wanted = request.form.get("next") or request.args.get("next") or ""
    return render_template("login.html", login=name[:200], problem=problem, next=wanted if is_local(wanted) else "")


def _old() -> str:
    """The secret this browser came with; empty where it has none."""
    return request.cookies.get(cookie(), "")


@cache
def _hasher() -> PasswordHasher:
    return PasswordHasher()


@cache
def _nobody() -> str:
    """A hash no password fits, made once per process, so that unknown users take as long as known ones."""
    return hash_password(secrets.token_urlsafe(32))
