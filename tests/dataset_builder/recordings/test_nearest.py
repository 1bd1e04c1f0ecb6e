"""The nearest clip of another group, against a plain loop; and what the spectrum takes for alike."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from scipy.signal import stft

from dataset_builder.recordings.nearest import mel_quantiles, nearest_in_other_groups


def test_the_nearest_is_that_of_a_plain_loop_over_clips_of_other_groups():
    rng = np.random.default_rng(0)
    descriptions, groups = rng.normal(size=(30, 8)) * rng.uniform(0.1, 10, 8), rng.integers(0, 6, 30).tolist()
    descriptions[:, 3] = 5.0  # tells nothing
    scale = np.where(descriptions.std(0) > 0, descriptions.std(0), 1)
    expected = [
        min(
            (j for j in range(30) if groups[j] != groups[i]),
            key=lambda j: np.abs((descriptions[i] - descriptions[j]) / scale)[[0, 1, 2, 4, 5, 6, 7]] @ np.abs(
                (descriptions[i] - descriptions[j]) / scale)[[0, 1, 2, 4, 5, 6, 7]],
        )
        for i in range(30)
    ]  # fmt: skip
    assert nearest_in_other_groups(descriptions, groups) == expected


def test_clips_of_one_group_have_no_nearest():
    assert nearest_in_other_groups(np.eye(3), [0, 0, 0]) == [None, None, None]
    assert nearest_in_other_groups(np.zeros((0, 4)), []) == []


def test_two_parts_of_one_noise_are_nearest_whatever_their_gain_and_rate():
    import soxr

    rng = np.random.default_rng(1)

    def hum(frequency: float) -> np.ndarray:
        time = np.arange(4 * 16000) / 16000
        return np.sin(2 * np.pi * frequency * time) + 0.1 * rng.normal(size=time.size)

    first, second = hum(500), hum(2000)
    clips = [(first[:32000], 16000), (0.1 * first[32000:], 16000), (second[:32000], 16000)]
    clips.append((soxr.resample(second[32000:], 16000, 44100), 44100))
    descriptions = np.array([mel_quantiles(*clip) for clip in clips])
    assert nearest_in_other_groups(descriptions, range(4)) == [1, 0, 3, 2]


def test_a_clip_of_one_sample_and_silence_have_finite_quantiles():
    for samples in (np.zeros(1, np.float32), np.zeros(16000, np.float32)):
        assert np.isfinite(mel_quantiles(samples, 16000)).all()


@pytest.mark.parametrize("label", ["ambulance", "firetruck"])
def test_real_sirens_whose_nearest_neighbour_is_the_next_file_share_a_fold_with_it(real_dataset: Path, label: str):
    """By thirds of octaves over time, not by the builder's own description of a clip."""
    columns = ["clip_id", "recording_id", "fold", "audio"]
    rows = [row for file in sorted((real_dataset / "data").glob("*.parquet")) for row in pq.read_table(
        file, columns=columns, filters=[("source", "=", "sirennet")]).to_pylist() if f"/{label}/" in row["clip_id"]
    ]  # fmt: skip
    descriptions = []
    for row in rows:
        samples, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]))
        frequencies, _, spectrum = stft(samples, rate, nperseg=2048)
        bands = np.digitize(frequencies, 200 * 2 ** np.arange(0, 6, 1 / 3))
        levels = np.log10([np.abs(spectrum[bands == band]).sum(axis=0) + 1e-9 for band in range(1, bands.max())])
        descriptions.append(np.concatenate([levels.mean(axis=1), levels.std(axis=1)]))
    scaled = np.array(descriptions) - np.mean(descriptions, axis=0)
    scaled /= scaled.std(axis=0)
    distances = np.linalg.norm(scaled[:, None] - scaled, axis=-1)
    recordings, folds = np.array([row["recording_id"] for row in rows]), np.array([row["fold"] for row in rows])
    distances[recordings[:, None] == recordings] = np.inf
    nearest = distances.argmin(axis=1)
    numbers = np.array([int(re.findall(r"[0-9]+", row["clip_id"])[-1]) for row in rows])
    next_door = np.abs(numbers[nearest] - numbers) <= 2
    assert next_door.mean() > 0.2  # by chance 3 %: they were cut one after the other
    assert (next_door & (folds[nearest] != folds)).mean() < 0.05
    assert np.bincount(folds)[1:].min() >= 10
