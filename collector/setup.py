"""`czuwak init`: leaves a folder from which `czuwak serve` runs. Safe to repeat: what is there is kept."""

import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from argon2 import PasswordHasher

from collector import config as configuration
from collector import serve
from collector.errors import SetupError
from collector.ingest import ca
from collector.ingest.chain import read_chain
from collector.store import StoreError, hosts, schema, users
from collector.tickets.text import NAME, required

FILE = "czuwak.toml"
PART = ".part"  # ending of what is being written: whole or not there at all
IGNORED = frozenset({"lost+found", FILE + PART})


@dataclass(frozen=True, slots=True)
class Prepared:
    """What init did, a line each, and the password it made up (empty when the user was there already)."""

    config: configuration.Config
    lines: tuple[str, ...]
    login: str
    password: str


def initialise(
    folder: Path,
    *,
    company: str,
    login: str,
    at: float,
    authority: tuple[Path, Path] | None = None,
    text: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Prepared:
    """Make configuration, secrets, CA, database, the first company and the first admin under `folder`.

    `authority` are the company's own certificate with its chain, and its key; `text` replaces the configuration
    template. Raises CollectorError and its kin with what is in the way; what was made stays, and the same call goes on
    from there.
    """
    short, login = slug(company), required("login", login, NAME)
    folder = folder.absolute()
    path = folder / FILE
    _own(folder)
    lines = [_once(path, lambda: _write(path, text or configuration.template()), "configuration")]
    config = configuration.load(path, environ)
    secret = config.web.secret_file
    lines.append(_once(secret, lambda: _write(secret, secrets.token_urlsafe(48) + "\n"), "cookie secret"))
    place = config.ca.dir / ca.CERTIFICATE_FILE
    lines.append(_once(place, lambda: _authority(config.ca.dir, authority), "certificate authority"))
    _check_authority(config.ca.dir, authority)
    lines.append(f"{'made' if upgrade(config) else 'kept'}  database {config.database.shown}")
    password = _people(config, company, short, login, at, lines)
    return Prepared(config, tuple(lines), login, password)


def upgrade(config: configuration.Config, *, dry_run: bool = False) -> list[str]:
    """Bring the database's schema to this version; the steps. Raises CollectorError that names the database."""
    try:
        return schema.upgrade(config.database.url, dry_run=dry_run)
    except StoreError as error:
        raise SetupError(f"{config.database.shown}: {error} (configured in {config.path})") from None


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


def _own(folder: Path) -> None:
    """A folder of ours or an empty one: never spread secrets over somebody else's."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(f"{folder}: the folder cannot be made: {error.strerror}") from None
    strange = [] if (folder / FILE).exists() else sorted({each.name for each in folder.iterdir()} - IGNORED)
    if strange:
        raise SetupError(f"{folder} holds {strange[0]} but no {FILE}: it is not ours; name a new or an empty folder")


def _authority(folder: Path, given: tuple[Path, Path] | None) -> None:
    """Made beside its place and moved there, so that a key without its certificate is never left behind."""
    if folder.is_dir() and any(folder.iterdir()):
        raise SetupError(
            f"{folder} holds files but no {ca.CERTIFICATE_FILE}; restore it from a backup, or move the folder away "
            "for a new authority, which every agent must enrol with again"
        )
    part = folder.with_name(folder.name + PART)
    if part.exists():
        shutil.rmtree(part)
    if given is None:
        ca.create(part)
    else:
        ca.adopt(part, *given)
    part.replace(folder)


def _check_authority(folder: Path, given: tuple[Path, Path] | None) -> None:
    """What stands is kept; one that was named and is another is told, because agents would believe the wrong one."""
    chain = ca.load(folder).ca_pem
    try:
        wanted = given[0].read_bytes() if given else chain
    except OSError as error:
        raise SetupError(f"{error.filename}: {error.strerror}") from None
    if given and read_chain(wanted, str(given[0])) != read_chain(chain, str(folder)):
        raise SetupError(
            f"{folder} holds another certificate authority, which agents may believe already; move the folder away to"
            f" take over {given[0]}, and enrol every agent again"
        )


def _people(config: configuration.Config, company: str, short: str, login: str, at: float, lines: list[str]) -> str:
    store = serve.opened(config)
    try:
        with store.write() as conn:
            if not hosts.companies(conn):
                hosts.add_company(conn, short, company, at)
                lines.append(f"made  company {company} ({short})")
            if users.user_by_login(conn, login) is not None:
                lines.append(f"kept  user {login}; a new password: czuwak user passwd {login} --config {config.path}")
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
    part = path.with_name(path.name + PART)
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
