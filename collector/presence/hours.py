"""Hours in which a kiosk must be there, and working days a computer was not seen; pure, by the calendar of one zone."""

import re
from calendar import isleap
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SPAN = re.compile(r"([A-Za-z]{3})(?:-([A-Za-z]{3}))? (\d{2}):(\d{2})-(\d{2}):(\d{2})")
_DAY_OFF = re.compile(r"([0-9]{4}-)?([0-9]{2}-[0-9]{2})")
_WEEKEND = 5


@dataclass(frozen=True, slots=True)
class Span:
    """One stretch of a day, minutes from its midnight, on some days of the week (Monday is 0)."""

    days: frozenset[int]
    opens: int
    closes: int


@dataclass(frozen=True, slots=True)
class Hours:
    """A weekly schedule; without spans it is always open."""

    spans: tuple[Span, ...] = ()
    zone: str = "UTC"

    def inside(self, at: float) -> bool:
        """Whether it is open at this time."""
        return self.opening(at) == at

    def opening(self, at: float) -> float:
        """The first moment from `at` on that is inside."""
        if not self.spans:
            return at
        zone = ZoneInfo(self.zone)
        day = datetime.fromtimestamp(at, zone).replace(hour=0, minute=0, second=0, microsecond=0)
        found = [
            max(at, opens)
            for ahead in range(8)
            for opens, closes in self._of(day + timedelta(days=ahead))
            if at < closes
        ]
        return min(found)

    def deadline(self, at: float, silence: float) -> float:
        """When silence that begins at `at` counts: after `silence`, or as long after the next opening."""
        due = at + silence
        return due if self.inside(due) else self.opening(due) + silence

    def _of(self, day: datetime) -> list[tuple[float, float]]:
        weekday = day.weekday()
        return [(_moment(day, s.opens), _moment(day, s.closes)) for s in self.spans if weekday in s.days]


def parse(text: str, zone: str = "UTC") -> Hours:
    """`Mon-Fri 08:00-18:00, Sat 09:00-13:00`; empty text is always. Raises ValueError."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    return Hours(tuple(_span(part) for part in parts), zone)


@dataclass(frozen=True, slots=True)
class DaysOff:
    """Days on which nobody works, besides Saturday and Sunday: of each year (month, day), or of one."""

    yearly: frozenset[tuple[int, int]] = frozenset()
    once: frozenset[date] = frozenset()

    def between(self, first: date, last: date) -> int:
        """How many of them, from Monday to Friday, lie between two days."""
        years = range(first.year, last.year + 1)
        # The 29th of February is one in a leap year alone.
        each = {date(y, m, d) for y in years for m, d in self.yearly if (m, d) != (2, 29) or isleap(y)}
        return sum(first < day < last and day.weekday() < _WEEKEND for day in each | self.once)


NONE_OFF = DaysOff()


def days_off(text: str) -> DaysOff:
    """`12-25, 2027-03-29`: a day of each year, or of one. Raises ValueError."""
    yearly, once = set(), set()
    for part in (part.strip() for part in text.split(",") if part.strip()):
        match = _DAY_OFF.fullmatch(part)
        try:
            day = date.fromisoformat(f"{match[1] or '2000-'}{match[2]}" if match else "")
        except ValueError:
            raise ValueError(f'{part!r} is not a day; write for example "12-25" or "2027-03-29"') from None
        if match and match[1]:
            once.add(day)
        else:
            yearly.add((day.month, day.day))
    return DaysOff(frozenset(yearly), frozenset(once))


def working_days(since: float, at: float, zone: str, off: DaysOff = NONE_OFF) -> int:
    """Whole days from Monday to Friday, but for days off, that lie between the day of `since` and the day of `at`."""
    if at <= since:
        return 0
    place = ZoneInfo(zone)
    first, last = (datetime.fromtimestamp(t, place).date() for t in (since, at))
    between = max(0, (last - first).days - 1)
    weeks, rest = divmod(between, 7)
    extra = sum((first.weekday() + 1 + n) % 7 < _WEEKEND for n in range(rest))
    return weeks * 5 + extra - off.between(first, last)


def _span(text: str) -> Span:
    match = _SPAN.fullmatch(text)
    wrong = ValueError(f'{text!r} is not a span of hours; write for example "Mon-Fri 08:00-18:00"')
    if match is None:
        raise wrong
    first, last = match[1].lower(), (match[2] or match[1]).lower()
    opens, closes = int(match[3]) * 60 + int(match[4]), int(match[5]) * 60 + int(match[6])
    minutes = max(int(match[4]), int(match[6]))
    if first not in _DAYS or last not in _DAYS or minutes > 59 or not opens < closes <= 24 * 60:
        raise wrong
    start, length = _DAYS.index(first), (_DAYS.index(last) - _DAYS.index(first)) % 7
    return Span(frozenset((start + n) % 7 for n in range(length + 1)), opens, closes)


def _moment(day: datetime, minutes: int) -> float:
    ahead, rest = divmod(minutes, 24 * 60)
    date = day + timedelta(days=ahead)
    return date.replace(hour=rest // 60, minute=rest % 60, fold=0).timestamp()
