"""A few recordings, and what is built of them as audio, pictures and pictures of variants."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import soundfile
import torch
from PIL import Image

from dataset_builder.__main__ import main
from quaclrs.models import QuaclrsConfig, QuaclrsModel

KINDS = ("audio", "spectrogram", "augmented")


def write_sources(root: Path) -> Path:
    """Eight UrbanSound8K clips in folds 1, 2, 3 and 9, two of one recording, and a siren clip for each of ten folds."""
    clips = [(f"{fold}{i}", label, fold) for fold in (1, 2, 3) for i, label in enumerate(["dog_bark", "car_horn"])]
    clips += [("180937", "jackhammer", 1), ("180937", "drilling", 9)]
    class_ids = {"car_horn": 1, "dog_bark": 3, "drilling": 4, "jackhammer": 7}
    generator = np.random.default_rng(0)
    (root / "UrbanSound8K" / "metadata").mkdir(parents=True)
    with (root / "UrbanSound8K" / "metadata" / "UrbanSound8K.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class"])
        for number, (recording, label, fold) in enumerate(clips):
            name = f"{recording}-{class_ids[label]}-0-0.wav"
            writer.writerow([name, recording, 1.5, 2.0, 1, fold, class_ids[label], label])
            waveform = 10.0 ** -(number / 2) * generator.uniform(-1, 1, round(22_050 * (0.05 + 0.7 * number)))
            path = root / "UrbanSound8K" / "audio" / f"fold{fold}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, waveform * (number != 2), 22_050)  # the third clip is silent
    for i in range(10):
        path = root / "sireNNet" / "ambulance" / f"sound_{i + 1}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.1 * generator.standard_normal((44_100, 2)), 44_100)
    return root


def build(sources: Path, output: Path, *options: str) -> int:
    given = ["--urbansound8k", str(sources / "UrbanSound8K"), "--sirennet", str(sources / "sireNNet")]
    return main(["build", *given, "--output", str(output), *options])


def rows_of(folder: Path) -> list[dict]:
    return [row for file in sorted((folder / "data").iterdir()) for row in pq.read_table(file).to_pylist()]


def pixels_of(row: dict) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])))


def picture_of(log_mel: torch.Tensor) -> np.ndarray:
    """What a model makes of a log-mel before it normalises: (224, 224, 3) in [0, 255]."""
    config = QuaclrsConfig(backbone="mobilenetv3_small_050", image_mean=[0.0] * 3, image_std=[1.0] * 3)
    return 255 * QuaclrsModel(config).pictures(log_mel[None])[0].permute(1, 2, 0).numpy()


def waveform_of(row: dict) -> np.ndarray:
    return soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="float32")[0]


def assert_is_the_picture(row: dict, expected: np.ndarray) -> None:
    # Half a grey level of rounding, and what the order of sums makes.
    assert np.abs(pixels_of(row) - expected).max() < 0.5 + 0.01, row["clip_id"]
