"""Background recordings: which of them train and which test, and reading them from a folder or a data set.

Takes of one source go to one side, so that a robustness test never hears a background that trained.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from ..audio import find_audio_files, load_audio
from ..errors import QuaclrsError

NoiseSplit = Literal["train", "test", "all"]
NOISE_SPLITS: tuple[str, ...] = get_args(NoiseSplit)

#: Share of the sources that trains.
_TRAINING_SHARE = 0.6

#: Seconds of a recording that are held.
_LONGEST = 600.0

#: ESC-50 names a clip by fold, Freesound id, take and class: 1-39901-A-11 and 1-39901-B-11 are of one source.
_ESC50_NAME = re.compile(r"\d-(\d+)-[A-Z]-\d+")


@dataclass(frozen=True)
class NoiseRecording:
    """A background recording that is not read yet.

    Attributes:
        name: its path or its id in a data set.
        source: what it was cut from; recordings of one source stay together.
        category: its folder or label; every category is split on its own.
        content: path or encoded bytes.
    """

    name: str
    source: str
    category: str
    content: Path | bytes

    def read(self, sampling_rate: int) -> np.ndarray:
        """Decode: float32 (samples,) at `sampling_rate` Hz, of more than ten minutes the middle ten.

        Raises:
            AudioError: the file is not audio; the message names it.
        """
        return load_audio(self.content, sampling_rate, name=self.name, longest=_LONGEST)


def source_of(name: str) -> str:
    """Name the source of a recording by its file name: the Freesound id of an ESC-50 name, else the name itself."""
    stem = Path(name).stem
    match = _ESC50_NAME.fullmatch(stem)
    return match[1] if match else stem


def split_sources(sources: Sequence[str], categories: Sequence[str]) -> dict[str, str]:
    """Deal each source to a side: `train` or `test`.

    A hash of its name decides, so that three in five train and a source stays on its side on every machine, whatever
    is added beside it. Only where a category of two or more sources would have none on one side does the nearest one
    change over; a model that trained with so few should keep them.

    Args:
        sources: of every recording.
        categories: of every recording, in the same order.
    """
    of_category: dict[str, set[str]] = defaultdict(set)
    for source, category in zip(sources, categories, strict=True):
        of_category[category].add(source)
    sides = {source: "train" if _hash(source) < _TRAINING_SHARE else "test" for source in sources}
    for category in sorted(of_category):
        ranked = sorted(of_category[category], key=_hash)
        if len(ranked) > 1 and len({sides[source] for source in ranked}) == 1:
            if sides[ranked[0]] == "train":
                sides[ranked[-1]] = "test"
            else:
                sides[ranked[0]] = "train"
    return sides


def find_noise(recordings: str | os.PathLike[str] | Any, split: NoiseSplit = "all") -> list[NoiseRecording]:
    """List the background recordings of one side.

    Args:
        recordings: a folder of sound files, its sub-folders being categories; a folder that `python -m dataset_builder`
            wrote; or a `datasets.Dataset` with an `audio` column. Of a data set, `recording_id` is the source and
            `label` the category, where it has them.
        split: `train`, `test`, or `all`.

    Raises:
        QuaclrsError: no such folder, no sound in it, no recording on this side, or an unknown split.
    """
    if split not in NOISE_SPLITS:
        raise QuaclrsError(f"noise split is {split!r}; choose {', '.join(NOISE_SPLITS)}")
    if isinstance(recordings, (str, os.PathLike)):
        folder = Path(recordings)
        if not folder.is_dir():
            raise QuaclrsError(f"background noise folder {folder} does not exist; give a folder of recordings")
        if any((folder / "data").glob("*.parquet")):
            from ..data import load_urbansound13

            found = list(_in_dataset(load_urbansound13(folder)))
        else:
            found = list(_in_folder(folder))
        if not found:
            raise QuaclrsError(f"background noise folder {folder} holds no sound file; give a folder of recordings")
    else:
        found = list(_in_dataset(recordings))
    if split != "all":
        sides = split_sources([r.source for r in found], [r.category for r in found])
        found = [r for r in found if sides[r.source] == split]
    if not found:
        raise QuaclrsError(f"no background recording of {recordings} is on the {split} side; add recordings")
    return found


def _in_folder(folder: Path) -> Iterator[NoiseRecording]:
    for file in find_audio_files(folder):
        category = str(file.parent.relative_to(folder))
        yield NoiseRecording(str(file), source_of(file.name), category, file)


def _in_dataset(dataset: Any) -> Iterator[NoiseRecording]:
    from datasets import Audio

    if "audio" not in getattr(dataset, "column_names", ()):
        raise QuaclrsError("the background noise data set has no audio column; give one with recordings")
    for number, row in enumerate(dataset.cast_column("audio", Audio(decode=False))):
        audio = row["audio"]
        name = str(row.get("clip_id") or audio.get("path") or number)
        source = str(row.get("recording_id") or source_of(name))
        content = audio["bytes"] if audio.get("bytes") is not None else Path(audio["path"])
        yield NoiseRecording(name, source, str(row.get("label", "")), content)


def _hash(source: str) -> float:
    """A number in [0, 1) that depends on the name alone."""
    return int.from_bytes(hashlib.sha256(source.encode()).digest()[:8], "little") / 2**64
