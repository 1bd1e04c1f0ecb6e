"""The paper's protocol end to end: every split holds originals and augmented copies, made as they are loaded."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

from quaclrs import load_urbansound13
from quaclrs.audio import load_audio
from quaclrs.augment import VariantLogMel
from quaclrs.errors import QuaclrsError
from quaclrs.labels import CLASS_NAMES
from quaclrs.models import LogMelSpectrogram, QuaclrsFeatureExtractor
from training.clips.splits import load_splits
from training.cross_validate import CrossValidationConfig, cross_validate
from training.ssl.config import SSLConfig
from training.supervised.config import SupervisedConfig
from training.train_ssl import train_ssl
from training.train_supervised import main, train

SMALLEST = {
    "test_fold": 2,
    "backbone": "test_efficientnet",
    "image_size": 32,
    "epochs": 1,
    "batch_size": 26,
    "learning_rate": 0.01,
    "max_clips_per_class": 8,
    "protocol": "paper",
    "fill_per_fold": 6,
}


def config(dataset, output_dir, **options) -> SupervisedConfig:
    return SupervisedConfig(dataset=str(dataset), output_dir=str(output_dir), **{**SMALLEST, **options})


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Sums of several threads round differently, and workers have one each."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def run(sample_dataset, tmp_path_factory, one_thread) -> Path:
    folder = tmp_path_factory.mktemp("paper") / "run"
    train(config(sample_dataset, folder))
    return folder


def predictions(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "predictions.csv").open()))


def metrics_of(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())


@pytest.mark.parametrize("whole", [True, False])
def test_every_split_is_filled_with_copies_and_says_how_many(sample_dataset, whole):
    limit = None if whole else 8
    options = config(sample_dataset, "unused", max_clips_per_class=limit)
    splits = load_splits(options, QuaclrsFeatureExtractor())
    for split, of_class in ((splits.train, 48 if whole else 8), (splits.validation, 6), (splits.test, 6)):
        assert np.bincount(split.labels).tolist() == [of_class] * 13
        assert len(set(split.clip_ids)) == len(split)
        assert any("#" in clip_id for clip_id in split.clip_ids)
    by_fold = load_urbansound13(sample_dataset)
    dealt = {c for c, fold in zip(by_fold["clip_id"], by_fold["fold_paper"], strict=True) if fold == 2}
    assert {clip_id for clip_id in splits.test.clip_ids if "#" not in clip_id} == dealt
    assert {clip_id.partition("#")[0] for clip_id in splits.test.clip_ids} == dealt
    counted = {line.split()[0]: line.split()[1:] for line in splits.description.splitlines() if "  " in line}
    assert counted["ambulance"][-3:] == ["4", "+", "2"]
    assert counted["all"][-3:] == [str(len(dealt)), "+", str(78 - len(dealt))]


def test_the_run_trains_validates_and_tests_on_copies_and_warns(run, sample_dataset):
    metrics, rows = metrics_of(run), predictions(run)
    assert (metrics["clips_train"], metrics["clips_validation"], metrics["clips"]) == (104, 78, 78)
    assert Counter(row["label"] for row in rows) == dict.fromkeys(CLASS_NAMES, 6)
    assert {row["fold"] for row in rows} == {"2"}
    assert any("optimistic" in warning for warning in metrics["warnings"])
    assert metrics["augment"] == "copies"
    correct = [max(CLASS_NAMES, key=lambda name: float(row[name])) == row["label"] for row in rows]
    assert metrics["accuracy"] == pytest.approx(np.mean(correct))


def test_a_copys_prediction_is_that_of_the_saved_model_on_the_variant_of_its_clip(run, sample_dataset):
    model = AutoModelForAudioClassification.from_pretrained(run / "model").eval()
    extractor = AutoFeatureExtractor.from_pretrained(run / "model")
    make = VariantLogMel(LogMelSpectrogram(), seed=0)
    audio_of = {row["clip_id"]: row["audio"]["bytes"] for row in load_urbansound13(sample_dataset)}
    seen = set()
    for row in predictions(run)[::5]:
        parent, _, variant = row["clip_id"].partition("#")
        waveform = load_audio(audio_of[parent], 48_000)
        with torch.no_grad():
            if variant:
                logits = model(input_features=make(waveform, row["clip_id"])[None]).logits
            else:
                logits = model(**extractor(waveform, sampling_rate=48_000, return_tensors="pt")).logits
        np.testing.assert_allclose(logits.softmax(-1)[0], [float(row[name]) for name in CLASS_NAMES], atol=1e-4)
        seen.add(variant)
    assert "" in seen and len(seen) > 3


def test_workers_and_decoding_once_give_the_same_and_another_seed_gives_other_copies(run, sample_dataset, tmp_path):
    train(config(sample_dataset, tmp_path / "workers", num_workers=2, decode_once=True))
    assert predictions(tmp_path / "workers") == predictions(run)
    one, other = (load_splits(config(sample_dataset, "o", seed=seed), QuaclrsFeatureExtractor()) for seed in (0, 1))
    assert one.test.clip_ids == other.test.clip_ids
    row = next(i for i, clip_id in enumerate(one.test.clip_ids) if "#noise" in clip_id)
    first, again, differing = (split.dataset[row]["input_features"] for split in (one.test, one.test, other.test))
    np.testing.assert_array_equal(first, again)
    assert (first != differing).any()
    np.testing.assert_array_equal(one.test.plain().dataset[row]["input_features"], first)


def test_cross_validation_sums_copies_up_by_the_recordings_of_their_clips(run, sample_dataset, tmp_path):
    shutil.copytree(run, tmp_path / "fold-2-seed-0")  # which is found finished
    options = {name: value for name, value in SMALLEST.items() if name != "test_fold"}
    summary = cross_validate(
        CrossValidationConfig(dataset=str(sample_dataset), output_dir=str(tmp_path), folds="2,3", **options)
    )
    assert summary["clips"] == 2 * 78
    assert any("optimistic" in warning for warning in summary["warnings"])
    rows = [row for fold in (2, 3) for row in predictions(tmp_path / f"fold-{fold}-seed-0")]
    correct = [max(CLASS_NAMES, key=lambda name: float(row[name])) == row["label"] for row in rows]
    assert summary["figures"]["accuracy"]["mean"] == pytest.approx(np.mean(correct))


def test_a_linear_probe_embeds_copies_once(sample_dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("training.clips.embeddings.HF_HOME", str(tmp_path / "hf"))
    options = {"mode": "linear_probe", "initial_weights": "random"}
    train(config(sample_dataset, tmp_path / "probe", **options))
    assert len(predictions(tmp_path / "probe")) == 78
    files = {file: file.stat().st_mtime_ns for file in (tmp_path / "hf" / "quaclrs" / "embeddings").iterdir()}
    assert any("#" in clip_id for file in files for clip_id in load_file(file))
    train(config(sample_dataset, tmp_path / "again", **options))
    assert {file: file.stat().st_mtime_ns for file in files} == files
    assert predictions(tmp_path / "again") == predictions(tmp_path / "probe")


def test_self_supervision_draws_views_of_the_clips_and_is_tested_on_copies(sample_dataset, tmp_path):
    options = {name: value for name, value in SMALLEST.items() if name != "learning_rate"}
    train_ssl(SSLConfig(method="simclr", dataset=str(sample_dataset), output_dir=str(tmp_path / "run"), **options))
    rows = predictions(tmp_path / "run")
    assert Counter(row["label"] for row in rows) == dict.fromkeys(CLASS_NAMES, 6)
    assert any("#" in row["clip_id"] for row in rows)
    assert any("optimistic" in warning for warning in metrics_of(tmp_path / "run")["warnings"])


def test_without_copies_the_policy_augments_and_the_strict_protocol_never_has_any(sample_dataset):
    options = config(sample_dataset, "unused", fill_per_fold=0)
    assert options.augment_on == "device"
    strict = config(sample_dataset, "unused", protocol="strict", fill_per_fold=None)
    for splits in (load_splits(each, QuaclrsFeatureExtractor()) for each in (options, strict)):
        for split in (splits.train, splits.validation, splits.test):
            assert not any("#" in clip_id for clip_id in split.clip_ids)
            assert "input_values" in split.dataset[0]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"protocol": "strict"}, "--fill-per-fold is for --protocol paper"),
        ({"protocol": "strict", "fill_per_fold": 0}, "--fill-per-fold is for --protocol paper"),
        ({"fill_per_fold": -1}, "--fill-per-fold is -1"),
        ({"augment_on": "device"}, "--augment-on device: under --protocol paper copies are the augmentation"),
        ({"augment_on": "worker", "fill_per_fold": None}, "--augment-on worker: under --protocol paper"),
        ({"labelled_recordings": "2"}, "few labels are counted in recordings"),
        ({"label_fraction": 0.5}, "few labels are counted in recordings"),
    ],
)
def test_what_has_no_meaning_is_refused_in_one_line(options, says):
    with pytest.raises(QuaclrsError) as error:
        config("d", "o", **options)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_the_papers_number_is_the_default_and_a_typed_mistake_one_line(capsys):
    assert config("d", "o", fill_per_fold=None).fill_per_fold == 449
    assert config("d", "o", fill_per_fold=None).augment_on == "none"
    typed = ["--dataset", "d", "--test-fold", "2", "--output-dir", "o", "--fill-per-fold", "6"]
    assert main(typed) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
