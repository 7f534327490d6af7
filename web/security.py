"""Headers of every answer, who may speak for a client's address, and cross-site request forgery. No page here."""

from collections.abc import Iterable
from ipaddress import ip_address
from typing import TYPE_CHECKING

from flask import Flask, Response, request
from flask_wtf.csrf import CSRFError, CSRFProtect  # type: ignore[import-untyped]  # it ships none
from werkzeug.middleware.proxy_fix import ProxyFix

from web.settings import Network, WebSettings, networks

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["CSRFError", "CSRFProtect", "TrustedProxy", "headers", "is_local", "is_within", "protect"]

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; font-src 'self'"
)
HEADERS = (
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), microphone=(), geolocation=(), interest-cohort=()"),
)
_YEAR = 31_536_000
_MAX_FORM = 256 * 1024  # bytes of one form; the longest text is 64 KiB


def protect(app: Flask, settings: WebSettings) -> CSRFProtect:
    """Sets cookies, headers, the trusted proxy and CSRF on the application; returns the protection for exemptions."""
    app.config.update(
        SECRET_KEY=settings.secret_key,
        SESSION_COOKIE_NAME="czuwak_form",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.secure_cookies,
        WTF_CSRF_TIME_LIMIT=None,  # as long as the session that carries it
        WTF_CSRF_SSL_STRICT=False,  # SameSite and the token decide; a proxy may strip Referer
        MAX_CONTENT_LENGTH=_MAX_FORM,
    )
    app.after_request(headers)
    app.wsgi_app = TrustedProxy(app.wsgi_app, networks(settings.forwarded_allow))  # type: ignore[method-assign]
    return CSRFProtect(app)


def headers(response: Response) -> Response:
    """The answer with the security headers; pages are never stored by a shared cache."""
    for name, value in HEADERS:
        response.headers.setdefault(name, value)
    if request.is_secure:
        response.headers.setdefault("Strict-Transport-Security", f"max-age={_YEAR}")
    if request.endpoint != "static":
        response.headers.setdefault("Cache-Control", "private, no-cache")
    return response


class TrustedProxy:
    """X-Forwarded-For, -Proto and -Host count only from the configured addresses; from others they are dropped."""

    def __init__(self, app: "WSGIApplication", allowed: tuple[Network, ...]) -> None:
        self._plain = app
        self._fixed = ProxyFix(app, x_for=1, x_proto=1, x_host=1)
        self._allowed = allowed

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answers as the application does, with the client's address if a trusted proxy names it."""
        if is_within(environ.get("REMOTE_ADDR", ""), self._allowed):
            return self._fixed(environ, start_response)
        for name in ("FOR", "PROTO", "HOST", "PORT", "PREFIX"):
            environ.pop(f"HTTP_X_FORWARDED_{name}", None)
        return self._plain(environ, start_response)


def is_within(address: str, allowed: tuple[Network, ...]) -> bool:
    """Whether the address belongs to one of the networks; text that is no address does not."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in allowed)


def is_local(target: str | None) -> bool:
    """Whether a `next=` stays on this site: a path with one leading slash, no scheme, no backslash, no control."""
    if not target or not target.startswith("/") or target.startswith("//"):
        return False
    return "\\" not in target and all(" " <= c != "\x7f" for c in target)
