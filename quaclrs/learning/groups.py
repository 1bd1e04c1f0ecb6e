"""Groups of labelled clips of one recording: by a column, by their names, or by what they hold."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from ..audio import AudioError, read_mono
from ..grouping import group_recordings
from .labelled import LabelledSound

#: `tram__3.wav` is a clip of the recording `tram`.
_NUMBERED = re.compile(r"(.+)__\d+", re.DOTALL)

#: Clips of a class that are compared by content; the search takes seconds for a thousand.
_MOST_COMPARED = 1000

#: Seconds in the middle of a clip that are compared.
_LONGEST = 30.0


def recordings_of(sounds: Sequence[LabelledSound], by_content: bool = True) -> np.ndarray:
    """Name the recording of each sound. Parts of one file, and clips that share sound, have one recording.

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
    return np.array(names, dtype=object)


def _told(sound: LabelledSound) -> str | None:
    if sound.recording is not None:
        return f"recording {sound.recording}"
    numbered = _NUMBERED.fullmatch(sound.file.stem)
    return f"recording {numbered[1]}" if numbered else None


def _grouped(sounds: Sequence[LabelledSound]) -> list[int]:
    """Find for each sound the first one of its group."""

    def clips() -> list[tuple[np.ndarray, int]]:
        found = []
        for sound in sounds:
            try:
                recording = read_mono(sound.file, longest=_LONGEST)
                found.append((recording.waveform[0], recording.sampling_rate))
            except AudioError:  # whoever embeds it says what is wrong
                found.append((np.zeros(0, dtype=np.float32), 4000))
        return found

    labels = group_recordings(clips()).labels
    first: dict[int, int] = {}
    return [first.setdefault(int(label), place) for place, label in enumerate(labels)]
