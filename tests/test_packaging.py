"""The wheel as an agent's computer gets it: built, installed without extras into a clean environment, run once."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

# What the collector's side alone may load: none of it is installed on an agent's computer.
COLLECTOR_ONLY = ("alembic", "argon2", "flask", "numpy", "promql_parser", "psycopg", "re2", "sqlalchemy", "yaml")
NOT_AT_START = (*COLLECTOR_ONLY, "cryptography")


def run(*command: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture(scope="session")
def wheel(project_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    done = run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=project_root)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def names(wheel: Path) -> frozenset[str]:
    with zipfile.ZipFile(wheel) as archive:
        return frozenset(archive.namelist())


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the programs of a clean environment that holds the wheel and the agent's libraries."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=True, symlinks=True)
    programs = folder / "bin"
    pip: list[str | Path] = [programs / "python", "-m", "pip", "install", "-q", "--no-compile"]
    done = run(*pip, wheel)
    assert done.returncode == 0, done.stderr
    return programs


def test_the_top_level_names_are_exactly_the_four(names: frozenset[str]) -> None:
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"agent", "collector", "web", "czuwak"}


def test_proto_is_a_source_root_and_no_package(project_root: Path) -> None:
    assert not (project_root / "proto" / "__init__.py").exists()


@pytest.mark.parametrize(
    "pattern",
    [
        "agent/service/*.service",
        "agent/service/czuwak-agent-sleep",
        "collector/rules/defaults/*.yml",
        "collector/store/migrations/versions/*.py",
        "czuwak/v1/*_pb2.pyi",
        "czuwak/v1/py.typed",
        "web/runbooks/en/HostFilesystemFull.md",
        "web/runbooks/pl/HostFilesystemFull.md",
        "web/static/*.css",
        "web/templates/*.html",
        "web/translations/pl/LC_MESSAGES/messages.mo",
    ],
)
def test_what_is_no_python_code_is_in_the_wheel_too(names: frozenset[str], pattern: str) -> None:
    assert [name for name in names if Path(name).match(pattern)]


def test_every_fetched_package_is_in_the_wheel_with_its_licence(names: frozenset[str]) -> None:
    from web.build import FILES  # noqa: PLC0415 - imports hatchling, which only this test needs

    assert {f"web/static/vendor/{name}" for name in FILES} <= names


def test_nothing_of_the_workshop_is_in_the_wheel(names: frozenset[str]) -> None:
    stray = ("node_modules", "__pycache__", "tests/", "web/build.py", "package.json", "package-lock.json", ".sqlite")
    assert [name for name in names if any(part in name for part in stray)] == []


def test_the_installed_agent_tells_its_version(installed: Path, tmp_path: Path) -> None:
    done = run(installed / "czuwak-agent", "--version", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("czuwak-agent ")
    assert done.stdout.count("\n") == 1


def test_the_installed_agent_takes_one_round_of_this_machine(installed: Path, tmp_path: Path) -> None:
    done = run(installed / "czuwak-agent", "collect", "--once", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "# TYPE node_cpu_seconds_total counter" in done.stdout
    assert "node_memory_MemTotal_bytes" in done.stdout


def test_the_agents_environment_holds_nothing_of_the_collectors(installed: Path, tmp_path: Path) -> None:
    code = f"import importlib.util as u; print([name for name in {COLLECTOR_ONLY!r} if u.find_spec(name)])"
    assert run(installed / "python", "-c", code, cwd=tmp_path).stdout.strip() == "[]"


def test_the_collectors_command_without_its_extra_says_what_to_install(installed: Path, tmp_path: Path) -> None:
    done = run(installed / "czuwak", "--version", cwd=tmp_path)
    assert "Traceback" not in done.stderr
    assert done.returncode == 0 or "czuwak[collector]" in done.stderr


def test_starting_the_agent_loads_no_heavy_library(tmp_path: Path) -> None:
    code = f"import sys, agent.main; print(sorted(set({NOT_AT_START!r}) & set(sys.modules)))"
    done = run(sys.executable, "-c", code, cwd=tmp_path)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_wheel_is_made_from_the_source_archive_alone(project_root: Path, tmp_path: Path) -> None:
    made = run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path, cwd=project_root)
    assert made.returncode == 0, made.stderr
    (archive,) = tmp_path.glob("*.tar.gz")
    assert run("tar", "-xzf", archive, "-C", tmp_path).returncode == 0
    folder = tmp_path / archive.name.removesuffix(".tar.gz")
    done = run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(tmp_path.glob("*.whl"))
