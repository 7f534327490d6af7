import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.config import SETTINGS, Config, load, variable
from agent.errors import ConfigError
from agent.probes import WatchedProcess

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A function that writes a configuration file."""

    def write(text: str) -> Path:
        path = tmp_path / "agent.toml"
        path.write_text(textwrap.dedent(text))
        return path

    return write


def mistakes(path: Path, environment: dict[str, str] | None = None, **flags: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        load(path, environment or {}, {("identity", name): text for name, text in flags.items()})
    return str(refused.value).replace(f"{path}", "F").splitlines()


def test_an_empty_file_is_all_defaults(write: Write) -> None:
    config = load(write(""), {})
    assert (config.interval, config.listen, config.collector) == (15.0, ("127.0.0.1", 19115), None)
    assert config == Config()


def test_the_shipped_example_says_the_defaults(project_root: Path) -> None:
    example = project_root / "agent/service/agent.toml"
    assert load(example, {}) == Config()


def test_the_shipped_example_is_right_where_it_is_commented_out(project_root: Path, write: Write) -> None:
    text = (project_root / "agent/service/agent.toml").read_text()
    settings = [
        line.removeprefix("# ") for line in text.splitlines() if " = " in line or line.startswith(("[", "# [["))
    ]
    config = load(write("\n".join(settings)), {})
    assert config.collector == ("collector.example", 8443)
    assert [each.name for each in config.probes.processes] == ["database"]


def test_every_setting_is_taken(write: Write) -> None:
    path = write("""\
        interval = 2
        [agent]
        state_dir = "/srv/state"
        spool_mib = 8
        [collector]
        address = "collector.example"
        server_name = "collector"
        [identity]
        dir = "/srv/identity"
        [exposition]
        listen = ":9100"
        [probes]
        services = ["ssh.service"]
        procfs = "/host/proc"
        mounts_excluded = "^/x"
        [[probes.processes]]
        name = "db"
        match = "~postgres: .* writer"
    """)
    config = load(path, {})
    assert (config.interval, config.spool_mib) == (2.0, 8)
    assert (config.state_dir, config.identity_dir) == (Path("/srv/state"), Path("/srv/identity"))
    assert (config.collector, config.server_name) == (("collector.example", 8443), "collector")
    assert config.listen == ("", 9100)
    assert config.probes.processes == (WatchedProcess("db", "~postgres: .* writer"),)
    assert (config.probes.services, config.probes.procfs) == (("ssh.service",), Path("/host/proc"))
    assert config.probes.mounts_excluded == "^/x"


def test_relative_paths_are_beside_the_file(write: Write) -> None:
    path = write('[agent]\nstate_dir = "state"\n')
    config = load(path, {})
    assert (config.state_dir, config.identity_dir) == (path.parent / "state", path.parent / "state/identity")


def test_an_empty_listen_switches_the_page_off(write: Write) -> None:
    assert load(write('[exposition]\nlisten = ""\n'), {}).listen is None


def test_a_flag_beats_the_environment_and_that_the_file(write: Write) -> None:
    path = write('interval = 3\n[identity]\ndir = "/file"\n[collector]\naddress = "file:1"\n')
    environment = {"CZUWAK_AGENT_IDENTITY_DIR": "/variable", "CZUWAK_AGENT_COLLECTOR_ADDRESS": "variable:2"}
    config = load(path, environment, {("identity", "dir"): "/flag"})
    assert (config.identity_dir, config.collector, config.interval) == (Path("/flag"), ("variable", 2), 3.0)


def test_numbers_and_lists_come_from_variables_too(write: Write) -> None:
    environment = {"CZUWAK_AGENT_INTERVAL": "2.5", "CZUWAK_AGENT_PROBES_SERVICES": "a.service, b.service"}
    config = load(write(""), environment)
    assert (config.interval, config.probes.services) == (2.5, ("a.service", "b.service"))


def test_several_collectors_are_a_list_or_commas(write: Write) -> None:
    both = (("one.example", 8443), (("two.example", 1),))
    config = load(write('[collector]\naddress = ["one.example", "two.example:1", "one.example:8443"]\n'), {})
    assert (config.collector, config.alternates) == both
    config = load(write(""), {"CZUWAK_AGENT_COLLECTOR_ADDRESS": "one.example, two.example:1"})
    assert (config.collector, config.alternates) == both
    path = write("[collector]\naddress = []\n")
    assert mistakes(path) == ["F:2: address: Expected `array` of length >= 1"]


def test_every_setting_has_its_own_variable() -> None:
    assert len({variable(key) for key in SETTINGS}) == len(SETTINGS)
    assert variable(("agent", "state_dir")) == "CZUWAK_AGENT_STATE_DIR"


def test_all_mistakes_are_told_at_once_with_their_lines(write: Write) -> None:
    path = write("""\
        interval = "often"
        [colector]
        address = "a:1"
        [collector]
        adress = "a:1"
        [exposition]
        listen = "nowhere"
        [probes]
        disks_excluded = "("
        [[probes.processes]]
        match = "x"
    """)
    assert mistakes(path, {"CZUWAK_AGENT_COLLECTOR_ADDRESS": "a:99999"}) == [
        "F:2: unknown section [colector]; did you mean 'collector'?",
        "F:5: unknown setting 'adress' in [collector]; did you mean 'address'?",
        "F:1: interval: Expected `float`, got `str`",
        "F:10: processes: Object missing required field `name` - at `$[0]`",
        "CZUWAK_AGENT_COLLECTOR_ADDRESS: address: 'a:99999' is not HOST:PORT",
        "F:7: listen: 'nowhere' is not an address to listen on: write HOST:PORT",
        "F:9: disks_excluded: '(' is not a regular expression: missing ), unterminated subpattern at position 0",
    ]


def test_broken_toml_is_told_with_line_and_column(write: Write) -> None:
    assert mistakes(write('interval = 2\n[agent\nstate_dir = "x"\n')) == [
        "F:2:7: not TOML: Expected ']' at the end of a table declaration"
    ]


def test_toml_that_ends_too_soon_is_told_with_its_last_line(write: Write) -> None:
    assert mistakes(write('[agent]\nstate_dir = "x'))[0].startswith("F:2: not TOML: ")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("interval = 0.01", "F:1: interval: Expected `float` >= 0.2"),
        ("interval = nan", "F:1: interval: Expected `float` >= 0.2"),
        ("[agent]\nstate_dir = 3", "F:2: state_dir: Expected `str`, got `int`"),
        ("[agent]\nstate_dir = ''", "F:2: state_dir: Expected `str` of length >= 1"),
        ("agent = 1", "F:1: agent is a section: write [agent] and its settings below"),
        ("[[probes.processes]]\nname = ''", "F:1: processes: Expected `str` of length >= 1 - at `$[0].name`"),
        ("[[probes.processes]]\nname = 'a'\nmatch = '~('", "F:1: processes: '(' is not a regular expression"),
        ("[what]\nx = 1", "F:1: unknown section [what]; known are agent, collector, identity, exposition, probes"),
    ],
)
def test_each_mistake_says_what_is_expected(write: Write, text: str, told: str) -> None:
    assert mistakes(write(text))[0].startswith(told)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none.toml"
    assert mistakes(path) == ["F: No such file or directory; give the file's path with --config"]


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_bytes(b"\xff\xfe\x00")
    assert mistakes(path) == ["F: is not UTF-8 text"]
