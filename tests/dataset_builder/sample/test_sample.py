"""The embedded sample against what the real sources look like, and against how hard it is meant to be."""

from __future__ import annotations

import csv
import itertools
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import soxr
import timm
import torch
from scipy import fft
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier

from dataset_builder.sample import write_sample
from dataset_builder.sample.recordings import clips_of_class, generator
from dataset_builder.sample.sounds import SOUNDS, samples_in, synthesise
from dataset_builder.sample.writer import CLIPS_OF_SIREN, write_sirennet, write_urbansound8k
from quaclrs.errors import QuaclrsError
from quaclrs.labels import CLASS_NAMES, SIRENNET_CLASSES

# classID of every class in the published UrbanSound8K.csv.
OFFICIAL_IDS = {
    "air_conditioner": 0,
    "car_horn": 1,
    "children_playing": 2,
    "dog_bark": 3,
    "drilling": 4,
    "engine_idling": 5,
    "gun_shot": 6,
    "jackhammer": 7,
    "street_music": 9,
}


@dataclass(frozen=True)
class Clip:
    path: Path
    class_name: str
    recording: str
    fold: int


def urbansound8k_rows(sources: Path) -> list[dict[str, str]]:
    with (sources / "UrbanSound8K" / "metadata" / "UrbanSound8K.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def clips(sample_sources: Path) -> list[Clip]:
    """All clips; recordings of sireNNet, which its names do not tell, are dealt to the ten folds in turn."""
    audio = sample_sources / "UrbanSound8K" / "audio"
    found = [
        Clip(audio / f"fold{row['fold']}" / row["slice_file_name"], row["class"], row["fsID"], int(row["fold"]))
        for row in urbansound8k_rows(sample_sources)
    ]
    for class_name in SIRENNET_CLASSES:
        recording_of = np.repeat(np.arange(len(CLIPS_OF_SIREN)), CLIPS_OF_SIREN)
        numbers = generator(0, class_name, len(CLIPS_OF_SIREN)).permutation(len(recording_of)) + 1
        for number, recording in zip(numbers, recording_of, strict=True):
            path = sample_sources / "sireNNet" / class_name / f"sound_{number}.wav"
            found.append(Clip(path, class_name, f"{class_name}{recording}", int(recording) % 10 + 1))
    return found


def accuracy_by_fold(classifier, inputs: np.ndarray, clips: list[Clip], folds) -> np.ndarray:
    """Accuracy on each held-out fold of a classifier fitted on the other nine."""
    labels = np.array([clip.class_name for clip in clips])
    fold_of = np.array([clip.fold for clip in clips])
    return np.array(
        [
            classifier.fit(inputs[fold_of != k], labels[fold_of != k]).score(inputs[fold_of == k], labels[fold_of == k])
            for k in folds
        ]
    )


def log_mel(path: Path) -> np.ndarray:
    """The front end of the paper, Table 1, by librosa: (128, 376) in [0, 1], low frequency at the bottom."""
    waveform, rate = soundfile.read(path, dtype="float32", always_2d=True)
    waveform = soxr.resample(waveform.mean(axis=1), rate, 48_000)[:192_000]
    power = librosa.feature.melspectrogram(
        y=np.pad(waveform, (0, 192_000 - len(waveform))), sr=48_000, n_fft=2048, hop_length=512, fmin=20, fmax=8000
    )
    return librosa.power_to_db(power, ref=np.max, top_db=80)[::-1] / 80 + 1


def test_every_row_of_the_metadata_names_a_clip_of_the_official_form(sample_sources):
    rows = urbansound8k_rows(sample_sources)
    columns = ["slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class"]
    assert list(rows[0]) == columns
    for row in rows:
        assert int(row["classID"]) == OFFICIAL_IDS[row["class"]]
        assert row["slice_file_name"].split("-")[:2] == [row["fsID"], row["classID"]]
        assert row["salience"] in ("1", "2")
        path = sample_sources / "UrbanSound8K" / "audio" / f"fold{row['fold']}" / row["slice_file_name"]
        assert soundfile.info(path).duration == pytest.approx(float(row["end"]) - float(row["start"]), abs=1e-4)
    assert len({row["slice_file_name"] for row in rows}) == len(rows)
    assert len(list((sample_sources / "UrbanSound8K").rglob("*.wav"))) == len(rows)


def test_the_sample_holds_about_400_clips_of_13_classes_with_nine_of_them_in_all_ten_folds(sample_sources, clips):
    assert 380 <= len(clips) <= 420
    assert {clip.class_name for clip in clips} == set(CLASS_NAMES)
    folds = defaultdict(set)
    for row in urbansound8k_rows(sample_sources):
        folds[row["class"]].add(int(row["fold"]))
    assert all(folds[class_name] == set(range(1, 11)) for class_name in OFFICIAL_IDS)
    for class_name in SIRENNET_CLASSES:
        names = {path.name for path in (sample_sources / "sireNNet" / class_name).iterdir()}
        assert names == {f"sound_{number}.wav" for number in range(1, 34)}


def test_a_recording_of_urbansound8k_lies_in_one_fold_and_one_class(sample_sources):
    places = defaultdict(set)
    for row in urbansound8k_rows(sample_sources):
        places[row["fsID"]].add((row["fold"], row["class"]))
    assert all(len(place) == 1 for place in places.values())
    assert len(places) < len(urbansound8k_rows(sample_sources))  # some recordings give several clips


def test_both_sources_say_that_they_are_synthetic(sample_sources):
    for source in ("UrbanSound8K", "sireNNet"):
        notice = (sample_sources / source / "SYNTHETIC.md").read_text()
        assert "synthesised by quaclrs" in notice
        assert "Apache" in notice


def test_every_class_has_short_and_long_clips_several_rates_mono_and_stereo(clips):
    of_class = defaultdict(list)
    for clip in clips:
        of_class[clip.class_name].append(soundfile.info(clip.path))
    for class_name, infos in of_class.items():
        seconds = [info.duration for info in infos]
        assert 0.3 <= min(seconds) < 0.8, class_name
        assert 3.0 < max(seconds) <= 4.0, class_name
        assert len({info.samplerate for info in infos}) >= 3, class_name
        assert {info.channels for info in infos} == {1, 2}, class_name


def test_no_clip_is_silent_clipped_or_at_a_level_that_all_share(clips):
    peaks = []
    for clip in clips:
        waveform, _ = soundfile.read(clip.path)
        peaks.append(np.abs(waveform).max())
    assert min(peaks) > 0.005
    assert max(peaks) < 1.0
    assert np.std(20 * np.log10(peaks)) > 3.0


def test_a_class_is_the_same_whether_or_not_others_are_written_and_another_seed_gives_others(sample_sources, tmp_path):
    for seed in (0, 6):
        write_sirennet(tmp_path / f"{seed}" / "sireNNet", seed, classes=("police",))
        write_urbansound8k(tmp_path / f"{seed}" / "UrbanSound8K", seed, classes=("dog_bark",))
    again, other = (
        {path.relative_to(tmp_path / f"{seed}"): path.read_bytes() for path in (tmp_path / f"{seed}").rglob("*.wav")}
        for seed in (0, 6)
    )
    assert len(again) == 33 + 30  # clips of a siren, and of one of the nine
    for path, content in again.items():
        assert content == (sample_sources / path).read_bytes(), path
    assert not set(again.values()) & set(other.values())


def test_clips_of_one_siren_recording_share_a_second_or_the_whole_of_the_shorter_one():
    for recording, bounds in clips_of_class(3, "ambulance", (3, 3, 3, 3), overlap=1.0):
        for (start, end), (next_start, next_end) in itertools.pairwise(bounds):
            shared = min(end, next_end) - max(start, next_start)
            assert shared >= min(round(recording.format.rate), end - start, next_end - next_start) - 1


@pytest.mark.parametrize("class_name", ["ambulance", pytest.param("traffic", marks=pytest.mark.weekly)])
def test_cross_correlation_finds_the_clips_of_one_siren_recording_and_no_others(clips, class_name):
    """Highest normalised cross-correlation at 4 kHz of any 0.75 s of one clip (every 0.25 s) with another."""
    chosen = [c for c in clips if c.class_name == class_name and soundfile.info(c.path).duration > 1.5]
    waves = []
    for clip in chosen:
        waveform, rate = soundfile.read(clip.path, always_2d=True)
        waves.append(soxr.resample(waveform.mean(axis=1), rate, 4000))

    def similarity(one: np.ndarray, other: np.ndarray) -> float:
        total = np.cumsum(np.concatenate(([0.0], other**2)))
        energy = total[3000:] - total[:-3000]
        starts = range(0, len(one) - 3000, 1000)
        templates = np.stack([one[start : start + 3000] - one[start : start + 3000].mean() for start in starts])
        size = fft.next_fast_len(len(other), real=True)
        match = fft.irfft(fft.rfft(other, size) * fft.rfft(templates, size).conj(), size)[:, : len(energy)]
        return float((np.abs(match) / np.sqrt(energy * (templates**2).sum(axis=1, keepdims=True))).max())

    of_one = set()
    for i, one in enumerate(chosen):
        for j, other in enumerate(chosen[:i]):
            value = similarity(waves[i], waves[j])
            of_one.add(one.recording == other.recording)
            assert (value > 0.75) == (one.recording == other.recording), (one, other, value)
    assert of_one == {True, False}


def test_every_source_sounds_different_from_recording_to_recording():
    for class_name in SOUNDS:
        one, other = (synthesise(class_name, np.random.default_rng(seed), samples_in(2.0)) for seed in (0, 1))
        assert np.isfinite(one).all() and np.std(one) > 0, class_name
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.3, class_name


def test_writing_over_existing_sources_is_refused_and_leaves_them_alone(tmp_path):
    kept = tmp_path / "sireNNet" / "real.txt"
    kept.parent.mkdir()
    kept.write_text("real")
    with pytest.raises(QuaclrsError, match="sireNNet exists already"):
        write_sample(tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["sireNNet", "real.txt"]


def test_a_negative_seed_is_refused(tmp_path):
    with pytest.raises(QuaclrsError, match="seed -1"):
        write_sample(tmp_path / "out", seed=-1)


def test_duration_rate_and_channels_alone_tell_no_class(clips):
    infos = [soundfile.info(clip.path) for clip in clips]
    traits = np.array([(info.duration, info.samplerate, info.channels) for info in infos])
    forest = RandomForestClassifier(25, random_state=0)
    assert accuracy_by_fold(forest, traits, clips, range(1, 11)).mean() < 0.25


@pytest.mark.weekly
def test_a_random_frozen_resnet18_scores_between_a_quarter_and_three_fifths(clips):
    spectrograms = torch.from_numpy(np.stack([log_mel(clip.path) for clip in clips]).copy())[:, None]
    torch.manual_seed(0)
    network = timm.create_model("resnet18", num_classes=0).eval()
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    embeddings = []
    with torch.inference_mode():
        for batch in spectrograms.split(16):
            images = torch.nn.functional.interpolate(batch, (224, 224), mode="bilinear").repeat(1, 3, 1, 1)
            embeddings.append(network((images - mean[:, None, None]) / std[:, None, None]).numpy())
    nearest = KNeighborsClassifier(5, metric="cosine")
    scores = accuracy_by_fold(nearest, np.concatenate(embeddings), clips, range(1, 11))
    assert scores.min() >= 0.25
    assert scores.max() <= 0.60
