"""Groups of labelled clips of one recording: by a column, by their names, or by what they hold."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ..audio import AudioError, read_mono
from ..grouping import group_recordings
from .labelled import LabelledSound

#: `tram__3.wav` is a clip of the recording `tram`.
_NUMBERED = re.compile(r"(.+)__\d+", re.DOTALL)

#: Clips of a class that are compared by content; the search takes seconds for a thousand.
_MOST_COMPARED = 1000

#: Letters of a recording's name in that of a clip that is cut from it, the last ones.
_LONGEST_NAME = 180

#: Seconds in the middle of a clip that are compared.
_LONGEST = 30.0


def recordings_of(sounds: Sequence[LabelledSound], by_content: bool = True) -> np.ndarray:
    """Name the recording of each sound. Parts of one file, clips cut from it, and clips that share sound have one.

    Args:
        sounds: labelled.
        by_content: compare the clips of each class that neither a column nor a name tells the recording of.
    """
    names = [_told(sound) or f"file {sound.file.resolve()}" for sound in sounds]
    if by_content:
        unknown: dict[str, list[int]] = defaultdict(list)
        for place, sound in enumerate(sounds):
            if _told(sound) is None and sound.start is None:
                unknown[sound.label].append(place)
        for places in unknown.values():
            if 2 <= len(places) <= _MOST_COMPARED:
                for place, group in zip(places, _grouped([sounds[p] for p in places]), strict=True):
                    names[place] = names[places[group]]
    files: dict[str, int] = {}
    for place, sound in enumerate(sounds):
        for name in clip_names(sound.file):
            files.setdefault(name, place)
    for place, sound in enumerate(sounds):
        if sound.recording is None and (cut_from := files.get(_numbered(sound) or "")) is not None:
            names[place] = names[cut_from]
    return np.array(names, dtype=object)


def clip_names(file: Path) -> Iterator[str]:
    """Names that clips cut from a file may have before `__12340.wav`, the shortest first.

    They are the file's name, and that behind the names of folders above it.
    """
    parts = file.with_suffix("").parts
    for first in range(len(parts) - 1, -1, -1):
        yield "_".join(parts[first:])[-_LONGEST_NAME:]


def _told(sound: LabelledSound) -> str | None:
    name = sound.recording or _numbered(sound)
    return name and f"recording {name}"


def _numbered(sound: LabelledSound) -> str | None:
    numbered = _NUMBERED.fullmatch(sound.file.stem)
    return numbered[1] if numbered else None


def _grouped(sounds: Sequence[LabelledSound]) -> list[int]:
    """Find for each sound the first one of its group."""

    def clips() -> Iterator[tuple[np.ndarray, int]]:
        for sound in sounds:
            try:
                recording = read_mono(sound.file, longest=_LONGEST)
                yield recording.waveform[0], recording.sampling_rate
            except AudioError:  # whoever embeds it says what is wrong
                yield np.zeros(0, dtype=np.float32), 4000

    labels = group_recordings(clips()).labels
    first: dict[int, int] = {}
    return [first.setdefault(int(label), place) for place, label in enumerate(labels)]
