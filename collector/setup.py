"""`czuwak init`: leaves a folder from which `czuwak serve` runs. Safe to repeat: what is there is kept."""

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from argon2 import PasswordHasher

from collector import config as configuration
from collector.errors import SetupError
from collector.ingest import ca
from collector.store import hosts, open_store, schema, users

FILE = "czuwak.toml"


@dataclass(frozen=True, slots=True)
class Prepared:
    """What init did, a line each, and the password it made up (empty when the user was there already)."""

    config: configuration.Config
    lines: tuple[str, ...]
    login: str
    password: str


def initialise(folder: Path, *, company: str, login: str, at: float, text: str | None = None) -> Prepared:
    """Make configuration, secrets, CA, database, the first company and the first admin under `folder`.

    `text` replaces the configuration template. Raises CollectorError with what is in the way.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lines: list[str] = []
    path = folder / FILE
    lines.append(_once(path, lambda: _write(path, text or configuration.template()), "configuration"))
    config = configuration.load(path, os.environ)
    secret = config.web.secret_file
    lines.append(_once(secret, lambda: _write(secret, secrets.token_urlsafe(48) + "\n"), "cookie secret"))
    lines.append(_once(config.ca.dir / "ca.pem", lambda: ca.create(config.ca.dir), "certificate authority"))
    applied = schema.upgrade(config.database.url)
    lines.append(f"{'made' if applied else 'kept'}  database {config.database.shown}")
    password = _people(config, company, login, at, lines)
    return Prepared(config, tuple(lines), login, password)


def slug(name: str) -> str:
    """Company name -> its short name: lower-case letters, digits and dashes; raises SetupError when nothing is left."""
    plain = name.lower().translate(str.maketrans("ąćęłńóśźż", "acelnoszz"))
    short = "-".join("".join(c if c.isascii() and c.isalnum() else " " for c in plain).split())[:40]
    if not short:
        raise SetupError(f"{name!r} has no letter or digit to make a short name of")
    return short


def hash_password(password: str) -> str:
    """Argon2id, with the library's current parameters."""
    return PasswordHasher().hash(password)


def _people(config: configuration.Config, company: str, login: str, at: float, lines: list[str]) -> str:
    store = open_store(config.database.url)
    try:
        with store.write() as conn:
            if not hosts.companies(conn):
                hosts.add_company(conn, slug(company), company, at)
                lines.append(f"made  company {company} ({slug(company)})")
            if users.user_by_login(conn, login) is not None:
                lines.append(f"kept  user {login}")
                return ""
            password = secrets.token_urlsafe(12)
            users.add_user(conn, login, login, hash_password(password), users.Role.ADMIN, at=at)
            lines.append(f"made  admin user {login}")
            return password
    finally:
        store.close()


def _once(path: Path, make: Callable[[], object], what: str) -> str:
    if path.exists():
        return f"kept  {what} {path}"
    make()
    return f"made  {what} {path}"


def _write(path: Path, text: str) -> None:
    """Whole or not at all, readable by its owner only."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
