"""What `quaclrs learn` prints."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

from quaclrs.commands.learn import _lines_of
from quaclrs.learning.worth import ClassWorth


def test_one_class_of_one_clip_is_counted_as_such():
    classes = [ClassWorth("kettle", 1, 1, None, None), ClassWorth("bell", 2, 2, 0.5, (0.0, 1.0))]
    report = Mock(clips=1, seconds=2.0, background_dropped={}, background_certain=None)
    report.worth = Mock(classes=classes, suspects=[], accuracy=None)
    lines = _lines_of(report, Path("model"))
    assert lines[0] == "2 classes from 1 clip in 2.0 s"
    assert "1 clip " in lines[1] and "2 clips" in lines[2]
