"""Direction rules that the import linter cannot say: one home per library, pure modules, no state at import."""

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PARTS = ("agent", "collector", "web")

# library -> the files and folders that may import it; a folder ends in a slash
HOMES = {
    "alembic": ("collector/store/",),
    "flask": ("web/",),
    "flask_babel": ("web/",),
    "flask_wtf": ("web/",),
    "grpc": ("agent/", "collector/bench/", "collector/ingest/", "collector/query/", "web/live.py"),
    "grpc_health": ("collector/ingest/", "collector/query/"),
    "jeepney": ("agent/probes/",),
    "msgspec": ("agent/",),
    "numpy": ("collector/head/", "collector/promql/", "collector/rules/lookback.py"),
    "promql_parser": ("collector/promql/plan.py",),
    "psutil": ("agent/",),
    "psycopg": ("collector/store/",),
    "sqlalchemy": ("collector/store/", "collector/bench/identities.py"),
    # The doctor tells which library is linked.
    "sqlite3": ("collector/store/", "collector/doctor.py", "agent/disk.py", "agent/rows.py", "agent/salvage.py"),
    "werkzeug": ("web/",),
    "wtforms": ("web/",),
    "yaml": ("collector/rules/load.py",),
}

# Modules that compute and nothing else: time comes in as `at`, everything else as an argument.
PURE = (
    "agent/batch.py",
    "agent/events.py",
    "agent/moves.py",
    "agent/sample.py",
    "agent/session.py",
    "collector/alerts/",
    "collector/ingest/answers.py",
    "collector/ingest/session.py",
    "collector/ingest/stamp.py",
    "collector/labels.py",
    "collector/presence/",
    "collector/promql/",
    "collector/rules/alerting.py",
    "collector/tickets/",
)
IMPURE = {
    "asyncio", "grpc", "io", "logging", "multiprocessing", "os", "pathlib", "random", "secrets", "shutil", "socket",
    "sqlalchemy", "sqlite3", "subprocess", "tempfile", "threading", "time", "urllib",
}  # fmt: skip
# The parser recurses in native code: it gets a thread for its deep stack, and the thread ends with the call.
PURE_EXCEPT = {("collector/promql/guard.py", "threading")}

WEB_MAY_IMPORT = {"alerts", "intake", "labels", "store", "tickets"}
BROAD_EXCEPTS = 5
MUTATORS = {"add", "append", "clear", "discard", "extend", "insert", "pop", "popitem", "remove", "setdefault", "update"}
MUTABLE_CALLS = {
    "bytearray",
    "Counter",
    "defaultdict",
    "deque",
    "dict",
    "list",
    "OrderedDict",
    "set",
    "WeakValueDictionary",
}
REGISTERING = {"before_request", "delete", "errorhandler", "get", "patch", "post", "put", "route", "teardown_request"}

ROOT = Path(__file__).resolve().parent.parent
SOURCES = tuple(
    sorted(
        path
        for part in PARTS
        for path in (ROOT / part).rglob("*.py")
        if "node_modules" not in path.parts and "migrations" not in path.parts
    )
)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def imports(path: Path) -> Iterator[str]:
    """Every module a file imports anywhere, lazily or not, by its full name."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}:{node.lineno} imports relatively"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def lives_in(name: str, homes: tuple[str, ...]) -> bool:
    return any(name == home or (home.endswith("/") and name.startswith(home)) for home in homes)


@pytest.mark.parametrize("library", sorted(HOMES))
def test_each_library_has_one_home(library: str) -> None:
    users = {name_of(path) for path in SOURCES if any(each.split(".")[0] == library for each in imports(path))}
    assert {name for name in users if not lives_in(name, HOMES[library])} == set()


def test_the_web_imports_from_the_collector_only_what_it_may() -> None:
    found = {
        (name_of(path), each)
        for path in SOURCES
        if name_of(path).startswith("web/")
        for each in imports(path)
        if each.split(".")[0] == "collector" and each.split(".")[1] not in WEB_MAY_IMPORT
    }
    assert found == set()


def test_pure_modules_touch_nothing_outside() -> None:
    found = {
        (name_of(path), library)
        for path in SOURCES
        if lives_in(name_of(path), PURE)
        for library in {each.split(".")[0] for each in imports(path)} & IMPURE
    }
    assert found - PURE_EXCEPT == set()


def test_pure_modules_ask_no_clock() -> None:
    found = [
        f"{name_of(path)}:{node.lineno}"
        for path in SOURCES
        if lives_in(name_of(path), PURE)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and node.attr in {"now", "utcnow", "today"}
    ]
    assert found == []


def test_what_makes_samples_of_a_reading_touches_no_host() -> None:
    outside = {"open", "Path", "psutil", "os", "socket", "subprocess", "time"}
    found = [
        f"{name_of(path)}:{node.lineno} {node.id}"
        for path in SOURCES
        if name_of(path).startswith("agent/probes/")
        for function in ast.walk(tree(path))
        if isinstance(function, ast.FunctionDef) and function.name == "samples"
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and node.id in outside
    ]
    assert found == []


def top_level_names(module: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for node in module.body:
        if isinstance(node, ast.Assign):
            yield from ((target.id, node.value) for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            yield node.target.id, node.value


def mutable(value: ast.expr) -> bool:
    if isinstance(value, ast.Call):
        called = value.func.id if isinstance(value.func, ast.Name) else getattr(value.func, "attr", "")
        return called in MUTABLE_CALLS
    return isinstance(value, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp)


def changed_names(module: ast.Module) -> set[str]:
    """Names that some statement of the module changes in place, or rebinds through `global`."""
    changed: set[str] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Global):
            changed.update(node.names)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
            changed.update([node.func.value.id] if isinstance(node.func.value, ast.Name) else [])
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            changed.update([node.value.id] if isinstance(node.value, ast.Name) else [])
    return changed


def locals_of(module: ast.Module) -> set[str]:
    """Names that are also bound inside some function: there the module's name is shadowed."""
    bound: set[str] = set()
    for function in ast.walk(module):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            bound.update(
                node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            )
            bound.update(argument.arg for argument in ast.walk(function) if isinstance(argument, ast.arg))
    return bound


def test_nothing_at_module_level_changes() -> None:
    found = []
    for path in SOURCES:
        module = tree(path)
        changed = changed_names(module)
        for name, value in top_level_names(module):
            constant = name.lstrip("_").isupper() or name == "__all__"
            rebound = any(isinstance(node, ast.Global) and name in node.names for node in ast.walk(module))
            touched = name in changed and name not in locals_of(module)
            if rebound or touched or (mutable(value) and not constant):
                found.append(f"{name_of(path)} {name}")
    assert found == []


def test_no_module_registers_anything_by_decorator_at_import() -> None:
    found = [
        f"{name_of(path)}:{function.lineno} {function.name}"
        for path in SOURCES
        for function in tree(path).body
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for decorator in function.decorator_list
        for call in [decorator.func if isinstance(decorator, ast.Call) else decorator]
        if isinstance(call, ast.Attribute) and call.attr in REGISTERING
    ]
    assert found == []


def test_at_most_five_broad_excepts_stand_in_the_product() -> None:
    found = []
    for path in SOURCES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ExceptHandler):
                caught = [node.type] if not isinstance(node.type, ast.Tuple) else node.type.elts
                names = {each.id if isinstance(each, ast.Name) else "" for each in caught if each is not None}
                if node.type is None or names & {"Exception", "BaseException"}:
                    found.append(f"{name_of(path)}:{node.lineno}")
    assert len(found) <= BROAD_EXCEPTS, found


def test_no_file_is_longer_than_five_hundred_lines() -> None:
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in SOURCES}
    assert {name: lines for name, lines in lengths.items() if lines > 500} == {}


def test_every_module_states_its_boundary_in_one_to_five_lines() -> None:
    found = []
    for path in SOURCES:
        text = ast.get_docstring(tree(path)) or ""
        if not 1 <= len(text.splitlines()) <= 5:
            found.append(name_of(path))
    assert found == []


def test_the_import_contracts_hold(project_root: Path) -> None:
    program = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    assert program is not None, "import-linter is part of the extra `dev`"
    done = subprocess.run([program, "--no-cache"], cwd=project_root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
