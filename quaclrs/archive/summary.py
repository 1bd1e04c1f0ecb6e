"""Summary of a table of annotations: hours by class, by hour of day and weekday, how loud, and which rows to listen to.

The table is read once; only the surest and the least sure rows of each class are kept.
"""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from ..errors import QuaclrsError

#: Labels that are not classes: they stand apart, in grey.
NO_CLASS = ("other", "silence", "unsure")

#: Levels are counted in steps of 1 dB from here up to full scale.
_LOWEST = -120


#: (weekday, hour) -> seconds; Monday is 0.
Seconds = dict[tuple[int, int], float]


@dataclass
class ClassSummary:
    """Summary of one label.

    Attributes:
        seconds, segments: in all.
        by_hour: of recordings that know their time.
        levels: whole dBFS -> seconds.
        surest, least_sure: rows, best first.
    """

    seconds: float = 0.0
    segments: int = 0
    by_hour: Seconds = field(default_factory=lambda: defaultdict(float))
    levels: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    surest: list[dict[str, Any]] = field(default_factory=list)
    least_sure: list[dict[str, Any]] = field(default_factory=list)

    def level(self, share: float) -> float:
        """The level, dBFS, that this share of the time is at or below."""
        wanted, so_far = share * sum(self.levels.values()), 0.0
        for level in sorted(self.levels):
            so_far += self.levels[level]
            if so_far >= wanted:
                return float(level)
        return float(_LOWEST)


@dataclass
class Summary:
    """Summary of an archive.

    Attributes:
        classes: label -> its summary, the longest first.
        files: how many.
        seconds: of all recordings.
        timed_seconds: of those that know when they were made.
        by_hour: seconds of recordings that know their time, of any label.
        first, last: when the first recording begins and the last one ends; None where no time is known.
    """

    classes: dict[str, ClassSummary]
    files: int
    seconds: float
    timed_seconds: float
    by_hour: Seconds
    first: datetime | None
    last: datetime | None


def summarize(rows: Iterable[dict[str, Any]], examples: int = 3) -> Summary:
    """Go through rows of a table as `tables.read_rows` gives them.

    Args:
        rows: in any order.
        examples: rows that are kept of each class, of the surest and of the least sure.

    Raises:
        QuaclrsError: the table has no rows.
    """
    classes: dict[str, ClassSummary] = defaultdict(ClassSummary)
    best: dict[str, list[Any]] = defaultdict(list)
    worst: dict[str, list[Any]] = defaultdict(list)
    recorded: Seconds = defaultdict(float)
    first = last = None
    seconds = timed = 0.0
    files: set[int] = set()
    for number, row in enumerate(rows):
        length = row["end"] - row["start"]
        found = classes[row["label"]]
        found.seconds += length
        found.segments += 1
        found.levels[max(_LOWEST, round(row["level"]))] += length
        seconds += length
        files.add(hash(row["file"]))
        if row["time"]:
            begun = datetime.fromisoformat(row["time"])
            timed += length
            wall = begun.replace(tzinfo=None)  # the recorder's clock, whatever its zone
            first = wall if first is None else min(first, wall)
            last = wall + timedelta(seconds=length) if last is None else max(last, wall + timedelta(seconds=length))
            for hour, part in _by_hour(wall, length):
                found.by_hour[hour] += part
                recorded[hour] += part
        if row["label"] not in NO_CLASS:
            for heap, order in ((best[row["label"]], row["score"]), (worst[row["label"]], -row["score"])):
                heapq.heappush(heap, (order, -number, row))
                if len(heap) > examples:
                    heapq.heappop(heap)
    if not classes:
        raise QuaclrsError("the table holds no rows; annotate recordings first")
    for label in classes:
        classes[label].surest = [row for _, _, row in sorted(best[label], reverse=True)]
        taken = [id(row) for row in classes[label].surest]
        classes[label].least_sure = [row for _, _, row in sorted(worst[label], reverse=True) if id(row) not in taken]
    ordered = dict(sorted(classes.items(), key=lambda item: (item[0] in NO_CLASS, -item[1].seconds)))
    return Summary(ordered, len(files), seconds, timed, recorded, first, last)


def _by_hour(begun: datetime, seconds: float) -> Iterable[tuple[tuple[int, int], float]]:
    """Split a stretch of time into (weekday, hour) and the seconds in it."""
    while seconds > 0:
        next_hour = begun.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        part = min(seconds, (next_hour - begun).total_seconds())
        yield (begun.weekday(), begun.hour), part
        begun, seconds = next_hour, seconds - part
        if math.isclose(seconds, 0, abs_tol=1e-9):
            return
