"""Stands before the parser, which dies with its process on a text that nests too deeply.

Limits the text, then parses in a thread with a big stack; the only thread of this package.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from collector.promql.errors import PlanError
from collector.promql.lexer import tokens

MAX_BYTES = 4096
MAX_OPERATORS = 200
_STACK = 16 * 1024 * 1024
_SIGNS = frozenset("()[]{}+-*/%^@<>") | {"==", "!=", "<=", ">=", "=~", "!~"}
_WORDS = frozenset({"and", "or", "unless", "atan2", "offset"})
T = TypeVar("T")


def check(text: str) -> None:
    """Raises PlanError when a text is too long or has more than 200 operators, brackets and parentheses."""
    size = len(text.encode(errors="surrogatepass"))
    if size > MAX_BYTES:
        raise PlanError(f"the expression has {size} bytes, {MAX_BYTES} are allowed", 1)
    if not text.isprintable() and any(c < " " and c not in "\t\r\n" for c in text):
        raise PlanError("the expression contains a control character", 1)
    counted = 0
    for token in tokens(text):
        counted += token.text in _SIGNS or token.text.lower() in _WORDS
        if counted > MAX_OPERATORS:
            message = f"more than {MAX_OPERATORS} operators and parentheses"
            raise PlanError(message, token.start + 1)


def run(parse: Callable[[str], T], text: str) -> T:
    """`parse(text)` in a thread with a 16 MiB stack; what it raises is raised here."""
    done: Future[T] = Future()

    def work() -> None:
        try:
            done.set_result(parse(text))
        except (PlanError, ValueError, RecursionError) as error:
            done.set_exception(error)

    # The size is the process's for threads to come: set it back to the default at once. A thread of somebody else
    # that starts in between gets a bigger stack, which costs address space only; ours, when somebody else sets it
    # back first, gets the default, which carries what `check` let through as well.
    threading.stack_size(_STACK)
    try:
        thread = threading.Thread(target=work, name="parse", daemon=True)
        thread.start()
    finally:
        threading.stack_size(0)
    thread.join()
    if not done.done():
        raise PlanError("the parser failed on this expression", 1)
    return done.result()
