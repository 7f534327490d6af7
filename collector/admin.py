"""Administration from a terminal: join tokens, users, hosts, API tokens. Tables or JSON on stdout."""

import argparse
import getpass
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from collector import serve
from collector.config import Config
from collector.errors import CollectorError
from collector.ingest import ca
from collector.intake import Intake
from collector.setup import hash_password
from collector.store import Connection, Store, StoreError, api_tokens, hosts, machines, tokens, users

SHORTEST_PASSWORD = 10

Action = Callable[[argparse.Namespace, Config, Store], int]


def run(action: Action, args: argparse.Namespace, config: Config) -> int:
    """One action on the configured database. Raises CollectorError and its kin; then nothing was changed."""
    store = serve.opened(config)
    try:
        return action(args, config, store)
    except StoreError as error:
        raise CollectorError(f"{config.database.shown}: {error}") from None
    finally:
        store.close()


def token_create(args: argparse.Namespace, config: Config, store: Store) -> int:
    """Print a join token's secret once; the database keeps its hash."""
    fingerprint = ca.load(config.ca.dir).fingerprint
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
            approval=args.approve,
            expires_at=at + args.hours * 3600,
            at=at,
        )
    _say(
        args,
        {"id": token_id, "token": secret, "ca_fingerprint": fingerprint},
        lambda: _token_help(args, config, secret, fingerprint),
    )
    return 0


def token_list(args: argparse.Namespace, _: Config, store: Store) -> int:
    """Join tokens, without their secrets."""
    now = time.time()
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
                "approval": "asked" if t.approval else "",
                "state": _token_state(t, now),
            }
            for t in tokens.tokens(conn)
        ]
    return _table(args, rows)


def token_revoke(args: argparse.Namespace, _: Config, store: Store) -> int:
    """A revoked token enrols nobody; hosts enrolled with it stay."""
    with store.write() as conn:
        done = tokens.revoke_token(conn, args.id, time.time())
    no = f"no open join token has the id {args.id}; see `czuwak token list`"
    return _done(done, f"token {args.id} is revoked", no)


def user_add(args: argparse.Namespace, _: Config, store: Store) -> int:
    """A technician or admin with a local password, read from a file, a pipe or the terminal."""
    with store.read() as conn:
        known = [c.slug for c in hosts.companies(conn)]
        if users.user_by_login(conn, args.login) is not None:
            raise CollectorError(
                f"user {args.login} is there already; `czuwak user passwd {args.login}` sets a new password"
            )
    companies = None if args.companies is None else _companies(known, args.companies.split(","), "--companies")
    hashed = hash_password(_password(args))  # before the transaction: nobody waits for somebody who types
    with store.write() as conn:
        users.add_user(
            conn,
            login=args.login,
            name=args.name or args.login,
            password_hash=hashed,
            role=args.role,
            language=args.language,
            companies=companies,
            at=time.time(),
        )
    print(f"user {args.login} added as {args.role}", file=sys.stderr)
    return 0


def user_passwd(args: argparse.Namespace, _: Config, store: Store) -> int:
    """A new password; every session of the user ends."""
    with store.read() as conn:
        user = users.user_by_login(conn, args.login)
    if user is None:
        raise CollectorError(f"no user has the login {args.login}; see `czuwak user list`")
    hashed = hash_password(_password(args))
    with store.write() as conn:
        users.set_password(conn, user.id, hashed)
    print(f"password of {args.login} set", file=sys.stderr)
    return 0


def user_list(args: argparse.Namespace, _: Config, store: Store) -> int:
    """Everyone who may log in."""
    with store.read() as conn:
        rows = [
            {
                "login": u.login,
                "name": u.name,
                "role": u.role,
                "language": u.language,
                "companies": _named(u.companies),
            }
            for u in users.users(conn)
        ]
    return _table(args, rows)


def host_list(args: argparse.Namespace, _: Config, store: Store) -> int:
    """Every enrolled computer, whether it is there, and what a person has to say about it."""
    with store.read() as conn:
        found = hosts.hosts(conn, scope=None)
        asked = machines.questions(conn, found)
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
            "asks": _asks(h, asked.get(h.id)),
        }
        for h in found
    ]
    return _table(args, rows)


def host_end(args: argparse.Namespace, _: Config, store: Store) -> int:
    """Retire or revoke a host; its stream is cut within two seconds."""
    at = time.time()
    with store.read() as conn:
        host = _host(conn, args.host)
    if args.end == "retire":  # what rules opened about it is closed with it
        done = Intake(store).retire(host.id, at)
    else:
        with store.write() as conn:
            done = hosts.revoke(conn, host.id, at)
    return _done(done, f"host {host.name}: {args.end}d", f"host {host.name} is not in service any more")


def host_approve(args: argparse.Namespace, _: Config, store: Store) -> int:
    """Let a host stream that was enrolled with a token that asks for approval."""
    at = time.time()
    with store.write() as conn:
        host = _host(conn, args.host)
        done = machines.approve(conn, host.id, at)
        if done:
            hosts.add_host_event(conn, host.id, at, "approved", {"by": "czuwak"})
    return _done(done, f"host {host.name}: approved", f"host {host.name} does not wait for approval")


def host_same(args: argparse.Namespace, _: Config, store: Store) -> int:
    """A reinstalled computer takes over its old name, tickets and timeline; or stays another one."""
    at = time.time()
    with store.write() as conn:
        host = _host(conn, args.host)
        if args.no:
            done = machines.is_not_same(conn, host.id)
            return _done(done, f"host {host.name} stays a computer of its own", f"host {host.name} asks nothing")
        now = machines.is_same(conn, host.id, at)
        if now is not None:
            hosts.add_host_event(conn, host.id, at, "same_machine", {"was": host.name, "by": "czuwak"})
    told = f"host {host.name} is {now.name} again; the old identity is retired" if now else ""
    return _done(now is not None, told, f"host {host.name} asks nothing; see `czuwak host list`")


def host_rebind(args: argparse.Namespace, _: Config, store: Store) -> int:
    """Forget which computer an identity is bound to: its hardware or machine id has really changed."""
    with store.write() as conn:
        host = _host(conn, args.host)
        done = machines.rebind(conn, host.id)
    told = f"host {host.name}: the next computer that connects with its key is it"
    return _done(done, told, f"host {host.name} is not in service any more")


def api_token_create(args: argparse.Namespace, _: Config, store: Store) -> int:
    """A bearer token for the HTTP interface, printed once."""
    at = time.time()
    with store.write() as conn:
        known = [c.slug for c in hosts.companies(conn)]
        owner = None if args.owner is None else users.user_by_login(conn, args.owner)
        if args.owner is not None and (owner is None or owner.disabled_at is not None):
            raise CollectorError(f"no user has the login {args.owner}; see `czuwak user list`")
        token_id, secret = api_tokens.create(
            conn,
            args.name,
            args.scope,
            at=at,
            companies=None if args.company is None else _companies(known, args.company, "--company"),
            user_id=owner.id if owner else None,
            expires_at=at + args.days * 86400.0 if args.days else None,
        )
    _say(args, {"id": token_id, "token": secret}, lambda: print(secret))
    return 0


def api_token_list(args: argparse.Namespace, _: Config, store: Store) -> int:
    """Bearer tokens, without their secrets."""
    now = time.time()
    with store.read() as conn:
        owners = {u.id: u.login for u in users.users(conn, disabled=True)}
        rows = [
            {
                "id": t.id,
                "name": t.name,
                "scopes": ",".join(sorted(t.scopes)),
                "companies": _named(t.companies),
                "owner": owners.get(t.user_id or 0, ""),
                "used": _when(t.last_used_at),
                "expires": _when(t.expires_at),
                "state": "revoked" if t.revoked_at else "expired" if now >= (t.expires_at or now + 1) else "open",
            }
            for t in api_tokens.api_tokens(conn)
        ]
    return _table(args, rows)


def api_token_revoke(args: argparse.Namespace, _: Config, store: Store) -> int:
    """A revoked bearer token is refused from now on."""
    with store.write() as conn:
        done = api_tokens.revoke(conn, args.id, time.time())
    no = f"no open bearer token has the id {args.id}; see `czuwak token api-list`"
    return _done(done, f"bearer token {args.id} is revoked", no)


def _host(conn: Connection, word: str) -> hosts.Host:
    """By id, by instance, or by a name that only one host in service has."""
    found = hosts.host(conn, word, None) or hosts.host_by_instance(conn, word)
    named = [found] if found else [h for h in hosts.hosts(conn, scope=None, text=word) if h.name == word]
    if len(named) > 1:
        raise CollectorError(f"{len(named)} hosts are named {word}: {', '.join(h.instance for h in named)}; say which")
    if not named:
        raise CollectorError(f"no host is named {_clean(word)} or has this id; see `czuwak host list`")
    return named[0]


def _asks(host: hosts.Host, old: hosts.Host | None) -> str:
    asked = ["approval"] if host.approved_at is None else []
    asked += [f"same machine as {old.instance}?"] if old is not None else []
    return ", ".join(asked)


def _company(known: Sequence[str], slug: str | None) -> str:
    if slug is None and len(known) == 1:
        return known[0]
    if slug not in known:
        what = "several companies are here, say which" if slug is None else f"no company is called {slug!r}"
        raise CollectorError(f"{what}: --company {'|'.join(known)}")
    return str(slug)


def _companies(known: Sequence[str], slugs: Sequence[str], option: str) -> frozenset[str]:
    wanted = frozenset(slug.strip() for slug in slugs)
    unknown = sorted(wanted - set(known))
    if unknown:
        raise CollectorError(f"{option}: no company is called {unknown[0]!r}; there are {', '.join(known)}")
    return wanted


def _named(companies: frozenset[str] | None) -> str:
    return "all" if companies is None else ",".join(sorted(companies))


def _token_state(token: tokens.JoinToken, now: float) -> str:
    if token.revoked_at:
        return "revoked"
    return "used" if token.used >= token.uses else "expired" if now >= token.expires_at else "open"


def _token_help(args: argparse.Namespace, config: Config, secret: str, fingerprint: str) -> None:
    print(secret)
    port = config.ingest.enrollment_listen.rpartition(":")[2]
    print(
        f"On the new {args.class_}, with the token above in a file:\n"
        f"  czuwak-agent enroll --collector THIS-COLLECTOR:{port} --token-file FILE --ca-fingerprint {fingerprint}",
        file=sys.stderr,
    )


def _password(args: argparse.Namespace) -> str:
    password = _typed(args.password_file)
    if not password:
        raise CollectorError("no password was given; type it, pipe it in or name its file with --password-file")
    if len(password) < SHORTEST_PASSWORD:
        raise CollectorError(f"the password is shorter than {SHORTEST_PASSWORD} characters")
    return password


def _typed(path: str | None) -> str:
    try:
        if path:
            return Path(path).read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")
        if sys.stdin is None:
            return ""
        return getpass.getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    except EOFError:
        return ""
    except OSError as error:
        raise CollectorError(f"{path or 'standard input'}: the password cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CollectorError(f"{path or 'standard input'}: the password is not UTF-8 text") from None


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
        print(json.dumps(data))  # in ASCII: valid whatever the terminal's encoding
    else:
        text()


def _done(done: bool, yes: str, no: str) -> int:
    if not done:
        raise CollectorError(no)
    print(yes, file=sys.stderr)
    return 0


def _clean(value: object) -> str:
    """Control and bidi characters of a host's own name must not reach the terminal, nor what it cannot show."""
    text = "".join(c if c.isprintable() else "\ufffd" for c in str(value))
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)


def _when(at: float | None) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ") if at is not None else "never"
