"""Numbers as Go and Prometheus' template functions print them. Pure."""

import math
from datetime import UTC, datetime, timedelta

_LARGE = ("", "k", "M", "G", "T", "P", "E", "Z", "Y")
_SMALL = ("", "m", "u", "n", "p", "f", "a", "z", "y")
_BINARY = ("", "ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi")
_EXPONENT_FROM = 6  # Go writes 1e+06 for a million
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def go_number(value: float) -> str:
    """A float64 as Go's %v prints it: shortest digits that read back, with an exponent from 1e+06 and below 1e-04."""
    if not math.isfinite(value):
        return _special(value)
    sign, digits, power = _shortest(value)
    if -4 <= power < _EXPONENT_FROM:
        return sign + _positional(digits, power)
    mantissa = digits[0] + (f".{digits[1:]}" if len(digits) > 1 else "")
    return f"{sign}{mantissa}e{'-' if power < 0 else '+'}{abs(power):02d}"


def go_format(value: float, verb: str, flags: str = "", width: str = "", precision: str = "") -> str:
    """A float64 by one of Go's verbs e, f, g, v; `flags` of "+-0 ", `precision` with its dot."""
    flags = flags.replace("+", "") if verb == "v" else flags  # Go gives %+v another meaning
    if math.isfinite(value) and (precision or verb in "ef"):
        return f"%{flags}{width}{precision}{'g' if verb == 'v' else verb}" % value
    text = go_number(value)
    text = f"+{text}" if "+" in flags and text[0] not in "+-N" else text
    return text.ljust(int(width or 0)) if "-" in flags else text.rjust(int(width or 0))


def humanize(value: float) -> str:
    """Four digits with a decimal prefix: 1.234M, 12.5m."""
    if value == 0 or not math.isfinite(value):
        return _four(value)
    if abs(value) >= 1:
        return _scaled(value, 1000.0, _LARGE)
    return _shrunk(value)


def humanize1024(value: float) -> str:
    """Four digits with a binary prefix: 1.5Gi."""
    if abs(value) <= 1 or not math.isfinite(value):
        return _four(value)
    return _scaled(value, 1024.0, _BINARY)


def humanize_percentage(value: float) -> str:
    """A ratio as percent: 0.9312 is 93.12%."""
    return f"{_four(value * 100)}%"


def humanize_duration(value: float) -> str:
    """Seconds as 1d 2h 3m 4s; below one minute with four digits, below one second with a prefix."""
    if value == 0:
        return f"{_four(value)}s"
    if not math.isfinite(value):
        return _four(value)
    if abs(value) < 1:
        return f"{_shrunk(value)}s"
    return _long_duration(value)


def humanize_timestamp(value: float) -> str:
    """Unix seconds as Go prints a UTC time, to the millisecond. Raises OverflowError outside the years 1-9999."""
    if not math.isfinite(value):
        return _four(value)
    when = _EPOCH + timedelta(milliseconds=_milliseconds(value))
    fraction = f".{when.microsecond // 1000:03d}".rstrip("0") if when.microsecond else ""
    return f"{when:%Y-%m-%d %H:%M:%S}{fraction} +0000 UTC"


def _milliseconds(value: float) -> int:
    nanoseconds = int(value * 1e9)  # the loss in this product is Prometheus' own
    return nanoseconds // 10**6 if nanoseconds >= 0 else -(-nanoseconds // 10**6)


def _long_duration(value: float) -> str:
    sign, whole = ("-" if value < 0 else ""), int(abs(value))
    minutes, seconds = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{sign}{days}d {hours}h {minutes}m {seconds}s"
    if hours:
        return f"{sign}{hours}h {minutes}m {seconds}s"
    if minutes:
        return f"{sign}{minutes}m {seconds}s"
    return f"{_four(value)}s"


def _scaled(value: float, base: float, prefixes: tuple[str, ...]) -> str:
    step = 0
    while abs(value) >= base and step < len(prefixes) - 1:
        value, step = value / base, step + 1
    return f"{_four(value)}{prefixes[step]}"


def _shrunk(value: float) -> str:
    step = 0
    while abs(value) < 1 and step < len(_SMALL) - 1:
        value, step = value * 1000, step + 1
    return f"{_four(value)}{_SMALL[step]}"


def _four(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else _special(value)


def _special(value: float) -> str:
    return "NaN" if math.isnan(value) else ("+Inf" if value > 0 else "-Inf")


def _shortest(value: float) -> tuple[str, str, int]:
    """Sign, significant digits without trailing zeros, and the power of ten of the first one."""
    text = f"{value!r}"
    sign, text = ("-", text[1:]) if text.startswith("-") else ("", text)
    number, _, exponent = text.partition("e")
    whole, _, fraction = number.partition(".")
    figures = (whole + fraction).lstrip("0")
    if not figures:
        return sign, "0", 0
    power = int(exponent or 0) + len(whole) - 1 - (len(whole + fraction) - len(figures))
    return sign, figures.rstrip("0"), power


def _positional(digits: str, power: int) -> str:
    if power < 0:
        return f"0.{'0' * (-power - 1)}{digits}"
    whole, fraction = digits[: power + 1].ljust(power + 1, "0"), digits[power + 1 :]
    return f"{whole}.{fraction}" if fraction else whole
