"""`czuwak`: every command of the collector's side; parses, opens what the command needs, prints its one error.

Exit codes: 0 ok, 1 finding or failure, 2 usage. Data on stdout, talk on stderr.
"""

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

from collector import config
from collector.bench import options
from collector.errors import CollectorError, UsageError

STANDARD = "/etc/czuwak/czuwak.toml"
CLASSES = ("server", "workstation", "laptop", "kiosk")
ROLES = ("technician", "admin")
SCOPES = ("tickets:read", "tickets:write", "hosts:read", "hosts:write")
MOST = 1_000_000  # of anything counted: uses, hours


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; never a traceback for something the user can mend."""
    args = build().parse_args(argv)
    try:
        _logging(args)
        code = int(args.run(args))
        if sys.stdout is not None:
            sys.stdout.flush()  # a full disk under a redirection is told like every other
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python would complain again when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except KeyboardInterrupt:
        return 130
    except UsageError as error:
        print(f"czuwak: {error}", file=sys.stderr)
        return 2
    except _mendable() as error:
        print(f"czuwak: {_sentence(error)}", file=sys.stderr)
        return 1
    return code


def build() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(
        prog="czuwak",
        description="Watches a company's computers and keeps its helpdesk's queue.",
        epilog="Try it: czuwak demo. For real: czuwak init DIR, then czuwak serve --config DIR/czuwak.toml",
    )
    parser.add_argument("--version", action="version", version=f"czuwak {version('czuwak')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _demo(commands)
    _init(commands)
    _serve(commands)
    _checks(commands)
    _tokens(commands)
    _users(commands)
    _hosts(commands)
    _database(commands)
    _rules(commands)
    _bench(commands)
    return parser


def _demo(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    p = commands.add_parser("demo", help="the whole product on this machine, with a real fault and a real ticket")
    p.add_argument("--once", action="store_true", help="run the loop unattended, one JSON line a step, exit 0 or 1")
    p.add_argument("--port", type=_port, default=0, help="port of the pages (default: a free one)")
    p.add_argument("--no-browser", action="store_true", help="do not open a browser")
    p.add_argument("--scenario", choices=("ticket", "presence"), default="ticket", help="which story is told")
    p.set_defaults(run=_run_demo, log="WARNING")


def _init(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    p = commands.add_parser("init", help="configuration, CA, database and admin user in DIR; safe to repeat")
    p.add_argument("dir", type=Path, metavar="DIR")
    p.add_argument("--company", default="My company", help="name of the first company")
    p.add_argument("--admin", default="admin", help="login of the first user")
    p.add_argument(
        "--ca-cert", type=Path, metavar="FILE", help="the company's CA that signs, with its chain to the root"
    )
    p.add_argument("--ca-key", type=Path, metavar="FILE", help="its key, PEM, not encrypted")
    p.set_defaults(run=_run_init, log="WARNING")


def _serve(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    p = commands.add_parser("serve", help="run the collector: ingest, web and worker")
    _config(p)
    p.add_argument(
        "--only", type=_parts, default="ingest,web,worker", metavar="PARTS", help="ingest,web,worker or some"
    )
    p.set_defaults(run=_run_serve, log="INFO")


def _checks(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    p = commands.add_parser("check-config", help="every mistake in the configuration and the rule files")
    p.add_argument("config", type=Path, metavar="FILE")
    _json(p)
    p.set_defaults(run=_run_check, log="WARNING")
    p = commands.add_parser("doctor", help="what is wrong here, and the next step for each")
    _config(p)
    _json(p)
    p.set_defaults(run=_run_doctor, log="ERROR")


def _tokens(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    group = commands.add_parser("token", help="join tokens for new agents").add_subparsers(
        required=True, metavar="ACTION"
    )
    p = _admin(group, "create", "print a new join token once", "token_create")
    p.add_argument("--company", help="its short name; may be left out while there is one company")
    p.add_argument("--site", default="main")
    p.add_argument("--class", dest="class_", choices=CLASSES, default="server")
    p.add_argument("--name", default="*", metavar="PATTERN", help="host names it is good for, as in srv-*")
    p.add_argument("--uses", type=_positive, default=1, help="how many computers may join by it")
    p.add_argument("--hours", type=_positive, default=24, help="how long it is good for")
    p.add_argument("--approve", action="store_true", help="its hosts wait until somebody approves them")
    _admin(group, "list", "all join tokens", "token_list")
    p = _admin(group, "revoke", "a token that shall enrol nobody any more", "token_revoke")
    p.add_argument("id", type=_positive)
    p = _admin(group, "api", "print a new bearer token for the HTTP interface once", "api_token_create")
    p.add_argument("name")
    p.add_argument("--company", action="append", metavar="COMPANY", help="sees only this one; may be repeated")
    p.add_argument("--owner", metavar="LOGIN", help="whose it is; what it does is done in this name")
    p.add_argument("--days", type=_positive, help="how long it is good for (default: until it is revoked)")
    p.add_argument("--scope", action="append", choices=SCOPES, required=True)
    _admin(group, "api-list", "all bearer tokens", "api_token_list")
    p = _admin(group, "api-revoke", "a bearer token that shall be refused from now on", "api_token_revoke")
    p.add_argument("id", type=_positive)


def _users(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    group = commands.add_parser("user", help="who may log in").add_subparsers(required=True, metavar="ACTION")
    p = _admin(group, "add", "a technician or an admin", "user_add")
    p.add_argument("login")
    p.add_argument("--name")
    p.add_argument("--role", choices=ROLES, default="technician")
    p.add_argument("--language", choices=("en", "pl"), default="en")
    p.add_argument("--companies", metavar="A,B", help="sees only these (default: all)")
    p.add_argument("--password-file", help="its first line; else standard input")
    p = _admin(group, "passwd", "a new password", "user_passwd")
    p.add_argument("login")
    p.add_argument("--password-file", help="its first line; else standard input")
    _admin(group, "list", "everyone", "user_list")


def _hosts(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    group = commands.add_parser("host", help="enrolled computers").add_subparsers(required=True, metavar="ACTION")
    _admin(group, "list", "all of them and whether they are there", "host_list")
    for name, text in (("retire", "one that left the company"), ("revoke", "one whose key may be stolen")):
        p = _admin(group, name, text, "host_end")
        p.add_argument("host", metavar="HOST", help="its name or id")
        p.set_defaults(end=name)
    for name, text in (
        ("approve", "let one stream that waits for it"),
        ("same", "a reinstalled computer is its old self again: name, tickets and timeline"),
        ("rebind", "bind an identity to the computer that connects next"),
    ):
        p = _admin(group, name, text, f"host_{name}")
        p.add_argument("host", metavar="HOST", help="its name or id")
        if name == "same":
            p.add_argument("--no", action="store_true", help="it is another computer; do not ask again")


def _database(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    group = commands.add_parser("db", help="the database").add_subparsers(required=True, metavar="ACTION")
    p = group.add_parser("upgrade", help="bring the schema to this version")
    _config(p)
    p.add_argument("--dry-run", action="store_true", help="only name the steps")
    p.set_defaults(run=_run_upgrade, log="WARNING")


def _rules(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    group = commands.add_parser("rules", help="rule files, looked at before they wake anyone").add_subparsers(
        required=True, metavar="ACTION"
    )
    p = _rules_action(group, "check", "every mistake, and what is doubtful, each under its column")
    p.add_argument("files", nargs="+", type=Path, metavar="FILE")
    p.add_argument("--interval", type=_duration, default=15.0, help="time between two rounds of an agent (15s)")
    p.add_argument("--retention", type=_duration, default=86_400.0, help="how long the collector remembers (1d)")
    p = _rules_action(group, "test", "run promtool's rule tests on our engine")
    p.add_argument("files", nargs="+", type=Path, metavar="FILE")
    p = _rules_action(group, "query", "an expression on the running collector")
    p.add_argument("expression", metavar="EXPR")
    p.add_argument("--at", type=_moment, default=0.0, metavar="T", help="Unix seconds or 2026-01-31T12:00:00 (now)")
    _config(p)
    p = _rules_action(group, "backtest", "what a rule file would have done in the past")
    p.add_argument("file", type=Path, metavar="FILE")
    p.add_argument("--days", type=_days, default=7.0, help="how far back (7)")
    p.add_argument("--step", type=_duration, default=60.0, help="time between two evaluations (1m)")
    p.add_argument("--end", type=_moment, default=0.0, metavar="T", help="until when (now)")
    p.add_argument("--prometheus", metavar="URL", help="on this server's history, not on the running collector's")
    _config(p)


def _bench(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    group = commands.add_parser("bench", help="how much an installation bears").add_subparsers(
        required=True, metavar="ACTION"
    )
    p = group.add_parser("swarm", help="many agents' real streams against a collector; prints one JSON object")
    options.swarm(p)
    p.set_defaults(run=_run_swarm, log="ERROR")


def _rules_action(
    group: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, text: str
) -> argparse.ArgumentParser:
    def run(args: argparse.Namespace) -> int:
        from collector import rulescli  # noqa: PLC0415 - loaded only when asked for

        return int(getattr(rulescli, f"run_{name}")(args))

    p = group.add_parser(name, help=text)
    _json(p)
    p.set_defaults(run=run, log="ERROR")
    return p


def _run_swarm(args: argparse.Namespace) -> int:
    from collector.bench import swarm  # noqa: PLC0415 - loaded only when asked for

    return swarm.run(args)


def _run_demo(args: argparse.Namespace) -> int:
    from collector import demo  # noqa: PLC0415 - loaded only when asked for

    tale = None
    if args.scenario == "presence":
        from collector import demo_presence  # noqa: PLC0415

        tale = demo.Tale(demo_presence.story, demo_presence.SILENCE)
    return demo.run(once=args.once, port=args.port, browser=not args.no_browser, tale=tale)


def _run_init(args: argparse.Namespace) -> int:
    from collector import setup  # noqa: PLC0415 - loaded only when asked for

    if (args.ca_cert is None) != (args.ca_key is None):
        raise UsageError("--ca-cert and --ca-key belong together: a certificate with its chain, and its key")
    given = None if args.ca_cert is None else (args.ca_cert, args.ca_key)
    done = setup.initialise(args.dir, company=args.company, login=args.admin, at=time.time(), authority=given)
    print("\n".join(done.lines), file=sys.stderr)
    if done.password:
        print(
            f"login {done.login}, password {done.password} (shown once; `czuwak user passwd` changes it)",
            file=sys.stderr,
        )
    print(f"next: czuwak serve --config {done.config.path}", file=sys.stderr)
    return 0


def _run_serve(args: argparse.Namespace) -> int:
    from collector import serve  # noqa: PLC0415 - the parts' libraries load only when a part runs

    return serve.serve(config.load(args.config, os.environ), args.only)


def _run_check(args: argparse.Namespace) -> int:
    from collector import doctor  # noqa: PLC0415 - loaded only when asked for

    return doctor.show(doctor.check_config(args.config, os.environ), args.json)


def _run_doctor(args: argparse.Namespace) -> int:
    from collector import doctor  # noqa: PLC0415 - loaded only when asked for

    return doctor.show(doctor.examine(args.config, os.environ), args.json)


def _run_upgrade(args: argparse.Namespace) -> int:
    from collector import setup  # noqa: PLC0415 - loaded only when asked for

    steps = setup.upgrade(config.load(args.config, os.environ), dry_run=args.dry_run)
    print("".join(f"{step}\n" for step in steps), end="")
    done = "would be applied; nothing was changed" if args.dry_run else "applied"
    print(f"{len(steps)} steps {done}" if steps else "nothing to do", file=sys.stderr)
    return 0


def _admin(
    group: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, text: str, action: str
) -> argparse.ArgumentParser:
    """A command that is the function `action` of `admin`, named by its text so that --help loads no database."""

    def run(args: argparse.Namespace) -> int:
        admin = import_module("collector.admin")
        return int(admin.run(getattr(admin, action), args, config.load(args.config, os.environ)))

    p = group.add_parser(name, help=text)
    _config(p)
    _json(p)
    p.set_defaults(run=run, action=action, log="WARNING")
    return p


def _config(parser: argparse.ArgumentParser) -> None:
    default = os.environ.get("CZUWAK_CONFIG", STANDARD)
    parser.add_argument("--config", type=Path, default=Path(default), metavar="FILE", help=f"(default: {default})")


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="machine-readable on stdout")


def _parts(text: str) -> tuple[str, ...]:
    parts = tuple(part.strip() for part in text.split(","))
    unknown = [part for part in parts if part not in ("ingest", "web", "worker")]
    if unknown or not parts:
        raise argparse.ArgumentTypeError(f"unknown part {unknown[0]!r}; parts are ingest, web, worker")
    return tuple(dict.fromkeys(parts))


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= MOST):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {MOST}")
    return int(text)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 9 and int(text) < 1 << 16):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 1 to 65535, or 0 for a free one")
    return int(text)


def _mendable() -> tuple[type[Exception], ...]:
    """What a command ends with by one message; looked at only once something was raised, as it loads libraries."""
    from collector.ingest.errors import IngestError  # noqa: PLC0415 - see above
    from collector.rules.errors import RuleFileError  # noqa: PLC0415
    from collector.store import StoreError  # noqa: PLC0415
    from collector.tickets.errors import TicketError  # noqa: PLC0415

    return (CollectorError, IngestError, OSError, RuleFileError, StoreError, TicketError)


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def _duration(text: str) -> float:
    from collector.rules.duration import parse_duration  # noqa: PLC0415 - as the others

    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if seconds <= 0:
        raise argparse.ArgumentTypeError("must be longer than 0")
    return seconds


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = 0.0
    if not 0 < days <= 366:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days up to 366")
    return days


def _moment(text: str) -> float:
    try:
        at = float(text)
    except ValueError:
        at = _calendar(text)
    if not 0 < at < 253_402_300_800:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: write Unix seconds or 2026-01-31T12:00:00+01:00")
    return at


def _calendar(text: str) -> float:
    try:
        return datetime.fromisoformat(text).astimezone().timestamp()
    except (ValueError, OverflowError):
        return 0.0


class _JsonLines(logging.Formatter):
    """One JSON object a line, so that a hostile host name cannot forge a line of its own."""

    def format(self, record: logging.LogRecord) -> str:
        known = logging.LogRecord("", 0, "", 0, "", (), None).__dict__
        extra = {k: v for k, v in record.__dict__.items() if k not in known and k not in {"message", "asctime"}}
        line = {
            "at": record.created,
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **extra,
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def _logging(args: argparse.Namespace) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    level = (os.environ.get("CZUWAK_LOG") or str(args.log)).upper()
    if level not in logging.getLevelNamesMapping():
        raise UsageError(f"CZUWAK_LOG={level} is no level; write DEBUG, INFO, WARNING or ERROR")
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)


if __name__ == "__main__":
    sys.exit(main())
