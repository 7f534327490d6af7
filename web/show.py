"""How times, durations, numbers and names look in a page: in the reader's locale and zone."""

import math
from collections.abc import Iterable
from datetime import UTC, datetime

from babel import Locale
from babel.dates import format_skeleton, format_time
from babel.numbers import format_decimal
from babel.units import format_unit
from flask import Flask
from markupsafe import Markup

from web import translate
from web.language import language
from web.settings import parts
from web.translate import gettext as _

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_BYTES = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


def install(app: Flask) -> None:
    """Makes the filters known to the templates."""
    app.add_template_filter(stamp)
    app.add_template_filter(clock)
    app.add_template_filter(day)
    app.add_template_filter(ago)
    app.add_template_filter(span)
    app.add_template_filter(rough)
    app.add_template_filter(number)
    app.add_template_filter(initials)
    app.add_template_filter(short)


def locale() -> Locale:
    """The reader's locale; English dates and 24-hour times as in Europe."""
    return Locale.parse("pl_PL" if language() == "pl" else "en_GB")


def local(at: float) -> datetime:
    """Unix seconds as a moment in the installation's zone."""
    return datetime.fromtimestamp(at, tz=UTC).astimezone(translate.timezone())


def day(at: float) -> str:
    """`today`, `21 lis`, `30 gru 2025`: the year only where it is not this one."""
    moment = local(at)
    if moment.date() == local(parts().now()).date():
        return _("today")
    this_year = local(parts().now()).year == moment.year
    return format_skeleton("MMMd" if this_year else "yMMMd", moment, locale=locale())


def hour(at: float) -> str:
    """`09:05`."""
    return format_time(local(at), "HH:mm", locale=locale())


def when(at: float) -> str:
    """`09:05` today, else with its day."""
    if local(at).date() == local(parts().now()).date():
        return hour(at)
    return f"{day(at)}, {hour(at)}"


def stamp(at: float | None) -> Markup:
    """A `<time>` with day and hour; nothing for None."""
    return _time(at, when(at)) if at is not None else Markup()


def clock(at: float | None) -> Markup:
    """A `<time>` with the hour only."""
    return _time(at, hour(at)) if at is not None else Markup()


def ago(at: float | None) -> Markup:
    """A `<time>` whose text is the rough age: `6 min`, `2 h`, `4 dni`."""
    return _time(at, rough(parts().now() - at)) if at is not None else Markup()


def rough(seconds: float) -> str:
    """A duration in its largest unit, rounded down: `40 s`, `6 min`, `2 h`, `4 days`."""
    whole = max(0, int(seconds))
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min"
    if whole < _DAY:
        return f"{whole // _HOUR} h"
    return _days(whole // _DAY)


def span(seconds: float) -> str:
    """A duration in its two largest units: `1 h 12 min`, `2 dni 3 h`."""
    whole = max(0, int(seconds))
    if whole < _HOUR:
        return rough(whole)
    if whole < _DAY:
        rest = whole % _HOUR // _MINUTE
        return f"{whole // _HOUR} h" + (f" {rest} min" if rest else "")
    rest = whole % _DAY // _HOUR
    return _days(whole // _DAY) + (f" {rest} h" if rest else "")


def number(value: float | None, unit: str = "") -> str:
    """A measured value: unit is `bytes`, `bytes/s`, `ratio`, `seconds` or nothing. Never more than four digits."""
    if value is None or not math.isfinite(value):
        return "–"  # noqa: RUF001 - typography
    if unit in {"bytes", "bytes/s"}:
        return _bytes(value) + ("/s" if unit == "bytes/s" else "")
    if unit == "ratio":
        return f"{_decimal(value * 100, 1)} %"
    if unit == "seconds" and abs(value) >= 1:
        return ("−" if value < 0 else "") + span(abs(value))  # noqa: RUF001 - typography
    return _decimal(value, 0 if abs(value) >= 1000 else 1 if abs(value) >= 100 else 3)


def initials(name: str | None) -> str:
    """One or two capital letters of a person's name."""
    words = [w for w in (name or "").split() if w[0].isalnum()]
    picked: Iterable[str] = (words[0], words[-1]) if len(words) > 1 else words[:1]
    return "".join(w[0] for w in picked).upper() or "?"


def short(ticket_number: str) -> str:
    """The number spoken on the phone: `000412` of `CZ-2026-000412`."""
    return ticket_number.rsplit("-", 1)[-1]


def _time(at: float, text: str) -> Markup:
    moment = local(at)
    full = f"{format_skeleton('yMMMd', moment, locale=locale())}, {format_time(moment, 'HH:mm:ss', locale=locale())}"
    attribute = moment.isoformat(timespec="seconds")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(attribute, full, text)


def _days(count: int) -> str:
    return format_unit(count, "duration-day", length="short", locale=locale())


def _decimal(value: float, digits: int) -> str:
    rounded = round(value, digits) + 0.0  # no minus zero
    return format_decimal(rounded, "#,##0." + "#" * digits if digits else "#,##0", locale=locale())


def _bytes(value: float) -> str:
    step = 0
    while abs(value) >= 999.5 and step < len(_BYTES) - 1:
        value, step = value / 1000, step + 1
    return f"{_decimal(value, 1 if step and abs(value) < 100 else 0)} {_BYTES[step]}"
