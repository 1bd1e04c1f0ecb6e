"""The test clips of a run under noise: what its network calls each of them at every signal-to-noise ratio."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import Any

import numpy as np

from quaclrs.evaluation.evaluation_clips import choose_clips
from quaclrs.evaluation.result_files import write_csv
from quaclrs.evaluation.robustness import CLEAN, GAUSSIAN, make_noise, probabilities_over_snr
from quaclrs.inference import load_classifier

from ..runs.run import Run

#: Decibels, from a faint hiss to noise that is louder than the clip.
SNRS = (20.0, 15.0, 10.0, 5.0, 0.0, -5.0)

_FILE = "under_noise.csv"


def name_of(kind: str, snr_db: float) -> str:
    """Column of a kind of noise, `gaussian` or `recorded`, at a ratio."""
    return "clean" if snr_db == CLEAN else f"{kind} {snr_db:g} dB"


def is_measured(run: Run, folder: str | None) -> bool:
    """True where the run was tested in Gaussian noise, and in that of the folder."""
    file = run.path / _FILE
    return file.is_file() and (folder is None or "recorded" in file.read_text(encoding="utf-8").split("\n", 1)[0])


def measure(run: Run, folder: str | None) -> int:
    """Test a finished run in noise, write what it calls each clip, and return 0.

    Args:
        run: of supervised training.
        folder: of recorded noise.
    """
    classifier = load_classifier(run.path / "model", backend="torch")
    clips = choose_clips(run.config.dataset, classifier.labels, run.fold, "test", "strict", None, None, False)
    columns: dict[str, np.ndarray] = {}
    for kind, source in ((GAUSSIAN, GAUSSIAN), ("recorded", folder)):
        if source is None:
            continue
        noise = make_noise(source, classifier.sampling_rate)
        ratios = SNRS if columns else (CLEAN, *SNRS)
        windows = clips.decode(classifier.log_mel_config, None, None, "whole")
        found = probabilities_over_snr(classifier, windows, clips.clip_ids, clips.classes, ratios, noise, run.seed)
        columns |= {name_of(kind, ratio): scores.argmax(axis=1) for ratio, scores in found.items()}
    names = np.array(clips.classes)
    rows = zip(clips.clip_ids, names[clips.labels], *(names[column] for column in columns.values()), strict=True)
    write_csv(run.path / _FILE, ["clip_id", "label", *columns], rows)
    return 0


def read(run: Run, names: Sequence[str]) -> dict[str, Any]:
    """`clip_id`, the `label` of each clip and what it was called, by column, as indices into the class names."""
    with (run.path / _FILE).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns = [column for column in rows[0] if column != "clip_id"]
    index = {name: place for place, name in enumerate(names)}
    called = {column: np.array([index[row[column]] for row in rows]) for column in columns}
    return {"clip_id": [row["clip_id"] for row in rows], **called}
