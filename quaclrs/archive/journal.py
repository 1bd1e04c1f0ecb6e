"""Journal of an archive: a line for each file that was heard. A process that is killed loses one file at most.

Every process appends to its own file, in a folder that all of them see. A line counts once it is whole. A process locks
the file that it works on; the system frees the lock however the process ends.
"""

from __future__ import annotations

import dataclasses
import json
import os
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import QuaclrsError
from ..files import written
from .rows import Annotated, LevelSegment

_PLAN, _ENDING = "plan.json", ".jsonl"

#: Name, bytes and time of change: what tells a file from another one, and from itself before.
Key = tuple[str, int, int]


class Journal:
    """The journals of all processes that annotate into one output; threads may share it.

    Args:
        folder: where they lie; made where absent.
        plan: settings that change the result; every process must have the same.

    Raises:
        QuaclrsError: the folder belongs to another plan.
    """

    def __init__(self, folder: Path, plan: Mapping[str, Any]) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._refuse_other_plan(json.loads(json.dumps(plan, default=str)))
        self._lock = threading.RLock()
        self._own: BinaryIO | None = None
        self._places: dict[Key, tuple[Path, int]] = {}
        self._read: dict[Path, int] = {}  # bytes of each journal that were gone through
        self.refresh()
        for key in [key for key in self._places if self.read(key).error is not None]:
            del self._places[key]  # what was broken is tried again

    def _refuse_other_plan(self, plan: Mapping[str, Any]) -> None:
        place = self.folder / _PLAN
        if not place.exists():
            with written(place) as file:
                file.write_text(json.dumps(plan, indent=1))
        begun = json.loads(place.read_text())
        if begun != plan:
            other = ", ".join(sorted(name for name in {*begun, *plan} if begun.get(name) != plan.get(name)))
            raise QuaclrsError(
                f"{self.folder} was begun with other settings ({other}); give the same, another --output, or remove it"
            )

    def refresh(self) -> None:
        """Take note of what others have finished."""
        with self._lock:
            for file in sorted(self.folder.glob(f"*{_ENDING}")):
                with file.open("rb") as journal:
                    journal.seek(self._read.get(file, 0))
                    for line in journal:
                        if not line.endswith(b"\n"):
                            break  # it is being written, or its writer was killed
                        with suppress(ValueError, KeyError, TypeError):
                            head = json.loads(line)
                            self._places[head["file"], head["size"], head["changed"]] = (
                                file,
                                journal.tell() - len(line),
                            )
                        self._read[file] = journal.tell()

    def __contains__(self, key: Key) -> bool:
        return key in self._places

    def names(self) -> set[str]:
        """Names of the files that are finished."""
        return {file for file, _, _ in self._places}

    def add(self, annotated: Annotated) -> None:
        """Write down what was heard of a file; it is on its way to the disk when this returns."""
        line = json.dumps(_to_json(annotated), separators=(",", ":"), allow_nan=False).encode() + b"\n"
        with self._lock:
            if self._own is None:
                self._own = (self.folder / f"{uuid.uuid4().hex[:12]}{_ENDING}").open("ab", buffering=0)
            self._own.write(line)
        self.refresh()

    def read(self, key: Key) -> Annotated:
        """Read what was heard of a file from the journal."""
        file, place = self._places[key]
        with file.open("rb") as journal:
            journal.seek(place)
            return _from_json(json.loads(journal.readline()))

    def close(self) -> None:
        """Close this process's journal."""
        if self._own is not None:
            self._own.close()

    @contextmanager
    def held(self, name: str) -> Iterator[None]:
        """Hold the lock that only one process has at a time."""
        from filelock import FileLock

        lock = FileLock(self.folder / f".{name}.lock")
        with suppress(OSError, NotImplementedError):  # a disk without locks
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def claim(self, key: Key) -> Iterator[bool]:
        """Reserve a file for this block; yields False where another process works on it or has finished it."""
        from filelock import FileLock, Timeout

        name = sha256(repr(key).encode("utf-8", "backslashreplace")).hexdigest()[:24]
        lock = FileLock(self.folder / f".{name}.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            yield False
            return
        except (OSError, NotImplementedError):  # a disk without locks: at worst two hear the same file
            yield key not in self
            return
        try:
            self.refresh()  # whoever held the lock before may have finished
            yield key not in self
        finally:
            with suppress(OSError):
                os.unlink(lock.lock_file)
            lock.release()


def _to_json(annotated: Annotated) -> dict[str, Any]:
    values = {field.name: getattr(annotated, field.name) for field in dataclasses.fields(annotated)}
    return values | {"segments": [dataclasses.astuple(segment) for segment in annotated.segments]}


def _from_json(values: dict[str, Any]) -> Annotated:
    return Annotated(**values | {"segments": tuple(LevelSegment(*segment) for segment in values["segments"])})
