"""Labelled sounds that can be heard, each once."""

from __future__ import annotations

import sys
import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..audio import AudioError
from ..errors import QuaclrsWarning
from .embedded import Embedded, Part
from .embeddings import Embedder
from .labelled import LabelledSound


@dataclass(frozen=True)
class Clips:
    """Sounds with labels that can be heard, and their windows.

    Attributes:
        sounds, embedded: of the same length; no sound is there twice.
        left_out: name -> why, of those that cannot be decoded, are silent, or are there twice or under two labels.
    """

    sounds: list[LabelledSound]
    embedded: list[Embedded]
    left_out: dict[str, str]

    @classmethod
    def of(cls, sounds: Sequence[LabelledSound], embedder: Embedder, progress: bool | None) -> Clips:
        """Embed sounds; a `QuaclrsWarning` names those that are left out."""
        left_out: dict[str, str] = {}
        kept: list[tuple[LabelledSound, Embedded]] = []
        parts = [Part(sound.file, sound.start, sound.end) for sound in sounds]
        for sound, found in zip(sounds, embedded(embedder, parts, "listening", progress), strict=True):
            if isinstance(found, AudioError):
                left_out[sound.name] = str(found).replace(str(sound.file), sound.name)
            elif not found.levels.any():
                left_out[sound.name] = f"{sound.name} is silent"
            else:
                kept.append((sound, found))
        by_content: dict[bytes, list[int]] = defaultdict(list)
        for place, (sound, found) in enumerate(kept):
            if sound.start is None:
                by_content[found.vectors.tobytes()].append(place)
        gone = set()
        for places in by_content.values():
            first = kept[places[0]][0]
            told = {kept[place][0].label for place in places}
            for place in places if len(told) > 1 else places[1:]:
                sound = kept[place][0]
                gone.add(place)
                other = next((kept[p][0] for p in places if kept[p][0].label != sound.label), first)
                left_out[sound.name] = (
                    f"{sound.name} is the same sound as {other.name}, which is labelled {other.label}"
                    if len(told) > 1
                    else f"{sound.name} is the same sound as {first.name}"
                )
        warn_of(left_out)
        rest = [entry for place, entry in enumerate(kept) if place not in gone]
        return cls([sound for sound, _ in rest], [found for _, found in rest], left_out)


def warn_of(left_out: dict[str, str]) -> None:
    """Name the first few sounds that are left out, and count the others."""
    reasons = list(left_out.values())
    for reason in reasons[:5]:
        warnings.warn(f"left out: {reason}", QuaclrsWarning, stacklevel=4)
    if len(reasons) > 5:
        warnings.warn(f"{len(reasons) - 5:,} more are left out; the report names them", QuaclrsWarning, stacklevel=4)


def embedded(
    embedder: Embedder, parts: Sequence[Part], what: str, progress: bool | None
) -> Iterable[Embedded | AudioError]:
    """Embed sounds under a progress bar named `what`; with `progress` None, the bar is shown on a terminal only."""
    from tqdm import tqdm

    hidden = {False: True, True: False, None: None}[progress]
    with tqdm(desc=what, total=len(parts), unit="sound", disable=hidden, leave=False, file=sys.stderr) as bar:
        yield from embedder.embed(parts, bar.update)
