"""Clips of what was heard, with a second before and after, cut from a stream while it runs."""

from __future__ import annotations

import contextlib
import os
import re
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import soundfile

from ..errors import QuaclrsError
from ..files import name_unwritable, refuse_unwritable
from ..inference.timeline import SILENCE, UNSURE
from .listening import LiveLabel

#: Labels of which no clip is kept unless they are asked for.
_NOTHING = frozenset({"other", SILENCE, UNSURE})

#: Letters of a label that some system has in no file's name.
_NOT_IN_NAMES = re.compile(r'[/\\:*?"<>|\x00-\x1f]')


@dataclass
class _Open:
    """A clip that is being written: its file, its place when it is done, and the sample after its last one."""

    file: soundfile.SoundFile
    place: Path
    next: int
    last: float = float("inf")


class ClipRecorder:
    """Writes a 16-bit WAV for each time that a chosen label holds.

    A clip gets its name, `20230415_063000_dog_bark.wav`, when it is complete.

    Args:
        folder: made where absent.
        sampling_rate: of the stream, Hz.
        labels: those to keep; all but `other`, `silence` and `unsure` where absent.
        margin: seconds before and after.
        reach: seconds that a label may reach back when it takes over.
        longest: seconds of a clip; a label that lasts longer gets the next one.

    Raises:
        QuaclrsError: the folder cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        sampling_rate: int,
        labels: Collection[str] | None = None,
        margin: float = 1.0,
        reach: float = 5.0,
        longest: float = 60.0,
    ) -> None:
        if folder.exists() and not folder.is_dir():
            raise QuaclrsError(f"--record {folder} is a file; give a folder")
        refuse_unwritable(folder, "--record")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.rate, self.labels = folder, sampling_rate, labels
        self.margin, self.longest = margin, longest
        self._kept: deque[tuple[int, np.ndarray]] = deque()  # blocks with the number of their first sample
        self._reach = round((margin + reach) * sampling_rate)
        self._end = 0  # samples so far
        self._clip: _Open | None = None
        self._closing: list[_Open] = []

    def hear(self, block: np.ndarray) -> None:
        """Take the next samples of the stream."""
        self._kept.append((self._end, block))
        self._end += len(block)
        while self._end - self._kept[0][0] - len(self._kept[0][1]) > self._reach:
            self._kept.popleft()
        for clip in [*self._closing, *([self._clip] if self._clip else [])]:
            self._write(clip)

    def answer(self, answer: LiveLabel, now: datetime) -> None:
        """Take the next answer; `now` is the time of day at `answer.seconds`."""
        if answer.begins is not None:
            self._finish(answer.begins)
            if self._wanted(answer.label):
                self._begin(answer.label, answer.begins, now)
        if self._clip and self._clip.file.frames > self.longest * self.rate:
            self._finish(answer.seconds, margin=0.0)
            self._begin(answer.label, answer.seconds + self.margin, now)

    def _wanted(self, label: str) -> bool:
        return label not in _NOTHING if self.labels is None else label in self.labels

    def _begin(self, label: str, seconds: float, now: datetime) -> None:
        name = f"{now:%Y%m%d_%H%M%S}_{_NOT_IN_NAMES.sub('_', label)}"
        number, place = 1, self.folder / f"{name}.wav"
        while place.exists() or place.with_name(f".{place.name}").exists():
            number, place = number + 1, self.folder / f"{name}_{number + 1}.wav"
        first = max(self._kept[0][0] if self._kept else 0, round((seconds - self.margin) * self.rate), 0)
        with name_unwritable(place):
            file = soundfile.SoundFile(
                place.with_name(f".{place.name}"), "w", self.rate, 1, subtype="PCM_16", format="WAV"
            )
        self._clip = _Open(file, place, first)
        self._write(self._clip)

    def _finish(self, seconds: float, margin: float | None = None) -> None:
        """End the clip a margin after this second of the stream."""
        if self._clip:
            self._clip.last = (seconds + (self.margin if margin is None else margin)) * self.rate
            self._closing.append(self._clip)
            self._write(self._clip)
            self._clip = None

    def _write(self, clip: _Open) -> None:
        with name_unwritable(clip.place):
            for first, block in self._kept:
                end = int(min(first + len(block), clip.last))
                if clip.next < end and clip.next >= first:
                    clip.file.write(block[clip.next - first : end - first])
                    clip.next = end
        if clip.next >= clip.last:
            self._close(clip)

    def _close(self, clip: _Open) -> None:
        clip.file.close()
        with contextlib.suppress(ValueError):
            self._closing.remove(clip)
        os.replace(clip.place.with_name(f".{clip.place.name}"), clip.place)

    def close(self) -> None:
        """End all clips, as the stream has ended."""
        self._finish(self._end / self.rate, margin=0.0)
        for clip in [*self._closing]:
            self._close(clip)
