"""Record of what a model has heard: the clips and recordings it learned from, kept in its `config.json`.

Clips and recordings are known by their names, which survive resampling, another format and a cut into folders. Clips
are known by a digest of their samples too, which survives another name, and the way from WAV to FLAC. A clip that was
renamed and resampled, or compressed anew, is known by neither.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings, simplefilter

import numpy as np

from ..audio import AudioWarning, flac_digest
from ..augment.variants import parent_and_variant
from ..data import synthetic_clips
from ..folds import FoldProtocol
from ..labels import URBANSOUND8K
from .stored_digest import stored_digest

if TYPE_CHECKING:
    from datasets import Dataset

#: Bytes of a hash: of 10,000 foreign files with 8 names each, one in 1,400 such sets holds a false match with as many.
_BYTES = 5
_HASH = np.dtype(f"S{_BYTES}")

#: File names of UrbanSound8K (`101415-3-0-2`) and of ESC-50 (`1-101415-A-2`) hold the number of a Freesound recording.
_FREESOUND_NAMES = (re.compile(r"(\d+)-\d-\d+-\d+"), re.compile(r"[1-5]-(\d+)-[A-Z](-\d+)?"))

#: Seconds of the longest file that is known by its samples, for which all of it is decoded.
_LONGEST = 60.0

#: Before the names of the embedded sample's clips and recordings.
_SAMPLE = "synthetic/"


def _none() -> np.ndarray:
    return np.zeros(0, dtype=_HASH)


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Clips that a network has learned from, with or without their labels.

    Attributes:
        trainings: one mapping for each training that the network went through: `dataset` (its name), `fingerprint`,
            `clips` (how many), `synthetic` (whether all of them are the embedded sample's), `protocol`, `test_fold`
            and `validation_fold`, None where their clips trained too.
        clips, recordings: hashes of their names, ascending.
        contents: hashes of the clips' samples, as the builder stores them, ascending.
        complete: False where a training began with weights that do not say what they have heard, or heard files that
            would not be known again.
    """

    trainings: tuple[Mapping[str, Any], ...] = ()
    clips: np.ndarray = field(default_factory=_none)
    recordings: np.ndarray = field(default_factory=_none)
    contents: np.ndarray = field(default_factory=_none)
    complete: bool = True

    @classmethod
    def of_training(cls, rows: Dataset, **about: str | int | None) -> TrainingData:
        """Record of a network that trains on these rows of a built data set.

        Args:
            rows: with `clip_id` (of an augmented copy, its original counts) and `recording_id`, and `audio` as the
                builder stores it; without it clips are known by their names alone.
            about: for `trainings`, without `clips` and `synthetic`.
        """
        clips, recordings = (np.unique(_hashes(names)) for names in _names_of_rows(rows))
        contents = np.unique(_hashes_of_contents(filter(None, _digests_of_rows(rows))))
        training = {**about, "clips": len(clips), "synthetic": all(synthetic_clips(rows))}
        return cls((training,), clips, recordings, contents)

    @classmethod
    def of_files(cls, files: Iterable[Path], dataset: str) -> TrainingData:
        """Record of a network that learns from sound files, which are known by their samples.

        Names count where they hold the number of a Freesound recording; others, such as `dog/1.wav`, mean nothing
        elsewhere. A file of more than a minute is known by its name alone.

        Args:
            files: every one once.
            dataset: what they are called together.
        """
        paths = list(files)
        with catch_warnings(), ThreadPoolExecutor(2) as pool:
            simplefilter("ignore", AudioWarning)  # of damage, which was said where the file was heard
            digests = list(pool.map(lambda path: stored_digest(path, longest=_LONGEST), paths))
        numbered = [path for path in paths if names_a_recording(path.name)]
        complete = all(digest or names_a_recording(path.name) for path, digest in zip(paths, digests, strict=True))
        return cls(
            ({"dataset": dataset, "clips": len(paths), "synthetic": False, "test_fold": None},),
            np.unique(_hashes(path.stem for path in numbered)),
            np.unique(_hashes(next(_recordings_of_file(path.name)) for path in numbered)),
            np.unique(_hashes_of_contents(filter(None, digests))),
            complete,
        )

    @classmethod
    def of_model(cls, saved: Any) -> TrainingData:
        """Read what `to_dict` gave; the record of a model that says nothing readable is not complete."""
        try:
            clips, recordings, contents = (_unpack(saved[name]) for name in ("clips", "recordings", "contents"))
            trainings = tuple(dict(training) for training in saved["trainings"])
            return cls(trainings, clips, recordings, contents, saved["complete"] is True)
        except (KeyError, TypeError, ValueError):
            return cls(complete=False)

    def to_dict(self) -> dict[str, Any]:
        """The entry of `config.json`: 150 kB for all of UrbanSound13."""
        return {
            "trainings": [dict(training) for training in self.trainings],
            "clips": _pack(self.clips),
            "recordings": _pack(self.recordings),
            "contents": _pack(self.contents),
            "complete": self.complete,
        }

    def __or__(self, other: TrainingData) -> TrainingData:
        """Join two records: what was heard in either."""
        return TrainingData(
            tuple([*self.trainings, *(training for training in other.trainings if training not in self.trainings)]),
            np.union1d(self.clips, other.clips),
            np.union1d(self.recordings, other.recordings),
            np.union1d(self.contents, other.contents),
            self.complete and other.complete,
        )

    def has_heard(self, rows: Dataset, protocol: FoldProtocol | None) -> np.ndarray:
        """Flag the rows of a built data set that were heard, bool (rows,).

        A recording is heard with any of its clips. The paper protocol, which splits recordings, asks for the clips.
        Clips are known by their samples too.
        """
        clips, recordings = (_hashes(names) for names in _names_of_rows(rows))
        heard = np.isin(clips, self.clips)
        if self.contents.size and "audio" in rows.column_names:
            heard |= self.has_heard_contents(_digests_of_rows(rows))
        if protocol == "paper":
            return heard
        heard |= np.isin(recordings, self.recordings)
        # Another build may have grouped the same clips into other recordings.
        return heard | np.isin(recordings, recordings[heard])

    def has_heard_files(self, files: Sequence[str]) -> np.ndarray:
        """Flag the sound files that were heard, bool (files,), by the ends of their paths, without their ending."""
        found = np.zeros(len(files), dtype=bool)
        for names_of, known in ((_names_of_file, self.clips), (_recordings_of_file, self.recordings)):
            names = [(place, name) for place, file in enumerate(files) for name in names_of(file)]
            matches = np.isin(_hashes(name for _, name in names), known)
            found[[place for (place, _), match in zip(names, matches, strict=True) if match]] = True
        return found

    def has_heard_contents(self, digests: Iterable[bytes]) -> np.ndarray:
        """Flag the sounds that were heard, bool (sounds,), by `flac_digest` of each as the builder would store it."""
        return np.isin(_hashes_of_contents(digests), self.contents)

    @property
    def is_synthetic(self) -> bool:
        """True where every clip that is known to be heard is the embedded sample's, and all is known."""
        return self.complete and all(training.get("synthetic") for training in self.trainings)

    @property
    def description(self) -> str:
        """All that is known of it, in words."""
        told = [f"{t.get('clips')} clips of {t.get('dataset')} ({_held_out(t)})" for t in self.trainings]
        if not self.complete:
            told.append("what else, nobody knows" if told else "nobody knows what")
        return "; ".join(told) or "no clips"

    @property
    def kept_from(self) -> str:
        """Describe what its trainings held out."""
        held_out = {_held_out(training): None for training in self.trainings}
        return "; ".join(held_out) or "it has trained on no clips"


def _held_out(training: Mapping[str, Any]) -> str:
    if training.get("test_fold") is None:
        return f"it has trained on every clip of {training.get('dataset')}"
    return f"it was kept from fold {training['test_fold']} ({training.get('protocol')} protocol)"


def _names_of_rows(rows: Dataset) -> tuple[list[str], list[str]]:
    """Names of the clips, which are paths in their source (`101415-3-0-2`, `ambulance/sound_1`), and recordings.

    The sample's clips are called as others are, so their names say that they are the sample's.
    """
    marks = [_SAMPLE if synthetic else "" for synthetic in synthetic_clips(rows)]
    parents = [parent_and_variant(clip_id)[0] for clip_id in rows["clip_id"][:]]
    clips = [mark + (clip_id.partition("/")[2] or clip_id) for mark, clip_id in zip(marks, parents, strict=True)]
    return clips, [mark + name for mark, name in zip(marks, rows["recording_id"][:], strict=True)]


def _digests_of_rows(rows: Dataset) -> Iterator[bytes]:
    if "audio" in rows.column_names:
        for batch in rows.select_columns("audio").with_format("arrow").iter(100):
            for flac in batch["audio"].combine_chunks().field("bytes"):
                yield flac_digest(memoryview(flac.as_buffer()))


def names_a_recording(file: str) -> bool:
    """True for a name that holds the number of a Freesound recording: who has not heard it has not heard the file."""
    return any(True for _ in _recordings_of_file(file))


def _names_of_file(file: str) -> Iterator[str]:
    """Names that a clip in this file may have: its path from any of the folders that it lies in."""
    parts = PurePath(os.path.splitext(file)[0]).parts
    for first in range(len(parts)):
        yield (name := "/".join(parts[first:]))
        yield _SAMPLE + name


def _recordings_of_file(file: str) -> Iterator[str]:
    stem = PurePath(os.path.splitext(file)[0]).name
    for pattern in _FREESOUND_NAMES:
        if found := pattern.fullmatch(stem):
            yield (name := f"{URBANSOUND8K}/{found[1]}")
            yield _SAMPLE + name


def _hashes(names: Iterable[str]) -> np.ndarray:
    return _hashes_of_contents(map(os.fsencode, names))


def _hashes_of_contents(contents: Iterable[bytes]) -> np.ndarray:
    digests = b"".join(hashlib.blake2b(content, digest_size=_BYTES).digest() for content in contents)
    return np.frombuffer(digests, _HASH)


def _pack(hashes: np.ndarray) -> str:
    return base64.b64encode(hashes.astype(_HASH).tobytes()).decode("ascii")


def _unpack(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text, validate=True), _HASH)
