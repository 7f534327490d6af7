import pytest

from agent.probes import network
from agent.probes.errors import MalformedError

HEAD = "Inter-|\n face |\n"


def test_all_sixteen_columns_by_interface() -> None:
    reading = network.parse(f"{HEAD}  eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n")
    shown = {s.family.name.removeprefix("node_network_"): s.value for s in network.samples(reading)}
    assert shown == {
        "receive_bytes_total": 1,
        "receive_packets_total": 2,
        "receive_errs_total": 3,
        "receive_drop_total": 4,
        "receive_fifo_total": 5,
        "receive_frame_total": 6,
        "receive_compressed_total": 7,
        "receive_multicast_total": 8,
        "transmit_bytes_total": 9,
        "transmit_packets_total": 10,
        "transmit_errs_total": 11,
        "transmit_drop_total": 12,
        "transmit_fifo_total": 13,
        "transmit_colls_total": 14,
        "transmit_carrier_total": 15,
        "transmit_compressed_total": 16,
    }


def test_an_old_driver_leaves_no_room_after_the_colon() -> None:
    assert list(network.parse(f"{HEAD}eth0:{'1 ' * 16}")) == ["eth0"]


def test_an_alias_has_a_colon_in_its_name() -> None:
    assert list(network.parse(f"{HEAD}eth0:1: {'1 ' * 16}")) == ["eth0:1"]


def test_a_line_with_a_column_missing_is_refused() -> None:
    with pytest.raises(MalformedError):
        network.parse(f"{HEAD}eth0: {'1 ' * 15}")
