import time

from agent.probes import stat


def test_counts_are_found_among_the_lines() -> None:
    text = "cpu  1 2\nintr 1830 14 0 5\nctxt 620\nbtime 1795000000\nprocesses 41\nprocs_running 3\nprocs_blocked 1\n"
    assert stat.parse(text) == {
        stat.INTERRUPTS: 1830,
        stat.CONTEXT_SWITCHES: 620,
        stat.BOOT_TIME: 1795000000,
        stat.FORKS: 41,
        stat.RUNNING: 3,
        stat.BLOCKED: 1,
    }


def test_psutil_knows_when_the_host_started() -> None:
    assert 0 < stat.read_elsewhere()[stat.BOOT_TIME] < time.time()
