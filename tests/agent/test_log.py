import logging

import pytest

from agent.errors import ConfigError
from agent.log import Lines, level_of


def record(message: str, **extra: str) -> logging.LogRecord:
    made = logging.LogRecord("agent", logging.WARNING, "f", 1, message, (), None)
    made.__dict__.update(extra)
    return made


def test_for_systemd_a_line_has_a_priority_and_no_time() -> None:
    assert Lines(journal=True).format(record("It broke.", action="broke")) == "<4>It broke. action=broke"


def test_elsewhere_a_line_has_time_and_level() -> None:
    line = Lines(journal=False).format(record("It broke."))
    assert line.endswith(" WARNING It broke.")
    assert line[4] == "-"


def test_a_peers_words_cannot_start_another_line() -> None:
    assert Lines(journal=True).format(record("a\n<0>b\rc")) == "<4>a <0>b c"


@pytest.mark.parametrize(("environ", "level"), [({}, 20), ({"CZUWAK_LOG": ""}, 20), ({"CZUWAK_LOG": "warning"}, 30)])
def test_the_level_comes_from_the_environment(environ: dict[str, str], level: int) -> None:
    assert level_of(environ) == level


def test_what_is_no_level_is_told() -> None:
    with pytest.raises(ConfigError, match="CZUWAK_LOG: LOUD is no level"):
        level_of({"CZUWAK_LOG": "loud"})
