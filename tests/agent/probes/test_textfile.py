import logging
import os
import socket
from pathlib import Path

import pytest

from agent.probes.errors import NoDataError
from agent.probes.textfile import MOST_BYTES, MOST_FILES, MOST_SAMPLES, Textfiles, samples


def shown(reader: Textfiles) -> dict[str, float]:
    found = samples(reader.read())
    return {
        s.family.name + "".join(f" {value.rpartition('/')[2]}" for _, value in s.labels): s.value
        for s in found
        if s.family.name != "node_textfile_mtime_seconds"
    }


def refused(folder: Path) -> dict[str, str]:
    return {Path(file.path).name: file.refused for file in Textfiles(folder).read() if file.refused}


def test_without_the_folder_there_is_no_data(tmp_path: Path) -> None:
    with pytest.raises(NoDataError):
        Textfiles(tmp_path / "absent").read()


def test_a_file_says_its_values_and_when_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "a.prom").write_text("a_size_bytes 7\n")
    os.utime(tmp_path / "a.prom", (1795000000, 1795000000))
    found = {s.family.name: s.value for s in samples(Textfiles(tmp_path).read())}
    assert found == {
        "a_size_bytes": 7,
        "czuwak_agent_textfile_refused": 0,
        "node_textfile_mtime_seconds": 1795000000,
        "node_textfile_scrape_error": 0,
    }


def test_other_names_are_not_looked_at(tmp_path: Path) -> None:
    for name in ("a.prom.tmp", ".hidden.prom", "readme"):
        (tmp_path / name).write_text("nonsense")
    assert shown(Textfiles(tmp_path)) == {"node_textfile_scrape_error": 0}


def test_one_bad_file_hides_no_other(tmp_path: Path) -> None:
    (tmp_path / "bad.prom").write_text("nonsense\n")
    (tmp_path / "good.prom").write_text("a 7\n")
    assert shown(Textfiles(tmp_path)) == {
        "a": 7,
        "czuwak_agent_textfile_refused bad.prom": 1,
        "czuwak_agent_textfile_refused good.prom": 0,
        "node_textfile_scrape_error": 1,
    }


def test_links_pipes_sockets_folders_and_huge_files_are_not_followed_or_waited_for(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a 1\n")
    folder = tmp_path / "textfiles"
    folder.mkdir()
    (folder / "link.prom").symlink_to(secret)
    (folder / "loop.prom").symlink_to("loop.prom")
    os.mkfifo(folder / "pipe.prom")
    (folder / "folder.prom").mkdir()
    with (folder / "huge.prom").open("wb") as huge:
        huge.truncate(MOST_BYTES + 1)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "s.prom"))
        assert sorted(refused(folder)) == [
            "folder.prom",
            "huge.prom",
            "link.prom",
            "loop.prom",
            "pipe.prom",
            "s.prom",
        ]


def test_a_file_everybody_may_write_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "a.prom").write_text("a 1\n")
    (tmp_path / "a.prom").chmod(0o666)
    assert refused(tmp_path) == {"a.prom": "everybody may write to it"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_strangers_file_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "a.prom").write_text("a 1\n")
    os.chown(tmp_path / "a.prom", 65534, -1)
    assert "belongs neither" in refused(tmp_path)["a.prom"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_folders_owner_is_believed(tmp_path: Path) -> None:
    (tmp_path / "a.prom").write_text("a 1\n")
    for path in (tmp_path, tmp_path / "a.prom"):
        os.chown(path, 65534, -1)
    assert refused(tmp_path) == {}


def test_two_files_that_describe_one_metric_differently_are_a_conflict(tmp_path: Path) -> None:
    (tmp_path / "a.prom").write_text("# HELP a One.\na 1\n")
    (tmp_path / "b.prom").write_text('# HELP a Other.\na{b="1"} 1\n')
    assert refused(tmp_path) == {"b.prom": "another file describes a differently"}


def test_there_is_a_limit_for_files_and_samples(tmp_path: Path) -> None:
    for number in range(MOST_FILES + 1):
        (tmp_path / f"{number:03}.prom").write_text(f"a{{b='{number}'}} 1\n".replace("'", '"'))
    assert list(refused(tmp_path)) == [f"{MOST_FILES:03}.prom"]
    (tmp_path / "000.prom").write_text("".join(f'a{{c="{i}"}} 1\n' for i in range(MOST_SAMPLES + 1)))
    assert "samples" in refused(tmp_path)["000.prom"]


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    reader = Textfiles(tmp_path)
    (tmp_path / "a.prom").write_text("a 1\n")
    assert shown(reader)["a"] == 1
    (tmp_path / "new").write_text("a 2\n")
    (tmp_path / "new").rename(tmp_path / "a.prom")
    assert shown(reader)["a"] == 2
    (tmp_path / "a.prom").unlink()
    assert "a" not in shown(reader)


def test_a_refused_file_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    reader = Textfiles(tmp_path)
    (tmp_path / "a.prom").write_text("nonsense\n")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            reader.read()
        (tmp_path / "a.prom").write_text("a 1\n")
        reader.read()
        (tmp_path / "a.prom").write_text("nonsense\n")
        reader.read()
    assert len(caplog.records) == 2
