"""Background: sounds that are none of the classes, from a folder, as rows of the class `other`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, Features, Value, concatenate_datasets

from quaclrs.audio import load_audio
from quaclrs.audio.encoding import encode_flac
from quaclrs.augment.draws import clip_key
from quaclrs.augment.noise_recordings import NoiseRecording, find_noise
from quaclrs.code_version import DECODING, code_version
from quaclrs.errors import QuaclrsError
from quaclrs.labels import OTHER
from quaclrs.models import LogMelConfig

#: Windows that are taken of a long recording, spread evenly over it.
_MOST_WINDOWS = 8

#: Source of these rows, and what their `clip_id` begins with.
BACKGROUND = "background"


@dataclass(frozen=True)
class Background:
    """Rows of background beside a data set's.

    Attributes:
        rows: `audio`, `clip_id`, `recording_id`, `source` and `kind`.
        held_out: (rows,) True for the kinds that a run does not train on.
    """

    rows: Dataset
    held_out: np.ndarray

    @property
    def description(self) -> str:
        """One line on clips and kinds."""
        kinds = np.array(self.rows["kind"][:])
        held = sorted(set(kinds[self.held_out].tolist()))
        told = f"; {self.held_out.sum()} more of {len(held)} kinds are held out: {', '.join(held)}" if held else ""
        return (
            f"{OTHER}: {(~self.held_out).sum()} clips of {len(set(kinds[~self.held_out].tolist()))} kinds train{told}"
        )


@dataclass(frozen=True)
class BackgroundFolder:
    """Sounds that are none of the classes: `folder`, a folder a kind, but for the kinds `without`."""

    folder: str
    without: Sequence[str] = ()

    def load(self, sampling_rate: int, seconds: float, folds: Sequence[int], test_fold: int | None) -> Background:
        """Read the folder, and hold out the kinds of the test fold.

        Kinds are dealt to folds in turn, whole, so that cross-validation tests each by models that never heard it.
        In a folder without folders a kind is a recording's source (see `noise_recordings.source_of`).

        Args:
            sampling_rate: Hz at which rows are stored.
            seconds: of a window; longer recordings give up to eight.
            folds: that kinds are dealt to.
            test_fold: one of them; None where nothing is held out.

        Raises:
            QuaclrsError: the folder holds no sound, `without` names a folder that is not there, or one kind is left.
            AudioError: a file is not audio.
        """
        found = find_noise(self.folder)
        flat = len({recording.category for recording in found}) == 1
        kind_of = {r.name: r.source if flat else "-".join(Path(r.category).parts) for r in found}
        if unknown := sorted(set(self.without) - set(kind_of.values())):
            raise QuaclrsError(f"--background-without {unknown[0]}: {self.folder} has no such folder; leave it out")
        found = [recording for recording in found if kind_of[recording.name] not in self.without]
        kinds = sorted({kind_of[recording.name] for recording in found})
        if len(kinds) < 2:
            raise QuaclrsError(f"--background {self.folder} holds one kind of sound; give two, to test with one")
        groups = min(len(folds), len(kinds))
        tested = None if test_fold is None else list(folds).index(test_fold) % groups
        held_out = {kind for place, kind in enumerate(kinds) if place % groups == tested}
        rows = _decoded(found, [kind_of[recording.name] for recording in found], sampling_rate, seconds)
        return Background(rows, np.array([kind in held_out for kind in rows["kind"][:]], dtype=bool))


@dataclass(frozen=True)
class UnderBackground:
    """Puts a clip under background at a drawn ratio, for `ClipTransform(augment=...)`: a faint dog in rain is a dog.

    Attributes:
        rows: of background, decoded when they are drawn.
        snr_db: lowest and highest ratio of the clip's mean power to the background's, dB.
    """

    rows: Dataset
    snr_db: tuple[float, float] = (0.0, 20.0)

    def __call__(self, waveform: np.ndarray, sampling_rate: int, generator: np.random.Generator) -> np.ndarray:
        """Mix one clip.

        Args:
            waveform: (samples,), mono.
            sampling_rate: of it, in Hz.
            generator: to draw background and ratio from.
        """
        row = self.rows[int(generator.integers(len(self.rows)))]
        background = np.resize(load_audio(row["audio"]["bytes"], sampling_rate), len(waveform))
        ratio = 10 ** (-generator.uniform(*self.snr_db) / 20)
        level, loudness = (float(np.sqrt(np.mean(np.square(sound)))) for sound in (waveform, background))
        return waveform + background * np.float32(ratio * level / loudness) if loudness > 0 else waveform


def append_background(dataset: Dataset, labels: np.ndarray, background: Dataset, other: int) -> Dataset:
    """A data set with rows of background after its own, and labels that are plain numbers.

    Args:
        dataset: rows of a data set.
        labels: of these rows.
        background: rows of `load_background`.
        other: label of background.
    """
    features = {name: feature for name, feature in dataset.features.items() if name != "label"}
    numbered = dataset.remove_columns("label").add_column("label", labels.tolist(), feature=Value("int64"))
    missing = {name: [None] * len(background) for name in features if name not in background.column_names}
    extended = background.remove_columns([n for n in background.column_names if n not in features])
    for name, values in missing.items():
        extended = extended.add_column(name, values, feature=features[name])
    extended = extended.add_column("label", [other] * len(background), feature=Value("int64"))
    wanted = Features({**features, "label": Value("int64")})
    return concatenate_datasets(
        [numbered.select_columns(list(wanted)), extended.select_columns(list(wanted)).cast(wanted)]
    )


def kind_of(clip_id: str) -> str:
    """The kind of a row of background by its name; empty of a clip of the data set."""
    return clip_id.split("/")[1] if clip_id.startswith(f"{BACKGROUND}/") else ""


def _decoded(found: Sequence[NoiseRecording], kinds: Sequence[str], sampling_rate: int, seconds: float) -> Dataset:
    """Rows of windows as 16-bit FLAC, in the cache of `datasets`: made once for these files and this code."""

    # Most of a short sound's clip can be digital silence, which is none of its kind.
    sounding = LogMelConfig(pad_mode="repeat")

    def rows(state: str) -> Iterator[dict[str, Any]]:
        for recording, kind in zip(found, kinds, strict=True):
            waveform = sounding.trim(recording.read(sampling_rate))
            name = f"{BACKGROUND}/{kind}/{Path(recording.name).stem}"
            for number, window in enumerate(_windows(waveform, round(seconds * sampling_rate))):
                clip_id = f"{name}/window-{number}" if number else name
                yield {
                    "audio": {"bytes": encode_flac(window, sampling_rate), "path": None},
                    "clip_id": clip_id,
                    "recording_id": f"{BACKGROUND}/{recording.source}",
                    "source": BACKGROUND,
                    "kind": kind,
                }

    audio = {"bytes": Value("binary"), "path": Value("string")}
    texts = dict.fromkeys(("clip_id", "recording_id", "source", "kind"), Value("string"))
    # A part of the cache's key; a list would be dealt out to processes, each of which makes all rows.
    state = repr([code_version(DECODING), *((recording.name, _state(recording)) for recording in found)])
    return Dataset.from_generator(rows, features=Features({"audio": audio, **texts}), gen_kwargs={"state": state})


def _windows(waveform: np.ndarray, samples: int) -> Iterator[np.ndarray]:
    count = min(_MOST_WINDOWS, max(1, len(waveform) // samples))
    spare = max(0, len(waveform) - samples)
    for number in range(count):
        first = round(spare * (number + 0.5) / count)
        yield waveform[first : first + samples]


def _state(recording: NoiseRecording) -> Any:
    """Something that changes when a recording does."""
    if isinstance(recording.content, bytes):
        return clip_key(recording.content.hex())
    found = recording.content.stat()
    return found.st_size, found.st_mtime_ns
