"""Clips on disk, laid out as UrbanSound8K and sireNNet are."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from quaclrs.labels import SIRENNET_CLASSES, URBANSOUND8K_CLASSES

from ..sources.report import SYNTHETIC_MARKER
from ..sources.urbansound8k import METADATA_COLUMNS, OFFICIAL_CLASSES
from .recordings import Recording, clips_of_class, generator

FOLDS = 10
CLIPS_OF_FOLD = (2, 1)  # clips cut from each of a class's recordings in a fold of UrbanSound8K
CLIPS_OF_SIREN = (2,) * 15 + (3,)  # clips cut from each of a class's recordings in sireNNet
FOREGROUND_SNR = 12.0  # dB; below it the source counts as background (salience 2)

NOTICE = """# Synthetic recordings

The recordings in this folder were synthesised by quaclrs (`dataset_builder.sample`). They are not recordings of
anything: they show that everything works, not how accurate a model is. They are under the Apache License 2.0, as
quaclrs is.
"""


def write_urbansound8k(root: Path, seed: int, classes: Sequence[str] = URBANSOUND8K_CLASSES) -> None:
    """Write the nine classes (or some of them) in ten folds under `root`, with the metadata table."""
    ids = generator(seed).permutation(np.arange(10_000, 250_000))
    rows: list[tuple] = []
    for class_name in classes:
        class_id = OFFICIAL_CLASSES.index(class_name)
        recordings = clips_of_class(seed, class_name, CLIPS_OF_FOLD * FOLDS, overlap=0.0)
        for number, (recording, bounds) in enumerate(recordings):
            fold = number // len(CLIPS_OF_FOLD) + 1
            fs_id = int(ids[class_id * len(CLIPS_OF_FOLD) * FOLDS + number])
            salience = 1 if recording.snr >= FOREGROUND_SNR else 2
            for place, (start, end) in enumerate(sorted(bounds)):
                name = f"{fs_id}-{class_id}-0-{place}.wav"
                _write_clip(root / "audio" / f"fold{fold}" / name, recording, start, end)
                times = (round(start / recording.format.rate, 6), round(end / recording.format.rate, 6))
                rows.append((name, fs_id, *times, salience, fold, class_id, class_name))
    (root / "metadata").mkdir()
    with (root / "metadata" / "UrbanSound8K.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([METADATA_COLUMNS, *sorted(rows)])
    (root / SYNTHETIC_MARKER).write_text(NOTICE, encoding="utf-8")


def write_sirennet(root: Path, seed: int, classes: Sequence[str] = SIRENNET_CLASSES) -> None:
    """Write the four vehicle classes (or some of them) under `root`, numbered so that no name tells a recording."""
    for class_name in classes:
        numbers = iter(generator(seed, class_name, len(CLIPS_OF_SIREN)).permutation(sum(CLIPS_OF_SIREN)) + 1)
        for recording, bounds in clips_of_class(seed, class_name, CLIPS_OF_SIREN, overlap=1.0):
            for start, end in bounds:
                _write_clip(root / class_name / f"sound_{next(numbers)}.wav", recording, start, end)
    (root / SYNTHETIC_MARKER).write_text(NOTICE, encoding="utf-8")


def _write_clip(path: Path, recording: Recording, start: int, end: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    form = recording.format
    soundfile.write(path, recording.waveform[start:end], form.rate, subtype=form.encoding)
