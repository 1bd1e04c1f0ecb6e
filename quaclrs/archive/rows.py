"""Results of one file of an archive, and the rows of a table that it becomes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ..inference.timeline import Segment

#: Columns of a table, in order.
COLUMNS = ("file", "start", "end", "label", "score", "level", "time")


@dataclass(frozen=True)
class LevelSegment(Segment):
    """A segment and how loud it is: `level` in dB relative to full scale, the root mean square of its samples."""

    level: float


@dataclass(frozen=True)
class Annotated:
    """Result of hearing a file.

    Attributes:
        file: as the tables name it.
        size, changed: bytes of the file and its time of change in whole seconds; a changed file has others.
        recorded: ISO 8601, on the recorder's clock; None where unknown.
        segments: of the whole file; empty where it cannot be heard.
        error: why it cannot be heard; None where it could.
    """

    file: str
    size: int
    changed: int
    recorded: str | None
    segments: tuple[LevelSegment, ...]
    error: str | None = None

    @property
    def seconds(self) -> float:
        """Length of what was heard."""
        return self.segments[-1].end if self.segments else 0.0

    def rows(self) -> Iterator[dict[str, Any]]:
        """Make a dictionary of `COLUMNS` for each segment, with rounded numbers."""
        begun = None if self.recorded is None else datetime.fromisoformat(self.recorded)
        for s in self.segments:
            time = None if begun is None else begun + timedelta(seconds=round(s.start, 3))
            yield {
                "file": self.file,
                "start": round(s.start, 3),
                "end": round(s.end, 3),
                "label": s.label,
                "score": round(s.score, 4),
                "level": round(s.level, 1),
                "time": None if time is None else time.isoformat(timespec="milliseconds"),
            }


def inside(file: Path) -> Path:
    """Path of a file's results inside another folder: the file's own, without parts that lead out."""
    return Path(*(part for part in file.parts if part not in (file.anchor, "..", ".")))
