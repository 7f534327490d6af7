"""The part of Go's text/template that rule files use, expanded by a small reader of our own. Pure.

Data never becomes template: an expansion is one pass. What is outside the subset gives the text
`<error expanding template: ...>` and the alert goes on.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from collector.labels import Labels
from collector.rules.errors import TemplateError
from collector.rules.figures import (
    go_format,
    go_number,
    humanize,
    humanize1024,
    humanize_duration,
    humanize_percentage,
    humanize_timestamp,
)

LONGEST = 4096  # bytes of an expanded text

_ACTION = re.compile(r'\{\{(-\s)?((?:\s*/\*.*?\*/\s*)|(?:"(?:[^"\\\n]|\\.)*"|`[^`]*`|[^"`}]|\}(?!\}))*)\}\}', re.DOTALL)
_WORD = re.compile(
    r'\s*(?:(?P<string>"(?:[^"\\\n]|\\.)*"|`[^`]*`)|(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))'
    r"|(?P<data>\$\w+|\.\w+)(?P<field>\.\w+)?|(?P<function>[A-Za-z_]\w*)|(?P<mark>[|()]))"
)
_VERB = re.compile(r"%([-+ 0]*)(\d{0,3})(\.\d{0,2})?(.)", re.DOTALL)
_ESCAPE = re.compile(r'\\([nrt"\\])')
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
_DEEPEST = 16

Value = str | float | int | bool | Labels


@dataclass(frozen=True, slots=True)
class _Word:
    kind: str
    text: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class _Pipeline:
    commands: tuple[tuple["_Word | _Pipeline", ...], ...]


@dataclass(frozen=True, slots=True)
class Template:
    """A read template; make one with `compile_template`."""

    parts: tuple[str | _Pipeline, ...]

    def expand(self, labels: Labels, value: float) -> str:
        """The text for one result. Raises TemplateError."""
        out = "".join(part if isinstance(part, str) else _show(_run(part, labels, value)) for part in self.parts)
        return _cut(out)


def expand(text: str, labels: Labels, value: float) -> str:
    """The text with its actions filled in, at most 4 KiB; an error becomes the text Prometheus would show."""
    if "{{" not in text:
        return _cut(text)
    try:
        return compile_template(text).expand(labels, value)
    except TemplateError as error:
        return _cut(f"<error expanding template: {error}>")


def compile_template(text: str) -> Template:
    """Reads a template. Raises TemplateError for what the subset does not have."""
    parts: list[str | _Pipeline] = []
    position, trim = 0, False
    for match in _ACTION.finditer(text):
        literal = _literal(text[position : match.start()], trim, bool(match[1]))
        body, trim = _body(match[2])
        parts += [literal, *([_parse(body)] if body else [])]
        position = match.end()
    parts.append(_literal(text[position:], trim, trim_right=False))
    return Template(tuple(part for part in parts if part))


def _literal(text: str, trim_left: bool, trim_right: bool) -> str:
    if "{{" in text:
        raise TemplateError("unclosed action")
    text = text.lstrip() if trim_left else text
    return text.rstrip() if trim_right else text


def _body(text: str) -> tuple[str, bool]:
    trim = re.search(r"\s-$", text) is not None
    text = (text[:-1] if trim else text).strip()
    if text.startswith("/*"):
        return "", trim
    if not text:
        raise TemplateError("missing value for command")
    return text, trim


def _parse(body: str) -> _Pipeline:
    words = _words(body)
    pipeline, end = _pipeline(words, 0, 0)
    if end != len(words):
        raise TemplateError("unexpected right parenthesis")
    return pipeline


def _words(body: str) -> list[_Word]:
    words, position = [], 0
    while position < len(body.rstrip()):
        match = _WORD.match(body, position)
        if match is None:
            raise TemplateError(f"unexpected {body[position:].strip()[:20]!r}")
        kind = match.lastgroup if match.lastgroup != "field" else "data"
        words.append(_Word(kind or "", match[kind or 0], match["field"] or ""))
        position = match.end()
    return words


def _pipeline(words: list[_Word], position: int, depth: int) -> tuple[_Pipeline, int]:
    if depth > _DEEPEST:
        raise TemplateError("too many parentheses")
    commands: list[tuple[_Word | _Pipeline, ...]] = []
    command: list[_Word | _Pipeline] = []
    while position < len(words) and words[position].text != ")":
        word = words[position]
        position += 1
        if word.kind != "mark":
            command.append(word)
        elif word.text == "(":
            inner, position = _pipeline(words, position, depth + 1)
            if position >= len(words):
                raise TemplateError("unclosed left parenthesis")
            command.append(inner)
            position += 1
        else:
            commands.append(_command(command))
            command = []
    return _Pipeline((*commands, _command(command))), position


def _command(words: list[_Word | _Pipeline]) -> tuple[_Word | _Pipeline, ...]:
    if not words:
        raise TemplateError("missing value for command")
    first = words[0]
    if isinstance(first, _Word) and first.kind == "function":
        if first.text not in _FUNCTIONS and first.text not in ("true", "false"):
            raise TemplateError(f'function "{first.text}" not defined')
    elif len(words) > 1:
        raise TemplateError("can't give argument to non-function")
    for word in words:
        if isinstance(word, _Word) and word.kind == "data":
            _check_data(word)
    return tuple(words)


def _check_data(word: _Word) -> None:
    if word.text not in ("$labels", ".Labels", "$value", ".Value"):
        raise TemplateError(f'undefined variable "{word.text}"')
    if word.field and word.text in ("$value", ".Value"):
        raise TemplateError(f"can't evaluate field {word.field[1:]} in type float64")


def _run(pipeline: _Pipeline, labels: Labels, value: float) -> Value:
    passed: tuple[Value, ...] = ()
    for command in pipeline.commands:
        first = command[0]
        if isinstance(first, _Word) and first.kind == "function" and first.text in _FUNCTIONS:
            arguments = [_operand(word, labels, value) for word in command[1:]]
            passed = (_call(first.text, [*arguments, *passed]),)
        elif passed:
            raise TemplateError("can't give argument to non-function")
        else:
            passed = (_operand(first, labels, value),)
    return passed[0]


def _operand(word: _Word | _Pipeline, labels: Labels, value: float) -> Value:
    if isinstance(word, _Pipeline):
        return _run(word, labels, value)
    if word.kind == "string":
        return _unquote(word.text)
    if word.kind == "number":
        return int(word.text) if word.text.lstrip("+-").isdigit() else float(word.text)
    if word.kind == "data":
        return _data(word, labels, value)
    if word.text in ("true", "false"):
        return word.text == "true"
    return _call(word.text, [])


def _data(word: _Word, labels: Labels, value: float) -> Value:
    if word.text in ("$value", ".Value"):
        return value
    return labels.get(word.field[1:]) if word.field else labels


def _unquote(text: str) -> str:
    if text.startswith("`"):
        return text[1:-1]
    return _ESCAPE.sub(lambda match: _ESCAPES[match[1]], text[1:-1])


def _call(name: str, arguments: list[Value]) -> Value:
    if name == "printf":
        if not arguments or not isinstance(arguments[0], str):
            raise TemplateError("wrong number or type of arguments for printf")
        return _printf(arguments[0], arguments[1:])
    if len(arguments) != 1:
        raise TemplateError(f"wrong number of args for {name}: want 1 got {len(arguments)}")
    try:
        return _FUNCTIONS[name](arguments[0])
    except OverflowError:
        raise TemplateError(f"{name}: {_show(arguments[0])} is out of range") from None


def _printf(layout: str, arguments: list[Value]) -> str:
    rest = iter(arguments)
    missing = object()

    def one(match: re.Match[str]) -> str:
        flags, width, precision, verb = match[1], match[2], match[3] or "", match[4]
        if verb == "%":
            return "%"
        argument = next(rest, missing)
        if argument is missing:
            return f"%!{verb}(MISSING)"
        return _formatted(verb, argument, flags, width, precision)  # type: ignore[arg-type]  # missing is handled

    return _VERB.sub(one, layout)


def _formatted(verb: str, argument: Value, flags: str, width: str, precision: str) -> str:
    if isinstance(argument, float) and verb in "efgv":
        return go_format(argument, verb, flags, width, precision)
    if isinstance(argument, int) and not isinstance(argument, bool) and verb in "dv":
        return f"%{flags}{width}d" % argument
    if verb in "sv" and not isinstance(argument, float | int):
        text = _show(argument)[: int(precision[1:] or 0) if precision else None]
        return text.ljust(int(width or 0)) if "-" in flags else text.rjust(int(width or 0))
    if verb == "q" and isinstance(argument, str):
        return '"' + argument.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    if verb == "v":
        return _show(argument)
    return f"%!{verb}({_type(argument)}={_show(argument)})"


def _show(value: Value) -> str:
    if isinstance(value, Labels):
        return f"map[{' '.join(f'{n}:{v}' for n, v in value)}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return go_number(value) if isinstance(value, float) else str(value)


def _type(value: Value) -> str:
    names = {bool: "bool", int: "int", float: "float64", str: "string", Labels: "map[string]string"}
    return names[type(value)]


def _number(function: Callable[[float], str]) -> Callable[[Value], Value]:
    def call(value: Value) -> Value:
        try:
            return function(float(value))  # type: ignore[arg-type]  # Labels end in TypeError
        except (TypeError, ValueError):
            raise TemplateError(f"can't convert {_show(value)[:40]!r} to float") from None

    return call


def _text(function: Callable[[str], str]) -> Callable[[Value], Value]:
    def call(value: Value) -> Value:
        if not isinstance(value, str):
            raise TemplateError(f"expected string; got {_type(value)}")
        return function(value)

    return call


def _title(text: str) -> str:
    return re.sub(r"(?<!\w)\w", lambda match: match[0].upper(), text)


def _cut(text: str) -> str:
    data = text.encode(errors="replace")
    return text if len(data) <= LONGEST else data[: LONGEST - 3].decode(errors="ignore") + "…"


_FUNCTIONS: Mapping[str, Callable[[Value], Value]] = {
    "humanize": _number(humanize),
    "humanize1024": _number(humanize1024),
    "humanizeDuration": _number(humanize_duration),
    "humanizePercentage": _number(humanize_percentage),
    "humanizeTimestamp": _number(humanize_timestamp),
    "title": _text(_title),
    "toUpper": _text(str.upper),
    "toLower": _text(str.lower),
    "printf": lambda value: value,  # several arguments: see _call
}
