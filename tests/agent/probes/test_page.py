import os
import re
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from agent.exposition import page
from agent.probes import ProbeSettings, WatchedProcess, elsewhere, linux, probes
from agent.round import Round, take_round

# What differs from one run to the next, and what the agent itself costs.
VOLATILE = re.compile(r"^(czuwak_agent_(?:cpu_seconds_total|resident_bytes|threads)) .*$", re.MULTILINE)

# node_exporter excuses these from promtool's advice, and nothing else.
EXCUSED = re.compile(r"^node_(entropy|memory|netstat|wifi_station)_")


def fake_round(settings: ProbeSettings) -> Round:
    ticks = count()
    return take_round(linux(settings), wall=1795000600.25, boottime_ns=600, clock=lambda: next(ticks) / 1024)


def test_the_whole_page_of_a_fake_host_is_the_accepted_one(settings: ProbeSettings, data: Path) -> None:
    golden = data / "exposition.txt"
    # The services of the golden page are in test_service.py's: a bus cannot be a fixture file.
    body, _ = page(fake_round(replace(settings, services=())).samples)
    text = VOLATILE.sub(r"\1 VARIES", body.decode())
    text = re.sub(r'({file=")[^"]*/([^/"]+"})', r"\1\2", text)
    text = re.sub(r"(node_textfile_mtime_seconds{.*}) .*", r"\1 VARIES", text)
    text = re.sub(r'(czuwak_agent_build_info{.*version=)"[^"]*"', r'\1"VARIES"', text)
    if os.environ.get("CZUWAK_ACCEPT") == "1":
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8"), (
        "if this is meant: CZUWAK_ACCEPT=1 pytest tests/agent/probes/test_page.py"
    )


def test_the_page_of_a_fake_host_is_valid_in_both_formats(settings: ProbeSettings) -> None:
    samples = fake_round(settings).samples
    text, _ = page(samples)
    openmetrics, _ = page(samples, "application/openmetrics-text; version=1.0.0")

    def values(families: Iterable[Metric]) -> set[tuple[object, ...]]:
        return {(s.name, *sorted(s.labels.items()), s.value) for f in families for s in f.samples}

    strict = parse_openmetrics(openmetrics.decode())  # type: ignore[no-untyped-call]
    assert values(parse_text(text.decode())) == values(strict)


def test_every_collector_of_the_fake_host_has_data(settings: ProbeSettings) -> None:
    failed = {part.collector: part.failure for part in fake_round(replace(settings, services=())).parts if part.failure}
    assert failed == {}


def test_an_empty_host_costs_no_round(tmp_path: Path, settings: ProbeSettings) -> None:
    absent = tmp_path / "absent"
    nothing = replace(settings, procfs=absent, sysfs=absent, textfiles=absent, services=())
    round_ = fake_round(nothing)
    answered = {part.collector for part in round_.parts if not part.failure}
    assert answered == {"agent", "host", "reboot", "timex"}


def test_psutil_alone_gives_a_round_with_the_same_names() -> None:
    settings = ProbeSettings(processes=(WatchedProcess("tests", "~pytest"),))
    kinds = {s.family.name: s.family for s in real_round(settings).samples}
    portable = take_round(elsewhere(settings), wall=time.time(), boottime_ns=0, clock=time.perf_counter)
    assert {part.collector: part.failure for part in portable.parts if part.failure} == {}
    assert [s.family.name for s in portable.samples if kinds.get(s.family.name) != s.family] == []


@pytest.mark.server("promtool")
def test_promtool_has_no_advice_for_this_machines_page() -> None:
    body, _ = page(real_round(ProbeSettings(processes=(WatchedProcess("tests", "~pytest"),))).samples)
    assert advice(body) == []


@pytest.mark.server("promtool")
def test_promtool_has_no_advice_for_the_fake_hosts_page(settings: ProbeSettings) -> None:
    body, _ = page(fake_round(settings).samples)
    assert advice(body) == []


def advice(body: bytes) -> list[str]:
    ran = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True, check=False)
    return [line for line in ran.stderr.decode().splitlines() if not EXCUSED.match(line)]


def real_round(settings: ProbeSettings) -> Round:
    return take_round(probes(settings), wall=time.time(), boottime_ns=0, clock=time.perf_counter)


# --- side by side with a real node_exporter, version 1.5.0 in Debian 12 ---

# A label that newer versions have and 1.5.0 has not; empty ones do not exist in Prometheus anyway.
NEWER_LABELS = {"node_network_info": {"adminstate"}}
# Series only it has: a speed of -1 Mbit/s, the driver's "nobody knows", as -125000 bytes/s. We leave it out.
ONLY_THEIRS = {"node_network_speed_bytes": -125000.0}
# Gauges that move between two readings: these must only be there and be close in size.
MOVING = {
    "node_load1": 0.5,
    "node_load5": 0.3,
    "node_load15": 0.3,
    "node_procs_running": 30,
    "node_procs_blocked": 30,
    "node_disk_io_now": 50,
    "node_time_seconds": 5,
    "node_timex_offset_seconds": 0.01,
    "node_timex_maxerror_seconds": 0.1,
    "node_timex_estimated_error_seconds": 0.1,
    "node_timex_frequency_adjustment_ratio": 1e-4,
    "node_filefd_allocated": 2000,
    "node_nf_conntrack_entries": 500,
}
# Free space and memory of a machine others work on; counters between two readings half a second apart.
BYTES = 512 * 1024 * 1024


@pytest.mark.server("node_exporter")
def test_names_labels_and_values_agree_with_node_exporter(node_exporter: str) -> None:
    before = series(read(node_exporter))
    body, _ = page(real_round(ProbeSettings()).samples)
    after = series(read(node_exporter))
    ours = series(body.decode())
    shared = {name for name, *_ in ours} & {name for name, *_ in before} - {
        "node_scrape_collector_success",
        "node_scrape_collector_duration_seconds",
    }
    assert len(shared) > 120
    theirs = {key for key in before if key[0] in shared and before[key] != ONLY_THEIRS.get(key[0])}
    mine = {key for key in ours if key[0] in shared}
    # A field of the kernel, or a device, may come between the readings; here none does.
    assert sorted(mine ^ theirs) == []
    off = [
        (key, before[key], ours[key], after[key])
        for key in sorted(theirs)
        if not agrees(key[0], before[key], ours[key], after[key])
    ]
    assert off == []


@pytest.mark.server("node_exporter")
def test_types_agree_with_node_exporter(node_exporter: str) -> None:
    body, _ = page(real_round(ProbeSettings()).samples)
    theirs, ours = types(read(node_exporter)), types(body.decode())
    assert {
        name: (ours[name], theirs[name]) for name in ours.keys() & theirs.keys() if ours[name] != theirs[name]
    } == {}


@pytest.fixture
def node_exporter(free_port: Callable[[], int]) -> Iterator[str]:
    where = f"127.0.0.1:{free_port()}"
    settings = ProbeSettings()
    program = "prometheus-node-exporter"
    started = subprocess.Popen(
        [
            program,
            f"--web.listen-address={where}",
            f"--collector.filesystem.mount-points-exclude={settings.mounts_excluded}",
            f"--collector.filesystem.fs-types-exclude={settings.filesystems_excluded}",
            f"--collector.diskstats.device-exclude={settings.disks_excluded}",
            f"--collector.netdev.device-exclude={settings.networks_excluded}",
            f"--collector.netclass.ignored-devices={settings.networks_excluded}",
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        yield listening(f"http://{where}/metrics", started)
    finally:
        started.terminate()
        started.wait(10)


def listening(url: str, started: subprocess.Popen[bytes]) -> str:
    for _ in range(100):
        try:
            read(url)
        except OSError:
            assert started.poll() is None
            time.sleep(0.05)
        else:
            return url
    raise AssertionError("node_exporter did not start")


def read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own loopback address
        return str(answer.read().decode())


Key = tuple[str, tuple[tuple[str, str], ...]]


def series(text: str) -> dict[Key, float]:
    found = {}
    for family in parse_text(text):
        for s in family.samples:
            newer = NEWER_LABELS.get(s.name, set())
            labels = tuple(sorted((n, v) for n, v in s.labels.items() if v and n not in newer))
            found[s.name, labels] = s.value
    return found


def types(text: str) -> dict[str, str]:
    return dict(line.split()[2:] for line in text.splitlines() if line.startswith("# TYPE "))


def agrees(name: str, before: float, ours: float, after: float) -> bool:
    low, high = min(before, after), max(before, after)
    if name in MOVING:
        slack = MOVING[name]
    elif name.startswith(("node_memory_", "node_filesystem_")):
        slack = BYTES
    else:
        slack = 1e-6 * abs(high)
    return low - slack <= ours <= high + slack


# Collectors that have nothing to say on most machines: both read the fake host's /sys here.
HARDWARE = ("bonding", "edac", "hwmon", "powersupplyclass")
OF_HARDWARE = ("node_bonding_", "node_edac_", "node_hwmon_", "node_power_supply_")


@pytest.mark.server("node_exporter")
def test_hardware_of_the_fake_host_reads_as_node_exporter_reads_it(
    settings: ProbeSettings, free_port: Callable[[], int]
) -> None:
    where = f"127.0.0.1:{free_port()}"
    command = [
        "prometheus-node-exporter",
        f"--web.listen-address={where}",
        f"--path.sysfs={settings.sysfs}",
        "--collector.disable-defaults",
        *(f"--collector.{name}" for name in HARDWARE),
    ]
    started = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        theirs = series(read(listening(f"http://{where}/metrics", started)))
    finally:
        started.terminate()
        started.wait(10)
    body, _ = page(fake_round(settings).samples)
    ours = {key: value for key, value in series(body.decode()).items() if key[0].startswith(OF_HARDWARE)}
    assert len(ours) > 20
    assert {key: theirs.get(key) for key in ours} == pytest.approx(ours)
