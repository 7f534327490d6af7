import logging

from agent.log import Lines


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
