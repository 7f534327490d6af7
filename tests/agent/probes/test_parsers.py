"""Whatever a file of the kernel holds, a parser gives a reading or its own error, and samples that a page can show."""

import contextlib
import math
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.exposition import page
from agent.probes import (
    conntrack,
    cpu,
    disk,
    filefd,
    filesystem,
    host,
    load,
    mdstat,
    memory,
    network,
    pressure,
    process,
    stat,
    vmstat,
)
from agent.probes.errors import MalformedError
from agent.probes.statvfs import Space
from agent.sample import Sample

Parse = Callable[[str], Any]
Samples = Callable[[Any], Iterable[Sample]]


def _mounts(text: str) -> tuple[filesystem.Usage, ...]:
    return tuple(filesystem.Usage(m, Space(1, 1, 1, None, None)) for m in filesystem.visible(filesystem.parse(text)))


def _processor(text: str) -> tuple[cpu.Processor, ...]:
    return tuple(cpu.parse(text, 100))


def _host(text: str) -> host.Host:
    return host.Host({}, host.parse_release(text), 0.0, "3")


def _process(text: str) -> process.Processes:
    life = process.parse(text, 100, 4096)
    return process.Processes(1, (process.Watched("a", 1, life.cpu_seconds, life.resident_bytes),))


def _pressure(text: str) -> dict[tuple[str, str], float]:
    return {("cpu", share): seconds for share, seconds in pressure.parse(text).items()}


PARSERS: dict[str, tuple[Parse, Samples]] = {
    "conntrack": (lambda text: conntrack.parse(text, text), conntrack.samples),
    "cpu": (_processor, cpu.samples),
    "disk": (disk.parse, disk.samples),
    "filefd": (filefd.parse, filefd.samples),
    "filesystem": (_mounts, filesystem.samples),
    "host": (_host, host.samples),
    "load": (load.parse, load.samples),
    "mdstat": (mdstat.parse, mdstat.samples),
    "memory": (memory.parse, memory.samples),
    "network": (network.parse, network.samples),
    "pressure": (_pressure, pressure.samples),
    "process": (_process, process.samples),
    "stat": (stat.parse, stat.samples),
    "vmstat": (vmstat.parse, vmstat.samples),
}

# Pieces of the real files, so that the noise gets past the first check.
PIECES = st.sampled_from(
    [
        *(
            "cpu0 ",
            "cpu1 ",
            "intr ",
            "btime ",
            "MemTotal: ",
            "Active(anon):",
            " kB",
            "pgfault ",
            "eth0: ",
            "sda ",
            "\n",
        ),
        *("md0 : active raid1 ", "sda1[0](F)", " 100 blocks [2/1] [_U]", "recovery = 1.0% (5/10)", "resync=PENDING"),
        *(
            " - ",
            "ext4 ",
            "/dev/sda ",
            "/mnt\\040x ",
            "rw ",
            "some avg10=0.00 ",
            "total=",
            "NAME=",
            '"',
            "1 (a) S ",
            ") ",
        ),
        *("1 " * 5, "1 " * 16, "0.5 ", "-1 ", "nan ", "inf ", "1e999 ", "1_0 ", "٣ ", "\\777", "\x00", "\udcff"),
    ]
)
NOISE = st.lists(PIECES | st.text(max_size=8) | st.integers().map(lambda n: f"{n} "), max_size=40).map("".join)


@pytest.mark.parametrize("name", PARSERS)
@given(text=NOISE)
def test_no_text_raises_anything_but_the_named_error(name: str, text: str) -> None:
    parse, samples = PARSERS[name]
    try:
        shown = list(samples(parse(text)))
    except MalformedError:
        return
    page(shown)
    page(shown, "application/openmetrics-text")


@pytest.mark.parametrize("name", PARSERS)
def test_an_empty_file_is_no_surprise(name: str) -> None:
    parse, samples = PARSERS[name]
    with contextlib.suppress(MalformedError):
        assert math.isfinite(sum(sample.value for sample in samples(parse(""))))
