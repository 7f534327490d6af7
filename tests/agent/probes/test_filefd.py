import pytest

from agent.probes import filefd
from agent.probes.errors import MalformedError


def test_file_descriptors_in_use_and_their_maximum() -> None:
    shown = [(s.family.name, s.value) for s in filefd.samples(filefd.parse("980\t0\t2466170\n"))]
    assert shown == [("node_filefd_allocated", 980), ("node_filefd_maximum", 2466170)]


def test_two_numbers_are_refused() -> None:
    with pytest.raises(MalformedError):
        filefd.parse("980 0")
