"""The commands of `czuwak-agent`. Exit codes: 0 ok, 1 finding or failure, 2 usage. Data on stdout, talk on stderr."""

import argparse
import json
import logging
import os
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from agent import __version__, away, config, control, ending, exposition, identity, log, presence, serve, status
from agent.config import Config
from agent.errors import AgentError, ConfigError
from agent.identity import FACTS
from agent.probes import probes
from agent.round import Round, take_round
from agent.text import joined

OK, FAILURE, USAGE = 0, 1, 2
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        log.start(os.environ, logging.DEBUG if options.verbose else log.level_of(os.environ))
        return int(options.command(options))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return USAGE
    except AgentError as error:
        print(f"czuwak-agent: {error}", file=sys.stderr)
        return FAILURE
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python would complain again when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="czuwak-agent",
        description="Reads this computer's health, shows it to Prometheus and streams it to a collector.",
        epilog="Example: czuwak-agent run --config /etc/czuwak/agent.toml",
    )
    parser.add_argument("--version", action="version", version=f"czuwak-agent {__version__}")
    parser.add_argument("--verbose", action="store_true", help="log more")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="take rounds, serve and stream them until told to stop")
    run.set_defaults(command=_run)
    collect = commands.add_parser("collect", help="take one round and print what would be sent")
    collect.set_defaults(command=_collect)
    collect.add_argument("--once", action="store_true", required=True, help="one round")
    collect.add_argument("--format", choices=("prometheus", "json"), default="prometheus")
    _add_enroll(commands.add_parser("enroll", help="trade a join token for this machine's identity"))
    renew = commands.add_parser(
        "renew", help="renew this machine's certificate now; the running agent does it by itself"
    )
    renew.set_defaults(command=_renew)
    state = commands.add_parser("status", help="what the running agent does")
    state.set_defaults(command=_status)
    goodbye = commands.add_parser("goodbye", help="tell the collector that this machine goes away for a while")
    goodbye.set_defaults(command=_goodbye)
    goodbye.add_argument("--reason", choices=tuple(away.REASONS), required=True)
    goodbye.add_argument("--back", type=_seconds, default=0, metavar="TIME", help="when it is back: 90s, 30m, 2h, 3d")
    resume = commands.add_parser("resume", help="end a pause: stream again at once")
    resume.set_defaults(command=_resume)
    doctor = commands.add_parser("doctor", help="check everything the agent needs")
    doctor.set_defaults(command=_doctor)
    check = commands.add_parser("check-config", help="check a configuration file")
    check.set_defaults(command=_check_config)
    check.add_argument("config", type=Path, metavar="FILE")
    for command in (run, collect, renew, state, doctor, goodbye, resume):
        _add_config(command)
    for command in (state, doctor):
        command.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _add_config(command: argparse.ArgumentParser) -> None:
    command.add_argument("--config", type=Path, metavar="FILE", help=f"default {config.DEFAULT_PATH}, if it is there")
    command.add_argument("--identity", metavar="DIR", help="identity directory")
    command.add_argument("--listen", metavar="HOST:PORT", help="address of the Prometheus page")


def _add_enroll(command: argparse.ArgumentParser) -> None:
    command.set_defaults(command=_enroll)
    _add_config(command)
    command.add_argument("--collector", required=True, metavar="HOST:PORT", help="the enrolment listener")
    # Never the token itself: every process of the machine can read a command line.
    command.add_argument("--token-file", required=True, metavar="FILE", help="file with the join token; - is stdin")
    command.add_argument("--ca-fingerprint", metavar="SHA256", help="fingerprint of the collector's CA certificate")
    command.add_argument("--ca-file", type=Path, metavar="FILE", help="the collector's CA certificate, PEM")
    command.add_argument("--server-name", metavar="NAME", help="name in the collector's certificate")
    command.add_argument("--replace", action="store_true", help="give up the identity this machine has")


def _run(options: argparse.Namespace) -> int:
    settings = _config(options)
    serve.run(settings, ending.told(), os.environ, _renewing(options))
    return OK


def _collect(options: argparse.Namespace) -> int:
    round_ = _round(_config(options))
    if options.format == "json":
        print(json.dumps(_as_json(round_), indent=2))
    else:
        sys.stdout.buffer.write(exposition.page(round_.samples)[0])
        sys.stdout.flush()
    return OK


def _enroll(options: argparse.Namespace) -> int:
    from agent import enroll  # noqa: PLC0415 - brings cryptography, which the running agent does without

    directory = _config(options).identity_dir
    if (directory / FACTS).exists() and not options.replace:
        raise AgentError(f"{directory} holds an identity already: give it up with --replace, or choose --identity DIR")
    request = enroll.Request(
        collector=options.collector,
        token=enroll.read_token(options.token_file),
        directory=directory,
        fingerprint=options.ca_fingerprint,
        ca_file=options.ca_file,
        server_name=options.server_name,
        hostname=socket.gethostname(),
        machine_fingerprint=presence.machine_fingerprint(),
    )
    enrolled = enroll.enroll(request)
    print(f"enrolled as {enrolled.host} ({enrolled.agent_id}); it streams to {enrolled.collector}")
    if enrolled.waits:
        print("it may stream once somebody has approved it: `czuwak host approve` on the collector", file=sys.stderr)
    print("next: czuwak-agent run", file=sys.stderr)
    return OK


def _renew(options: argparse.Namespace) -> int:
    from agent import renew  # noqa: PLC0415 - brings cryptography, which the running agent does without

    settings = _config(options)
    owned = identity.load(settings.identity_dir)
    where = identity.enrollment_of(owned, settings.enrollment, identity.collector_of(owned, settings.collector))
    request = renew.Request(
        settings.identity_dir,
        joined(where),
        settings.server_name or owned.facts.server_name,
        presence.machine_fingerprint(),
    )
    until = renew.renew(request)
    print(f"renewed; good until {time.strftime('%Y-%m-%d %H:%M:%S UTC', time.gmtime(until))}")
    return OK


def _renewing(options: argparse.Namespace) -> list[str]:
    """The command line of a child that renews the identity of this very agent."""
    given = [("--config", options.config), ("--identity", options.identity)]
    flags = [word for flag, value in given if value is not None for word in (flag, str(value))]
    return [sys.executable, "-m", "agent.main", "renew", *flags]


def _status(options: argparse.Namespace) -> int:
    now = status.read(_config(options))
    if options.json:
        print(json.dumps(status.as_json(now), indent=2))
    else:
        print("\n".join(status.lines(now)))
    return OK if now.ok else FAILURE


def _goodbye(options: argparse.Namespace) -> int:
    print(control.ask(_config(options).state_dir, control.Request("goodbye", options.reason, options.back)))
    return OK


def _resume(options: argparse.Namespace) -> int:
    print(control.ask(_config(options).state_dir, control.Request("resume")))
    return OK


def _seconds(text: str) -> int:
    number, unit = text[:-1], text[-1:]
    seconds = int(number) * _UNITS[unit] if number.isascii() and number.isdigit() and unit in _UNITS else 0
    if not 0 < seconds <= away.LONGEST_BACK:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time: write for example 30m, 2h or 3d, a year at most")
    return seconds


def _doctor(options: argparse.Namespace) -> int:
    from agent import doctor  # noqa: PLC0415 - brings cryptography, which the running agent does without

    try:
        settings = _config(options)
        findings = list(doctor.examine(settings, status.read(settings)))
    except ConfigError as error:
        findings = [doctor.bad_config(mistake) for mistake in error.mistakes]
    if options.json:
        print(json.dumps([doctor.as_json(each) for each in findings], indent=2))
    else:
        print("\n".join(map(str, findings)))
    return FAILURE if any(each.level is doctor.Level.FAIL for each in findings) else OK


def _check_config(options: argparse.Namespace) -> int:
    config.load(options.config, os.environ)
    print(f"{options.config}: ok")
    return OK


def _config(options: argparse.Namespace) -> Config:
    flags = {("identity", "dir"): options.identity, ("exposition", "listen"): options.listen}
    return config.load(options.config, os.environ, {key: text for key, text in flags.items() if text is not None})


def _round(settings: Config) -> Round:
    subjects = probes(settings.probes)
    return take_round(subjects, wall=time.time(), boottime_ns=presence.boottime_ns(), clock=time.perf_counter)


def _as_json(round_: Round) -> dict[str, object]:
    samples = [{"name": s.family.name, "labels": dict(s.labels), "value": s.value} for s in round_.samples]
    return {"at": round_.at, "boottime_ns": round_.boottime_ns, "samples": samples}


if __name__ == "__main__":
    sys.exit(main())
