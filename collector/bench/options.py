"""Command lines of the benches; brings no library, so that `--help` stays quick."""

import argparse
from pathlib import Path

GOODBYES = ("none", "stop", "shutdown", "reboot", "sleep")


def swarm(parser: argparse.ArgumentParser) -> None:
    """Arguments of `czuwak bench swarm`."""
    add = parser.add_argument
    add("--agents", type=int, default=100, metavar="N", help="how many streams (100)")
    add("--series", type=int, default=500, metavar="N", help="series of each (500)")
    add("--interval", type=float, default=15.0, metavar="S", help="seconds between two rounds; wider if told (15)")
    add("--collector", metavar="H:P", help="agents' address of a running collector (default: one of its own)")
    add("--identities", type=Path, metavar="DIR", help="ca.pem and NAME.pem with NAME.key, or agent.key for all")
    add("--first", type=int, default=0, metavar="I", help="begin at this one of the identities (0)")
    add("--seconds", type=float, default=60.0, metavar="T", help="how long; SIGTERM ends it sooner in order (60)")
    add("--processes", type=int, default=1, metavar="P", help="client processes (1)")
    add("--ramp", type=float, metavar="S", help="spread the first connections over this (default: the interval)")
    add("--widest", type=float, default=120.0, metavar="S", help="widest jitter of a reconnect (120)")
    add("--goodbye", choices=GOODBYES, default="none", help="what is said at the end (none)")
    add("--memory", type=float, default=1800.0, metavar="S", help="how long a batch can be sent again (1800)")
    add("--ledger", type=Path, metavar="DIR", help="write every obligation there, a file a process")
    add("--crossings", type=int, default=0, metavar="N", help="so many agents' bench_level goes over 90 (0)")
    add("--cross-at", type=float, default=0.0, metavar="S", help="when the first does (0)")
    add("--cross-spread", type=float, default=0.0, metavar="S", help="the others evenly over this (0)")
    add("--cross-hold", type=float, default=0.0, metavar="S", help="at least so long; 0 is to the end (0)")
    add("--cross-every", type=float, default=0.0, metavar="S", help="and again; 0 is once (0)")
    add("--backlog", type=int, default=0, metavar="N", help="batches nobody has acknowledged at the start (0)")
    add("--stale", type=int, default=0, metavar="N", help="so many of the last agents crossed and came back in it (0)")
