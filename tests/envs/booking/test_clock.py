"""The frozen clock: local times, and no other clock in the package."""

import ast
import datetime as dt

from helpers.paths import CORE

from eefcore.envs.booking.clock import at_minute, local_time, minutes, say_day, say_time

CLOCKS = {"now", "utcnow", "today", "time_ns", "monotonic", "perf_counter", "localtime", "gmtime"}
SQL_CLOCKS = ("CURRENT_TIME", "CURRENT_DATE", "datetime('now", "strftime('", "julianday", "unixepoch")


def utc(*of):
    return dt.datetime(*of, tzinfo=dt.UTC)


def test_one_moment_is_another_day_in_another_city():
    late = utc(2024, 5, 22, 6, 59)
    assert local_time(late, "America/Los_Angeles") == dt.datetime(2024, 5, 21, 23, 59)
    assert local_time(late, "Europe/Berlin") == dt.datetime(2024, 5, 22, 8, 59)


def test_clocks_are_put_forward_in_spring():
    assert local_time(utc(2024, 3, 10, 9, 59), "America/Los_Angeles") == dt.datetime(2024, 3, 10, 1, 59)
    assert local_time(utc(2024, 3, 10, 10, 0), "America/Los_Angeles") == dt.datetime(2024, 3, 10, 3, 0)


def test_days_and_times_are_written_as_people_write_them():
    assert say_day(dt.date(2024, 5, 2)) == "Thursday, May 2, 2024"
    shown = ["12:00 AM", "9:05 AM", "12:30 PM", "7:15 PM"]
    assert [*map(say_time, (dt.time(0), dt.time(9, 5), dt.time(12, 30), dt.time(19, 15)))] == shown


def test_minutes_and_times_are_inverse():
    assert [minutes(at_minute(m)) for m in range(24 * 60)] == [*range(24 * 60)]


def test_the_package_has_no_other_clock():
    """Nothing asks the machine for the time: no call of a clock, no module `time`, no clock of SQLite."""
    sources = sorted((CORE / "envs" / "booking").rglob("*.py"))
    assert len(sources) > 10
    for path in sources:
        text = path.read_text("utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                assert not [a.name for a in node.names if a.name == "time"], path
            if isinstance(node, ast.ImportFrom):
                assert node.module != "time", path
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                assert node.func.attr not in CLOCKS, f"{path}:{node.lineno}"
        assert not [clock for clock in SQL_CLOCKS if clock in text], path
    for path in sorted((CORE / "envs" / "booking" / "templates").iterdir()):
        assert "<script" not in path.read_text("utf-8"), path
