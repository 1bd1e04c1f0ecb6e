"""What a long run says of itself, against hours and speeds by hand."""

from __future__ import annotations

import pytest

from quaclrs.archive import progress
from quaclrs.archive.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes when it is told to."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_log_gets_a_line_a_minute_with_hours_speed_and_time_left(clock, capsys):
    with Progress(1_000) as shown:
        shown.passed(200, by_us=False)  # a former run's
        for _ in range(150):  # seconds, in each of which a minute of sound
            clock[0] += 1
            shown.heard(60.0)
            shown.passed(2)
        shown.broken(100)
    lines = capsys.readouterr().err.splitlines()
    # After a minute an hour. By then 118 of 800 bytes were passed, so 682 are left, at 118 a minute.
    assert lines[0] == " 32%, 1.0 h, 60 x real time, 0:05:47 left"
    assert len(lines) == 2
    assert str(shown) == " 60%, 2.5 h, 60 x real time, 1 broken, 0:02:30 left"


def test_nothing_is_said_where_nobody_asked(clock, capsys):
    with Progress(10, shown=False) as shown:
        clock[0] += 1000
        shown.heard(1.0)
    assert capsys.readouterr().err == ""
