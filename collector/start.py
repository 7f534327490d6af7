"""The door of the command `czuwak`: a wheel without its extra `collector` says what to install."""

import sys

OURS = frozenset({"agent", "collector", "czuwak", "web"})


def main() -> int:
    """Run the command. Ends with 1 and one sentence where the collector's libraries are not installed."""
    try:
        from collector.main import main as run  # noqa: PLC0415 - this import and those of the command may fail

        return run()
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in OURS:
            raise
        sys.exit(
            f"czuwak: {error.name} is missing; the collector's side is installed by: pip install 'czuwak[collector]'"
        )
