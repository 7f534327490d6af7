from pathlib import Path

import pytest

from agent.probes import pressure
from agent.probes.errors import NoDataError


def test_pressure_is_in_seconds() -> None:
    text = "some avg10=0.00 avg60=0.00 avg300=0.00 total=1500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=20\n"
    assert pressure.parse(text) == {"some": 1.5, "full": 0.00002}


def test_the_hosts_processor_is_never_fully_stalled_so_it_is_not_shown() -> None:
    shown = [s.family.name for s in pressure.samples({("cpu", "some"): 1.0, ("cpu", "full"): 0.0})]
    assert shown == ["node_pressure_cpu_waiting_seconds_total"]


def test_a_kernel_that_does_not_account_pressure_has_no_data(tmp_path: Path) -> None:
    with pytest.raises(NoDataError):
        pressure.read(tmp_path)
