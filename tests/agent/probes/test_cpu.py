from pathlib import Path

import pytest

from agent.probes import cpu
from agent.probes.errors import MalformedError

STAT = """cpu  300 40 90 8800 10 0 3 5 20 1
cpu0 150 20 45 4400 5 1 2 3 10 1
cpu3 150 20 45 4400 5
intr 1
"""


def test_ticks_become_seconds_by_mode() -> None:
    first = cpu.parse(STAT, 100)[0]
    assert first == cpu.Processor(
        "0",
        {
            "user": 1.5,
            "nice": 0.2,
            "system": 0.45,
            "idle": 44.0,
            "iowait": 0.05,
            "irq": 0.01,
            "softirq": 0.02,
            "steal": 0.03,
        },
        {"user": 0.1, "nice": 0.01},
    )


def test_a_processor_keeps_its_number_when_its_neighbour_is_offline() -> None:
    assert [processor.cpu for processor in cpu.parse(STAT, 100)] == ["0", "3"]


def test_modes_an_old_kernel_does_not_write_are_absent() -> None:
    assert list(cpu.parse(STAT, 100)[1].seconds) == ["user", "nice", "system", "idle", "iowait"]


def test_each_mode_is_one_sample() -> None:
    shown = [
        (s.family.name, s.labels, s.value) for s in cpu.samples((cpu.Processor("0", {"idle": 2.0}, {"nice": 1.0}),))
    ]
    assert shown == [
        ("node_cpu_seconds_total", (("cpu", "0"), ("mode", "idle")), 2.0),
        ("node_cpu_guest_seconds_total", (("cpu", "0"), ("mode", "nice")), 1.0),
    ]


@pytest.mark.parametrize(("answer", "hertz"), [("2400000", 2.4e9), ("0", None), ("<unknown>", None)])
def test_only_a_real_frequency_is_shown(tmp_path: Path, answer: str, hertz: float | None) -> None:
    (tmp_path / "stat").write_text(STAT)
    folder = tmp_path / "devices/system/cpu/cpu0/cpufreq"
    folder.mkdir(parents=True)
    (folder / "scaling_cur_freq").write_text(f"{answer}\n")
    first = cpu.read(tmp_path, tmp_path, 100)[0]
    assert first.hertz == (() if hertz is None else ((cpu.FREQUENCY, hertz),))


def test_a_line_without_numbers_is_refused() -> None:
    with pytest.raises(MalformedError, match="'x'"):
        cpu.parse("cpu0 x y z v", 100)
