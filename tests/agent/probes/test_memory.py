import pytest

from agent.probes import memory
from agent.probes.errors import MalformedError


def test_kibibytes_become_bytes_and_counts_stay_counts() -> None:
    text = "MemTotal:       16 kB\nActive(anon):    3 kB\nHugePages_Total:       2\n"
    assert memory.parse(text) == {"MemTotal_bytes": 16384, "Active_anon_bytes": 3072, "HugePages_Total": 2}


def test_cached_is_the_kernels_own_field() -> None:
    text = "Cached: 100 kB\nSReclaimable: 40 kB\n"
    shown = {s.family.name: s.value for s in memory.samples(memory.parse(text))}
    assert shown == {"node_memory_Cached_bytes": 102400, "node_memory_SReclaimable_bytes": 40960}


@pytest.mark.parametrize("line", ["MemTotal 16 kB", "MemTotal: 16 MB", "Mem Total: 1 kB", "MemTotal:", "Mem{x}: 1"])
def test_a_line_of_another_shape_is_refused(line: str) -> None:
    with pytest.raises(MalformedError):
        memory.parse(line)


def test_psutil_tells_only_what_is_honest() -> None:
    honest = {"MemTotal_bytes", "MemAvailable_bytes", "MemFree_bytes", "SwapTotal_bytes", "SwapFree_bytes"}
    assert set(memory.read_elsewhere()) == honest
