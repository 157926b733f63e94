"""Cron expressions of Kubeflow Pipelines: six fields, seconds first; checked, in words, and the times they come to.

After robfig/cron 1.2.0 (parser.go, spec.go, constantdelay.go), by which the API server checks a schedule, and the
controller of scheduled workflows counts its times (kubeflow/pipelines, backend/src: apiserver/server/api_converter.go,
crd/controller/scheduledworkflow/util/cron_schedule.go). What it takes and what never comes to a time (day 30 of
February, an empty field) is refused here.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import NamedTuple
from zoneinfo import ZoneInfo

from traffic_yolo.errors import OptionsError
from traffic_yolo.messages import shown

MOST_CHARACTERS = 200
YEARS_AHEAD = 5  # that the server looks for a next time
SHOWN_TIMES = 6  # of a day that are said one by one
MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
FIELDS_EXPECTED = "six fields: second minute hour day-of-month month day-of-week"
EVERY = "@every "
DESCRIPTORS = {
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
    "@monthly": "0 0 0 1 * *",
    "@weekly": "0 0 0 * * 0",
    "@daily": "0 0 0 * * *",
    "@midnight": "0 0 0 * * *",
    "@hourly": "0 0 * * * *",
}
_SECONDS_OF_UNIT = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION = re.compile(r"(?:(?:\d+\.?\d*|\.\d+)(?:h|ms|us|µs|ns|m|s))+")
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(h|ms|us|µs|ns|m|s)")


class _Kind(NamedTuple):
    """One of the fields: its name in messages, its range, and the words that stand for numbers."""

    name: str
    least: int
    most: int
    names: Mapping[str, int] = MappingProxyType({})


_KINDS = (
    _Kind("second", 0, 59),
    _Kind("minute", 0, 59),
    _Kind("hour", 0, 23),
    _Kind("day of the month", 1, 31),
    _Kind("month", 1, 12, {name[:3].lower(): number for number, name in enumerate(MONTHS, start=1)}),
    _Kind("day of the week", 0, 6, {name[:3].lower(): number for number, name in enumerate(DAYS)}),
)


class CronField(NamedTuple):
    """The values that a field matches. `star`: it has a `*` or `?`, which joins the two fields of days (see `Cron`).

    `stepped`: the star has a step above 1, such as `*/2`.
    """

    values: frozenset[int]
    star: bool
    stepped: bool


@dataclass(frozen=True)
class Cron:
    """A schedule. `fields`: second, minute, hour, day of month, month, day of week; empty for `@every`.

    A day has to match both fields of days where one of them has a star, and either of them where none has. `every`:
    the time between two runs of `@every`, counted from the making of the schedule, then from run to run.
    """

    expression: str
    fields: tuple[CronField, ...] = ()
    every: timedelta | None = None

    @classmethod
    def parse(cls, expression: str) -> "Cron":
        """Reads an expression; `OptionsError` for what the server refuses, five fields, and what never comes."""
        text = " ".join(expression.split())
        if not text or len(text) > MOST_CHARACTERS:
            raise OptionsError(f"cron: expected {FIELDS_EXPECTED}; found {shown(expression)}")
        if text.startswith(EVERY):
            return cls(text, every=_duration(text))
        if text.startswith("@") and text not in DESCRIPTORS:
            known = ", ".join([*DESCRIPTORS, f"{EVERY}<duration>"])
            raise OptionsError(f"cron: expected one of {known}, or {FIELDS_EXPECTED}; found {shown(text)}")
        parts = DESCRIPTORS.get(text, text).split()
        if len(parts) == 5:
            raise OptionsError(_five_fields(parts))
        if len(parts) != len(_KINDS):
            raise OptionsError(f"cron: expected {FIELDS_EXPECTED}; found {len(parts)} in {shown(text)}")
        cron = cls(text, tuple(_field(part, kind) for part, kind in zip(parts, _KINDS, strict=True)))
        if cron.next_after(datetime(2001, 1, 1, tzinfo=UTC)) is None:  # leap years included
            raise OptionsError(f"cron: {shown(text)} never comes: no {_months(cron.fields[4])} has such a day")
        return cron

    def next_after(self, time: datetime, zone: ZoneInfo | None = None) -> datetime | None:
        """The first time (UTC) after `time` (with a zone); None where the next five years have none.

        `zone`: the server's time zone, by default UTC. An hour that a change of the clocks leaves out is left out here
        too, and one that comes twice comes twice, as on the server.
        """
        if self.every is not None:
            return time.astimezone(UTC).replace(microsecond=0) + self.every
        local = zone or UTC
        now = (time.astimezone(UTC) + timedelta(seconds=1)).replace(microsecond=0)
        last_year = now.astimezone(local).year + YEARS_AHEAD
        seconds, minutes, hours, _, months, _ = (field.values for field in self.fields)
        while (here := now.astimezone(local)).year <= last_year:
            if here.month not in months:
                year, month = (here.year + 1, 1) if here.month == 12 else (here.year, here.month + 1)
                now = datetime(year, month, 1, tzinfo=local).astimezone(UTC)
            elif not self._has_day(here):
                tomorrow = here.date() + timedelta(days=1)
                now = datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=local).astimezone(UTC)
            elif here.hour not in hours:
                now += timedelta(hours=1) - timedelta(minutes=here.minute, seconds=here.second)
            elif here.minute not in minutes:
                now += timedelta(minutes=1) - timedelta(seconds=here.second)
            elif here.second not in seconds:
                now += timedelta(seconds=1)
            else:
                return now
        return None

    def times(self, after: datetime, zone: ZoneInfo | None = None) -> Iterator[datetime]:
        """The times (UTC) after `after`, in order."""
        found = self.next_after(after, zone)
        while found is not None:
            yield found
            found = self.next_after(found, zone)

    @property
    def words(self) -> str:
        """The schedule as a phrase: "at 03:00 on Mondays"."""
        if self.every is not None:
            return f"every {_spoken(self.every)}, counted from the last run"
        return " ".join(filter(None, (self._time_words(), self._day_words(), self._month_words())))

    def for_cron_job(self) -> str:
        """The five fields of a CronJob in Kubernetes that come to the same times.

        Raises `OptionsError` for what has no such fields: other seconds than 0, `@every`, and a step on a star beside
        another field of days, which the newer library of Kubernetes (robfig/cron 3) joins by "or".
        """
        if self.every is not None or self.fields[0].values != frozenset({0}):
            raise OptionsError(
                f"cron: a CronJob starts at whole minutes, by five fields: {shown(self.expression)} has none; begin it "
                f"with second 0"
            )
        days, weekdays = self.fields[3], self.fields[5]
        if self._is_limited(3) and self._is_limited(5) and (days.stepped or weekdays.stepped):
            raise OptionsError(
                f"cron: a step on * beside another field of days means both days to Kubeflow Pipelines and either to a "
                f"CronJob: {shown(self.expression)}; write the days out"
            )
        return DESCRIPTORS.get(self.expression, self.expression).split(" ", 1)[1]

    def _has_day(self, here: datetime) -> bool:
        days, weekdays = self.fields[3], self.fields[5]
        found = (here.day in days.values, here.isoweekday() % 7 in weekdays.values)
        return all(found) if days.star or weekdays.star else any(found)

    def _is_limited(self, index: int) -> bool:
        """Whether a field leaves anything out."""
        kind = _KINDS[index]
        return len(self.fields[index].values) <= kind.most - kind.least

    def _time_words(self) -> str:
        seconds, minutes, hours = (sorted(field.values) for field in self.fields[:3])
        if len(seconds) == 1 and len(hours) * len(minutes) <= SHOWN_TIMES:
            end = f":{seconds[0]:02d}" if seconds[0] else ""
            return f"at {_joined([f'{hour:02d}:{minute:02d}{end}' for hour in hours for minute in minutes])}"
        parts = [*([] if seconds == [0] else [self._numbers(0)]), self._numbers(1), self._numbers(2)]
        return f"at {' of '.join(parts)}"

    def _numbers(self, index: int) -> str:
        name = _KINDS[index].name
        return f"{name} {_runs(self.fields[index].values)}" if self._is_limited(index) else f"every {name}"

    def _day_words(self) -> str:
        days, weekdays = self.fields[3], self.fields[5]
        in_month = f"on day {_runs(days.values)} of the month" if self._is_limited(3) else ""
        in_week = _weekdays(weekdays.values) if self._is_limited(5) else ""
        if in_month and in_week:
            both = days.star or weekdays.star
            return f"{in_month} where that is {in_week}" if both else f"{in_month} and also on {in_week}"
        return in_month or (f"on {in_week}" if in_week else "every day")

    def _month_words(self) -> str:
        return f"in {_months(self.fields[4])}" if self._is_limited(4) else ""


def _field(text: str, kind: _Kind) -> CronField:
    values: set[int] = set()
    star = stepped = False
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        first_text, dash, last_text = span.partition("-")
        if first_text in ("*", "?"):
            if dash:
                raise _wrong(kind, part, "no range begins with a star")
            star, first, last = True, kind.least, kind.most
        else:
            first = _number(first_text, kind, part)
            last = _number(last_text, kind, part) if dash else kind.most if slash else first
        step = _number(step_text, _Kind("step", 1, 10**6), part) if slash else 1
        if first > last:
            raise _wrong(kind, part, f"{first} comes after {last}")
        stepped |= first_text in ("*", "?") and step > 1
        values |= set(range(first, last + 1, step))
    return CronField(frozenset(values), star, stepped)


def _number(text: str, kind: _Kind, part: str) -> int:
    named = kind.names.get(text.lower())
    if named is not None:
        return named
    if not (text.isascii() and text.isdigit() and len(text) <= 7):
        words = f" or {', '.join(kind.names)}" if kind.names else ""
        raise _wrong(kind, part, f"expected a number from {kind.least} to {kind.most}{words}")
    if not kind.least <= int(text) <= kind.most:
        sunday = "; Sunday is 0" if kind.name == "day of the week" and text == "7" else ""
        raise _wrong(kind, part, f"expected {kind.least} to {kind.most}{sunday}")
    return int(text)


def _wrong(kind: _Kind, part: str, why: str) -> OptionsError:
    return OptionsError(f"cron: {kind.name}: {why}; found {shown(part)}")


def _five_fields(parts: list[str]) -> str:
    """The refusal of what is cron everywhere else, with the six fields that were most likely meant."""
    proposal = " ".join(["0", *parts])
    taken = f"second {parts[0]}, minute {parts[1]}, hour {parts[2]}"
    try:
        words = f"; for {Cron.parse(proposal).words} give {shown(proposal)}"
    except OptionsError:
        words = ""
    found = shown(" ".join(parts))
    return f"cron: expected {FIELDS_EXPECTED}; found five in {found}, which the server would take for {taken}{words}"


def _duration(text: str) -> timedelta:
    """Of `@every 1h30m`, in Go's notation, cut to whole seconds."""
    stated = text.removeprefix(EVERY).strip()
    seconds = sum(float(number) * _SECONDS_OF_UNIT[unit] for number, unit in _PART.findall(stated))
    if not _DURATION.fullmatch(stated) or not 1 <= seconds <= 366 * 86400:
        raise OptionsError(f"cron: expected {EVERY}<duration> of 1s to a year, such as @every 24h; found {shown(text)}")
    return timedelta(seconds=int(seconds))


def _spoken(every: timedelta) -> str:
    total = int(every.total_seconds())
    units = ((total // 3600, "h"), (total // 60 % 60, "min"), (total % 60, "s"))
    return " ".join(f"{count} {unit}" for count, unit in units if count)


def _runs(values: frozenset[int]) -> str:
    """`1, 3 to 5 and 9`."""
    return _joined(_run_words(values, [str(number) for number in range(max(values) + 1)]))


def _run_words(values: frozenset[int], names: Sequence[str]) -> list[str]:
    """Runs of three or more as "first to last"."""
    runs: list[list[int]] = []
    for value in sorted(values):
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    return [
        word
        for run in runs
        for word in ([f"{names[run[0]]} to {names[run[-1]]}"] if len(run) > 2 else [names[value] for value in run])
    ]


def _weekdays(values: frozenset[int]) -> str:
    return _joined([word if " to " in word else f"{word}s" for word in _run_words(values, DAYS)])


def _months(field: CronField) -> str:
    return _joined(_run_words(field.values, ["", *MONTHS]))


def _joined(words: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))
