"""Administration from a terminal: join tokens, users, hosts, API tokens. Tables or JSON on stdout."""

import argparse
import getpass
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from collector.config import Config
from collector.errors import CollectorError
from collector.setup import hash_password
from collector.store import api_tokens, hosts, tokens, users
from collector.store.engine import Store

CLASSES = ("server", "workstation", "laptop", "kiosk")
ROLES = ("technician", "admin")


def token_create(args: argparse.Namespace, config: Config, store: Store) -> int:
    """Print a join token's secret once; the database keeps its hash."""
    from collector.ingest import ca  # noqa: PLC0415 - only here and in ingest is cryptography needed

    at = time.time()
    with store.write() as conn:
        company = _company([c.slug for c in hosts.companies(conn)], args.company)
        token_id, secret = tokens.create_token(
            conn,
            company=company,
            site=args.site,
            class_=args.class_,
            pattern=args.name,
            uses=args.uses,
            expires_at=at + args.hours * 3600,
            at=at,
        )
    fingerprint = ca.load(config.ca.dir).fingerprint
    _say(
        args,
        {"id": token_id, "token": secret, "ca_fingerprint": fingerprint},
        lambda: _token_help(args, config, secret, fingerprint),
    )
    return 0


def token_list(args: argparse.Namespace, _: Config, store: Store) -> int:
    """Join tokens, without their secrets."""
    with store.read() as conn:
        rows = [
            {
                "id": t.id,
                "company": t.company,
                "site": t.site,
                "class": t.class_,
                "name": t.pattern,
                "used": f"{t.used}/{t.uses}",
                "expires": _when(t.expires_at),
                "state": "revoked" if t.revoked_at else "open",
            }
            for t in tokens.tokens(conn)
        ]
    return _table(args, rows)


def token_revoke(args: argparse.Namespace, _: Config, store: Store) -> int:
    """A revoked token enrols nobody; hosts enrolled with it stay."""
    with store.write() as conn:
        done = tokens.revoke_token(conn, args.id, time.time())
    return _done(done, f"token {args.id} is revoked", f"no token has the id {args.id}; see `czuwak token list`")


def user_add(args: argparse.Namespace, _: Config, store: Store) -> int:
    """A technician or admin with a local password, read from a file, a pipe or the terminal."""
    with store.write() as conn:
        if users.user_by_login(conn, args.login) is not None:
            raise CollectorError(
                f"user {args.login} is there already; `czuwak user passwd {args.login}` sets a new password"
            )
        password = _password(args)
        users.add_user(
            conn,
            login=args.login,
            name=args.name or args.login,
            password_hash=hash_password(password),
            role=args.role,
            language=args.language,
            at=time.time(),
        )
    print(f"user {args.login} added as {args.role}", file=sys.stderr)
    return 0


def user_passwd(args: argparse.Namespace, _: Config, store: Store) -> int:
    """A new password; every session of the user ends."""
    with store.write() as conn:
        user = users.user_by_login(conn, args.login)
        if user is None:
            raise CollectorError(f"no user has the login {args.login}; see `czuwak user list`")
        users.set_password(conn, user.id, hash_password(_password(args)))
    print(f"password of {args.login} set", file=sys.stderr)
    return 0


def user_list(args: argparse.Namespace, _: Config, store: Store) -> int:
    """Everyone who may log in."""
    with store.read() as conn:
        rows = [
            {"login": u.login, "name": u.name, "role": u.role, "language": str(u.preferences.get("language") or "")}
            for u in users.users(conn)
        ]
    return _table(args, rows)


def host_list(args: argparse.Namespace, _: Config, store: Store) -> int:
    """Every enrolled computer and whether it is there."""
    with store.read() as conn:
        rows = [
            {
                "id": h.id,
                "host": h.name,
                "company": h.company,
                "site": h.site,
                "class": h.class_,
                "presence": h.presence,
                "seen": _when(h.last_seen),
                "version": h.agent_version or "",
            }
            for h in hosts.hosts(conn, scope=None)
        ]
    return _table(args, rows)


def host_end(args: argparse.Namespace, _: Config, store: Store) -> int:
    """Retire or revoke a host; its stream is cut within two seconds."""
    end: Callable[..., bool] = hosts.revoke if args.end == "revoke" else hosts.retire
    with store.write() as conn:
        done = end(conn, args.id, time.time())
    return _done(done, f"host {args.id}: {args.end}d", f"no host has the id {args.id}; see `czuwak host list`")


def api_token_create(args: argparse.Namespace, _: Config, store: Store) -> int:
    """A bearer token for the HTTP interface, printed once."""
    with store.write() as conn:
        token_id, secret = api_tokens.create(conn, args.name, args.scope, at=time.time())
    _say(args, {"id": token_id, "token": secret}, lambda: print(secret))
    return 0


def _company(known: Sequence[str], slug: str | None) -> str:
    if slug is None and len(known) == 1:
        return known[0]
    if slug not in known:
        what = "several companies are here, say which" if slug is None else f"no company is called {slug!r}"
        raise CollectorError(f"{what}: --company {'|'.join(known)}")
    return str(slug)


def _token_help(args: argparse.Namespace, config: Config, secret: str, fingerprint: str) -> None:
    print(secret)
    port = config.ingest.enrollment_listen.rpartition(":")[2]
    print(
        f"On the new {args.class_}, with the token above in a file:\n"
        f"  czuwak-agent enroll --collector THIS-COLLECTOR:{port} --token-file FILE --ca-fingerprint {fingerprint}",
        file=sys.stderr,
    )


def _password(args: argparse.Namespace) -> str:
    if args.password_file:
        try:
            with open(args.password_file, encoding="utf-8") as file:  # noqa: PTH123 - "-" is not offered, a path is
                password = file.readline().rstrip("\n")
        except OSError as error:
            raise CollectorError(f"{args.password_file}: the password cannot be read: {error.strerror}") from None
    elif sys.stdin.isatty():
        password = getpass.getpass("Password: ")
    else:
        password = sys.stdin.readline().rstrip("\n")
    if len(password) < 10:
        raise CollectorError("the password is shorter than 10 characters")
    return password


def _table(args: argparse.Namespace, rows: Sequence[Mapping[str, object]]) -> int:
    def text() -> None:
        if rows:
            widths = {k: max(len(k), *(len(_clean(r[k])) for r in rows)) for k in rows[0]}
            print("  ".join(k.upper().ljust(widths[k]) for k in widths).rstrip())
            for row in rows:
                print("  ".join(_clean(row[k]).ljust(widths[k]) for k in widths).rstrip())

    _say(args, rows, text)
    return 0


def _say(args: argparse.Namespace, data: object, text: Callable[[], None]) -> None:
    if args.json:
        print(json.dumps(data, ensure_ascii=False))
    else:
        text()


def _done(done: bool, yes: str, no: str) -> int:
    if not done:
        raise CollectorError(no)
    print(yes, file=sys.stderr)
    return 0


def _clean(value: object) -> str:
    """Control and bidi characters of a host's own name must not reach the terminal."""
    return "".join(c if c.isprintable() else "�" for c in str(value))


def _when(at: float | None) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ") if at else "never"
