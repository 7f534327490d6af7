import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector import config
from collector.errors import ConfigError


def written(folder: Path, text: str) -> Path:
    path = folder / "czuwak.toml"
    path.write_text(text)
    return path


def test_the_template_is_the_defaults(tmp_path: Path) -> None:
    live = config.template().replace("\n# ", "\n")
    only_keys = "\n".join(line for line in live.splitlines() if line.startswith("[") or " = " in line)
    assert config.load(written(tmp_path, only_keys), {}) == config.load(written(tmp_path, ""), {})


def test_paths_start_from_the_file(tmp_path: Path) -> None:
    loaded = config.load(written(tmp_path, '[database]\nurl = "sqlite:///data/a.db"\n'), {})
    assert loaded.database.url == f"sqlite:///{tmp_path}/data/a.db"
    assert loaded.ca.dir == tmp_path / "ca"


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, '[web]\nlisten = "127.0.0.1:1"\nsecure_cookies = false\n')
    loaded = config.load(path, {"CZUWAK_WEB_LISTEN": "127.0.0.1:2", "CZUWAK_WEB_SECURE_COOKIES": "true"})
    assert (loaded.web.listen, loaded.web.secure_cookies) == ("127.0.0.1:2", True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[ingest]\nlisen = "x:1"\n', ":2: unknown key 'lisen' in [ingest]; did you mean 'listen'?"),
        ("\n[webb]\n", ":2: unknown section [webb]; did you mean 'web'?"),
        ('[ingest]\ninterval = "soon"\n', ":2: ingest.interval = 'soon' is not a duration"),
        ('[database]\nurl = "mysql://x"\n', ":2: database.url = 'mysql://x' is not a database"),
        ('[web]\nlisten = "8080"\n', ":2: web.listen = '8080' is not an address"),
        ('[web]\ntimezone = "Europe/Wroclaw"\n', ":2: web.timezone = 'Europe/Wroclaw' is not a time zone"),
        ('[web]\nmetrics_allow = ["x"]\n', ":2: web.metrics_allow = ['x'] has 'x', which is not a network"),
        ("web = 3\n", ":1: [web] is not a section"),
        ("[web\n", "not valid TOML"),
    ],
)
def test_a_mistake_says_where_and_what_to_write(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load(written(tmp_path, text), {})
    assert said in str(caught.value)


def test_all_mistakes_come_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load(written(tmp_path, '[web]\nlisten = "x"\nthreads = 0\n[rules]\nfiles = 3\n'), {})
    assert len(caught.value.mistakes) == 3


def test_a_missing_file_names_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="czuwak init DIR"):
        config.load(tmp_path / "none.toml", {})


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://czuwak:se:cret@db/x", "postgresql://czuwak:***@db/x"),
        ("postgresql://czuwak@db/x?password=secret&host=y", "postgresql://czuwak@db/x?password=***&host=y"),
        ("postgresql://czuwak@db/x", "postgresql://czuwak@db/x"),
    ],
)
def test_a_password_of_the_database_is_never_shown(tmp_path: Path, url: str, shown: str) -> None:
    assert config.load(written(tmp_path, f'[database]\nurl = "{url}"\n'), {}).database.shown == shown


def test_a_mistake_in_the_url_does_not_show_its_password(tmp_path: Path) -> None:
    for url in ("mysql://czuwak:secret@db/x", "postgresql://czuwak:secr@et@db/x"):
        with pytest.raises(ConfigError) as caught:
            config.load(written(tmp_path, f'[database]\nurl = "{url}"\n'), {})
        assert "secr" not in str(caught.value)
        assert "et@" not in str(caught.value)


@pytest.mark.parametrize("text", ["inf", "nan", "0", "-1", "true", '"0s"', '"1e9s"', '"9999999999d"', '"²s"'])
def test_a_duration_is_from_a_millisecond_to_ten_years(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="is not a duration from 1 ms to 10 years"):
        config.load(written(tmp_path, f"[ingest]\ninterval = {text}\n"), {})


@given(st.text())
def test_no_text_but_a_duration_is_one(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert config._duration(text, Path()) > 0
