"""10,000 hostile expressions: each is refused or answered within a second, and the process lives.

The first part plans and evaluates all of them in one child process over a head with data; the second sends some of them
through the preview's helper.
"""

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from collector.head import Head
from collector.labels import Labels
from collector.promql import PromqlError, evaluate, evaluate_range, plan
from collector.query.errors import PreviewError
from collector.query.preview import BUDGET, Preview

T = TypeVar("T")
COUNT = 10_000
PREVIEWED = 1_000
LIMIT = 1.0  # seconds for one expression, of the processor: the machine may be busy with other things
BASE = 1_700_000_000.0
STEPS = 60
_WORDS = (
    list("()[]{}+-*/%^@,=<>!~`'\"#\n\\\0ż:$")
    + "a b:c x sum rate by on and or unless offset bool group_left without ignoring atan2 start() end() inf nan".split()  # noqa: SIM905
    + ["5m", "1", "1e9", "-1e308", "0x", '"x"', "=~", "1y", "99999999999y", "[5m:1ms]", "topk", "label_replace"]
)
_NUMBERS = ["0", "-1", "1e308", "-1e308", "NaN", "Inf", "-Inf", "1e-320", "9" * 300, "0x7fffffffffffffff", "time()"]
_RANGES = ["1ms", "5m", "1h", "100y", "1d", "9999w"]
_TIMES = ["", " offset 100y", " offset -100y", " @ 0", " @ 99999999999", " @ start()", " offset -1ms"]
_OVER = "rate increase deriv max_over_time stddev_over_time mad_over_time changes absent_over_time irate".split()  # noqa: SIM905
_CALLS = "abs ceil exp ln sqrt sgn timestamp absent sort minute year days_in_month scalar vector round asinh".split()  # noqa: SIM905
_GROUPS = ["", " by (a)", " without (a, host)", " by ()", " by (__name__)"]
_REGEXES = [
    "(a+)+$",
    "(x*)*y",
    "((((a{900}){900}){900}))",
    ".*" * 300,
    "[^\\\\d\\\\D]",
    "(?i)" + "(a|b)" * 200,
    "(",
    "*",
]


@dataclass(frozen=True)
class Verdict:
    """What became of one expression, and the processor time it took."""

    outcome: str
    seconds: float
    expression: str


def run(folder: Path) -> list[str]:
    """The report's lines."""
    found = answers(folder, COUNT)
    return [*_told(found), *_previews(PREVIEWED)]


def answers(folder: Path, count: int, seed: int = 1) -> list[Verdict]:
    """All of them in one child. Raises CalledProcessError when it dies."""
    texts = expressions(count, seed)
    (folder / "hostile.json").write_text(json.dumps(texts))
    command = [sys.executable, "-m", "tests.bench.hostile", str(folder)]
    subprocess.run(command, check=True, timeout=LIMIT * count + 60, stderr=subprocess.DEVNULL)
    found = json.loads((folder / "verdicts.json").read_text())
    return [Verdict(outcome, seconds, text) for (outcome, seconds), text in zip(found, texts, strict=True)]


def expressions(count: int, seed: int = 1) -> list[str]:
    """Always the same ones for a seed."""
    chance = random.Random(seed)  # noqa: S311  # repeatable on purpose
    return [chance.choice(_KINDS)(chance) for _ in range(count)]


def _soup(chance: random.Random) -> str:
    return " ".join(chance.choice(_WORDS) for _ in range(chance.choice([3, 20, 200, 1500])))


def _noise(chance: random.Random) -> str:
    return "".join(chr(chance.choice([chance.randrange(128), chance.randrange(0xD800)])) for _ in range(500))


def _deep(chance: random.Random) -> str:
    opens, closes = chance.choice(
        [("(", ")"), ("-", ""), ("abs(", ")"), ("sum(", ")"), ("a+", ""), ("max_over_time(", "[5m:1m])"), ("{", "}"),
         ("a or ", ""), ("2^", ""), ("sum by (a) (rate(", "[5m:1m]))"), ("label_join(", ', "a", "", "a", "a")')]
    )  # fmt: skip
    times = chance.choice([10, 45, 99, 200, 201, 1000, 4000])
    return opens * times + chance.choice(["x", "1", "", 'label_replace(x,"a","aaaa","","")']) + closes * times


def _plausible(chance: random.Random) -> str:
    """Well-formed, with absurd numbers."""
    return _vector(chance, chance.randint(1, 5))


def _vector(chance: random.Random, depth: int) -> str:
    if depth <= 0:
        return _selector(chance)
    return chance.choice((_over, _call, _operator, _group, _choice, _counted, _replaced))(
        chance, _vector(chance, depth - 1)
    )


def _over(chance: random.Random, below: str) -> str:
    shape = chance.choice(["{1}({0})", "predict_linear({0}, {2})", "quantile_over_time({2}, {0})"])
    return shape.format(_window(chance, below), chance.choice(_OVER), _number(chance))


def _call(chance: random.Random, below: str) -> str:
    return chance.choice([f"{chance.choice(_CALLS)}({below})", f"round({below}, {_number(chance)})"])


def _operator(chance: random.Random, below: str) -> str:
    operator = chance.choice(["+", "-", "*", "/", "%", "^", "== bool", ">", "and", "or", "unless", "atan2"])
    return f"({below} {operator} {chance.choice([_number(chance), _selector(chance)])})"


def _group(chance: random.Random, below: str) -> str:
    return f"{chance.choice(['sum', 'avg', 'group', 'stddev', 'count'])}{chance.choice(_GROUPS)} ({below})"


def _choice(chance: random.Random, below: str) -> str:
    kind = chance.choice(["topk", "bottomk", "quantile", "limitk"])
    return f"{kind}{chance.choice(_GROUPS)} ({_number(chance)}, {below})"


def _counted(chance: random.Random, below: str) -> str:
    return f'count_values("{chance.choice(["a", "", "x-y", "host"])}", {below})'


def _replaced(chance: random.Random, below: str) -> str:
    target, regex = chance.choice(["a", "__name__"]), chance.choice(_REGEXES)
    return f'label_replace({below}, "{target}", "{"$1" * 50}", "a", "{regex}")'


def _selector(chance: random.Random) -> str:
    regex = chance.choice(_REGEXES)
    matchers = chance.choice(["", "", '{a!=""}', f'{{a=~"{regex}"}}', f'{{a!~"{regex}"}}', '{__name__=~".+"}'])
    name = "" if "__name__" in matchers else "x"
    return name + matchers + chance.choice(_TIMES)


def _window(chance: random.Random, below: str) -> str:
    if chance.random() < 0.3:
        return f"x[{chance.choice(_RANGES)}]{chance.choice(_TIMES)}"
    return f"({below})[{chance.choice(_RANGES)}:{chance.choice(_RANGES)}]{chance.choice(_TIMES)}"


def _number(chance: random.Random) -> str:
    return chance.choice(_NUMBERS)


def _mangled(chance: random.Random) -> str:
    text = list(_plausible(chance))
    for _ in range(chance.randint(1, 5)):
        place = chance.randrange(len(text))
        text[place] = chance.choice(["", text[place] * 2, chance.choice(_WORDS), chr(chance.randrange(256))])
    return "".join(text)


_KINDS = (_soup, _noise, _deep, _deep, _plausible, _plausible, _plausible, _mangled, _mangled)


def _told(found: list[Verdict]) -> list[str]:
    slowest = max(found, key=lambda one: one.seconds)
    counts = {name: sum(one.outcome == name for one in found) for name in sorted({one.outcome for one in found})}
    late = sum(one.seconds > LIMIT for one in found)
    return [
        f"{len(found)} hostile expressions in one process, which lives: {counts}",
        f"over {LIMIT:g} s: {late}; slowest {slowest.seconds * 1000:.0f} ms: {slowest.expression[:80]!r}",
    ]


def _previews(count: int) -> list[str]:
    preview, head, died = Preview(), filled(), 0
    took, held = list[float](), list[float]()

    def owner(work: Callable[[Head], T]) -> T:
        began = time.thread_time()
        try:
            return work(head)
        finally:
            held.append(time.thread_time() - began)

    try:
        preview.preview("1", owner)
        for text in expressions(count, seed=2):
            began = time.perf_counter()
            try:
                preview.preview(text, owner, start=BASE, end=BASE + 15.0 * STEPS, step=15.0)
            except PromqlError:
                pass
            except PreviewError:
                died += 1
            took.append(time.perf_counter() - began)
    finally:
        preview.close()
    return [
        f"{count} through the preview: helper ended or stopped {died} times; slowest {max(took) * 1000:.0f} ms",
        f"the engine was held {len(held)} times for them, {max(held, default=0.0) * 1000:.1f} ms CPU at most",
    ]


def filled() -> Head:
    """A hundred series of a quarter of an hour."""
    head = Head()
    for number in range(100):
        labels = Labels.of(__name__="x", host=f"h{number}", a="aab" * (number % 7))
        for step in range(STEPS):
            head.set([labels], [float(number * step % 17)], BASE + 15.0 * step)
    return head


def _judged(head: Head, text: str) -> str:
    at = BASE + 15.0 * STEPS
    try:
        made = plan(text)
    except PromqlError:
        return "refused"
    try:
        evaluate(made, head.select, at, budget=BUDGET)
        evaluate_range(made, head.select, at - 600.0, at, 60.0, budget=BUDGET)
    except PromqlError:
        return "without an answer"
    return "answered"


def _child(folder: Path) -> None:
    head, verdicts = filled(), list[tuple[str, float]]()
    for text in json.loads((folder / "hostile.json").read_text()):
        began = time.process_time()
        outcome = _judged(head, text)
        verdicts.append((outcome, time.process_time() - began))
    (folder / "verdicts.json").write_text(json.dumps(verdicts))


if __name__ == "__main__":
    _child(Path(sys.argv[1]))
