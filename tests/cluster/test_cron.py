"""Cron with the seconds first: what the server's own library takes, refuses and counts."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traffic_yolo.cluster.cron import Cron
from traffic_yolo.errors import OptionsError

NEW_YORK = ZoneInfo("America/New_York")


def first(expression: str, after: str, zone: ZoneInfo | None = None) -> str:
    """The first time after an ISO time, in the zone of that time."""
    start = datetime.fromisoformat(after)
    found = Cron.parse(expression).next_after(start.replace(tzinfo=start.tzinfo or UTC), zone)
    assert found is not None
    return found.astimezone(zone or start.tzinfo or UTC).isoformat().removesuffix("+00:00")


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("0 0 3 * * *", "2026-11-29T03:00:00", "2026-11-30T03:00:00"),
        ("0 0 3 * * *", "2026-11-29T02:59:59", "2026-11-29T03:00:00"),
        ("0 0 3 * * mon", "2026-11-29T00:00:00", "2026-11-30T03:00:00"),  # a Sunday
        ("0 0 3 ? * 0", "2026-11-28T12:00:00", "2026-11-29T03:00:00"),
        ("0 0/15 * * * *", "2026-11-29T14:45:00", "2026-11-29T15:00:00"),
        ("0 5/20 * * * *", "2026-11-29T14:06:00", "2026-11-29T14:25:00"),  # N/step goes on to the end
        ("0 20-35/15 * * * *", "2026-11-29T15:45:00", "2026-11-29T16:20:00"),
        ("15/35 20-35/15 1/2 * * *", "2026-12-31T23:35:51", "2027-01-01T01:20:15"),
        ("0 0 0 29 FEB ?", "2026-11-29T00:00:00", "2028-02-29T00:00:00"),
        ("0 0 0 31 * *", "2026-11-29T00:00:00", "2026-12-31T00:00:00"),
        # Two fields of days: either, but both where one has a star, with a step or without
        ("0 0 0 1 * mon", "2026-11-28T00:00:00", "2026-11-30T00:00:00"),
        ("0 0 0 1 * mon", "2026-11-30T00:00:00", "2026-12-01T00:00:00"),
        ("0 0 0 */5 * mon", "2026-11-28T00:00:00", "2026-12-21T00:00:00"),
        ("0 0 0 1,* * mon", "2026-11-30T00:00:00", "2026-12-07T00:00:00"),
        ("@weekly", "2026-11-29T00:00:00", "2026-12-06T00:00:00"),
        ("@monthly", "2026-11-29T00:00:00", "2026-12-01T00:00:00"),
        ("@every 1h30m", "2026-11-29T00:10:00", "2026-11-29T01:40:00"),
    ],
)
def test_next_time_is_the_server_s(expression: str, after: str, expected: str) -> None:
    assert first(expression, after) == expected


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("0 0 2 * * ?", "2012-03-11T00:00:00-05:00", "2012-03-12T02:00:00-04:00"),  # an hour that there is not
        ("0 30 2 11 Mar ?", "2012-03-11T00:00:00-05:00", "2013-03-11T02:30:00-04:00"),
        ("0 0 * * * ?", "2012-03-11T01:00:00-05:00", "2012-03-11T03:00:00-04:00"),
        ("0 0 1 * * ?", "2012-11-04T00:00:00-04:00", "2012-11-04T01:00:00-04:00"),  # and one that comes twice
        ("0 0 1 * * ?", "2012-11-04T01:00:00-04:00", "2012-11-04T01:00:00-05:00"),
        ("0 0 1 * * ?", "2012-11-04T01:00:00-05:00", "2012-11-05T01:00:00-05:00"),
        ("0 30 1 04 Nov ?", "2012-11-04T01:45:00-04:00", "2012-11-04T01:30:00-05:00"),
        ("0 0 2 * * ?", "2012-11-04T00:00:00-04:00", "2012-11-04T02:00:00-05:00"),
    ],
)
def test_clocks_that_change_are_the_server_s(expression: str, after: str, expected: str) -> None:
    assert first(expression, after, NEW_YORK) == expected


FIELDS = st.tuples(
    st.sampled_from(["0", "*/20", "7"]),
    st.sampled_from(["0", "*", "5,50", "*/13", "58-59"]),
    st.sampled_from(["*", "3", "0-5/2", "22/1"]),
    st.sampled_from(["*", "1", "?", "*/9", "28-31", "5,6"]),
    st.sampled_from(["*", "feb", "2-4", "12"]),
    st.sampled_from(["*", "?", "1", "sat,sun", "*/3", "tue-thu"]),
)


@given(FIELDS, st.integers(0, 3 * 366 * 86400))
def test_next_time_is_the_first_of_all_that_fit(fields: tuple[str, ...], offset: int) -> None:
    """Day by day and time by time, with nothing skipped."""
    cron = Cron.parse(" ".join(fields))
    start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=offset)
    seconds, minutes, hours, days, months, weekdays = cron.fields
    joined = all if days.star or weekdays.star else any
    midnight = start.replace(hour=0, minute=0, second=0)
    fitting = (
        day + timedelta(hours=hour, minutes=minute, seconds=second)
        for day in (midnight + timedelta(days=number) for number in range(6 * 366))
        if day.month in months.values and joined([day.day in days.values, day.isoweekday() % 7 in weekdays.values])
        for hour in sorted(hours.values)
        for minute in sorted(minutes.values)
        for second in sorted(seconds.values)
    )
    assert cron.next_after(start) == next(time for time in fitting if time > start)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("0 0 3 * * *", "at 03:00 every day"),
        ("0 0 3 * * mon", "at 03:00 on Mondays"),
        ("30 0 3,15 * * mon-fri", "at 03:00:30 and 15:00:30 on Monday to Friday"),
        ("0 */15 * * * *", "at minute 0, 15, 30 and 45 of every hour every day"),
        ("* * * * * *", "at every second of every minute of every hour every day"),
        ("0 0 * * * *", "at minute 0 of every hour every day"),
        ("0 0 4 1,15 * ?", "at 04:00 on day 1 and 15 of the month"),
        ("0 0 4 1 jan,jul *", "at 04:00 on day 1 of the month in January and July"),
        ("0 0 4 1 * mon", "at 04:00 on day 1 of the month and also on Mondays"),
        ("0 0 4 */2 * mon,fri", "at 04:00 on day 1, 3, 5"),
        ("@daily", "at 00:00 every day"),
        ("@every 36h", "every 36 h, counted from the last run"),
    ],
)
def test_words_say_when(expression: str, words: str) -> None:
    said = Cron.parse(expression).words
    assert said == words or said.startswith(f"{words}, ")
    if expression.startswith("0 0 4 */2"):
        assert said.endswith("31 of the month where that is Mondays and Fridays")


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("0 3 * * 1", "found five in '0 3 * * 1', which the server would take for second 0, minute 3, hour *; for at 03:00 on Mondays give '0 0 3 * * 1'"),
        ("a b c d e", "found five"),
        ("0 0 3 * *  * 2027", "found 7 in"),
        ("", "expected six fields"),
        ("0 0 3 * * 7", "day of the week: expected 0 to 6; Sunday is 0; found '7'"),
        ("0 0 24 * * *", "hour: expected 0 to 23; found '24'"),
        ("60 0 3 * * *", "second: expected 0 to 59"),
        ("0 0 3 0 * *", "day of the month: expected 1 to 31"),
        ("0 0 3 * foo *", "month: expected a number from 1 to 12 or jan, feb"),
        ("0 0 3 * * fri-mon", "day of the week: 5 comes after 1; found 'fri-mon'"),
        ("0 0 5-3 * * *", "hour: 5 comes after 3"),
        ("0 */0 * * * *", "expected 1 to"),
        ("0 1/2/3 * * * *", "found '1/2/3'"),
        ("0 1-2-3 * * * *", "found '1-2-3'"),
        ("0 0 3 1, * *", "day of the month: expected a number"),
        ("0 0 3 *-5 * *", "no range begins with a star"),
        ("0 0 3 -1 * *", "day of the month: expected a number"),
        ("0 0 3 30 2 ?", "'0 0 3 30 2 ?' never comes: no February has such a day"),
        ("0 0 3 31 apr,jun *", "no April and June has such a day"),
        ("@reboot", "expected one of @yearly"),
        ("@every day", "expected @every <duration> of 1s to a year"),
        ("@every 0.5s", "expected @every <duration>"),
        ("0 0 3 * * *" + " " * 5 + "x" * 300, "expected six fields"),
        ("0 ٣ 3 * * *", "minute: expected a number"),
    ],
)  # fmt: skip
def test_what_the_server_refuses_or_never_comes_is_refused_in_one_line(expression: str, message: str) -> None:
    with pytest.raises(OptionsError) as caught:
        Cron.parse(expression)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_times_go_on_from_each_other() -> None:
    start = datetime(2026, 11, 29, tzinfo=UTC)
    found = [f"{time:%d %H}" for time in islice(Cron.parse("0 0 3,15 * * *").times(start), 5)]
    assert found == ["29 03", "29 15", "30 03", "30 15", "01 03"]
    berlin = next(Cron.parse("0 0 3 * * *").times(start, ZoneInfo("Europe/Berlin")))
    assert f"{berlin:%H:%M}" == "02:00"


def test_a_cron_job_has_the_five_fields_or_none() -> None:
    assert Cron.parse("0 30 3 * * mon").for_cron_job() == "30 3 * * mon"
    assert Cron.parse("@weekly").for_cron_job() == "0 0 * * 0"
    assert Cron.parse("0 0 4 */2 * ?").for_cron_job() == "0 4 */2 * ?"
    for expression, message in {
        "30 0 3 * * *": "begin it with second 0",
        "@every 24h": "begin it with second 0",
        "0 0 4 */2 * mon": "write the days out",  # both days here, either day there
    }.items():
        with pytest.raises(OptionsError, match=message):
            Cron.parse(expression).for_cron_job()
