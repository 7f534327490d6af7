"""The dictionary of label values: a string is a small number, 0 is the empty string (no such label)."""

from collections.abc import Hashable


class Symbols:
    """Numbers for strings. Grows only; a head that has forgotten many series starts a new one."""

    __slots__ = ("_ids", "_strings", "singles")

    def __init__(self) -> None:
        self._ids: dict[str, int] = {"": 0}
        self._strings: list[str] = [""]
        self.singles: dict[Hashable, object] = {}  # what is made of single label sets of this dictionary

    def encode(self, text: str) -> int:
        """The number of a string, given now if it has none."""
        code = self._ids.get(text)
        if code is None:
            code = self._ids[text] = len(self._strings)
            self._strings.append(text)
        return code

    def find(self, text: str) -> int | None:
        """The number of a string, None if it has none."""
        return self._ids.get(text)

    def decode(self, code: int) -> str:
        """The string of a number."""
        return self._strings[code]

    def __len__(self) -> int:
        return len(self._strings)
