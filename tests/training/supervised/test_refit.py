"""A probe that trains once more with the validation clips: what it hears then, and what stays."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
import yaml
from launching import accelerate_launch
from safetensors.torch import load_file
from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

from quaclrs import load_classifier, load_urbansound13
from quaclrs.data import plan_folds
from quaclrs.errors import QuaclrsError
from quaclrs.evaluation.training_data import TrainingData
from quaclrs.transforms import ClipTransform
from training.supervised.config import SupervisedConfig
from training.train_supervised import train

FOLD = 2

RECIPE = Path(__file__).parents[3] / "training" / "configs" / "default_model.yaml"


def config(dataset: Path, output_dir: Path, **options: Any) -> SupervisedConfig:
    probe = {
        "backbone": "test_efficientnet",
        "image_size": 32,
        "mode": "linear_probe",
        "epochs": 30,
        "decode_once": True,
    }
    probe |= {"initial_weights": "random", "keep_epoch": "last", "class_offsets": True, "learning_rate": 0.01}
    return SupervisedConfig(
        dataset=str(dataset), output_dir=str(output_dir), test_fold=FOLD, **{**probe, "refit": True, **options}
    )


@pytest.fixture(scope="module")
def runs(small_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Any]:
    """Folder and metrics of a probe with and without a second training."""
    folder = tmp_path_factory.mktemp("refit")
    return {
        refit: (folder / str(refit), train(config(small_sample, folder / str(refit), refit=refit)))
        for refit in (False, True)
    }


def accuracy_of(run: Path, dataset: Path, split: str) -> float:
    rows = load_urbansound13(dataset)
    rows = rows.select(getattr(plan_folds(rows, FOLD, "strict"), split))
    model = AutoModelForAudioClassification.from_pretrained(run / "model").eval()
    transform = ClipTransform(AutoFeatureExtractor.from_pretrained(run / "model"))
    clips = transform(rows[:])
    with torch.inference_mode():
        logits = model(input_values=torch.stack([torch.as_tensor(clip) for clip in clips["input_values"]])).logits
    return float((logits.argmax(-1).numpy() == np.array(rows["label"][:])).mean())


def test_validation_clips_are_learned_the_second_time_and_test_clips_never(runs, small_sample):
    (first, _), (second, metrics) = runs[False], runs[True]
    dataset = load_urbansound13(small_sample)
    plan = plan_folds(dataset, FOLD, "strict")
    assert metrics.clips_refit == len(plan.train) + len(plan.validation)
    assert accuracy_of(second, small_sample, "validation") > accuracy_of(first, small_sample, "validation") + 0.1
    saved = AutoModelForAudioClassification.from_pretrained(second / "model").config.training_data
    heard = TrainingData.of_model(saved)
    assert heard.has_heard(dataset.select(plan.validation), "strict").all()
    assert not heard.has_heard(dataset.select(plan.test), "strict").any()
    card = (second / "model" / "README.md").read_text()
    assert f"then from the start on {len(plan.train) + len(plan.validation)} clips" in card and "best of" not in card
    assert metrics.figures["accuracy"] == pytest.approx(accuracy_of(second, small_sample, "test"))


def test_offsets_and_validation_accuracy_are_those_of_the_first_training(runs):
    (_, first), (_, second) = runs[False], runs[True]
    assert first.clips_refit is None
    assert second.class_offsets == first.class_offsets
    assert second.validation_accuracy == first.validation_accuracy


def test_a_run_killed_between_its_trainings_ends_as_one_that_was_not(runs, small_sample, tmp_path):
    shutil.copytree(runs[True][0], tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "model")
    (tmp_path / "run" / "metrics.json").unlink()
    train(config(small_sample, tmp_path / "run", resume="auto"))
    found, wanted = (load_file(run / "model" / "model.safetensors") for run in (tmp_path / "run", runs[True][0]))
    assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())


def test_the_packages_recipe_saves_a_model_that_hears_what_its_probe_heard(small_sample, tmp_path):
    shutil.copytree(small_sample, tmp_path / "sample")
    for file in (tmp_path / "sample" / "data").glob("fold*"):
        if file.name[:6] not in ("fold01", "fold02", "fold03"):
            file.unlink()
            continue
        table = pq.read_table(file)  # of five classes: two networks hear every clip three times
        kept = [row for row, label in enumerate(table["label"].to_pylist()) if label in (1, 3, 7, 9, 11)]
        pq.write_table(table.take(kept), file)
    generator = np.random.default_rng(0)
    for place, kind in enumerate(("cat", "rain", "wind")):
        (tmp_path / "noise" / kind).mkdir(parents=True)
        for number in range(2):
            noise = generator.normal(0, 0.02 * (place + 1), 16_000)
            soundfile.write(tmp_path / "noise" / kind / f"1-{place}{number}-A-{place}.wav", noise, 16_000)
    recipe = yaml.safe_load(RECIPE.read_text())
    own = {"epochs": 3, "background": str(tmp_path / "noise"), "background_without": "", "decode_once": True}
    options = {"dataset": str(tmp_path / "sample"), "output_dir": str(tmp_path / "run"), "test_fold": FOLD}
    metrics = train(SupervisedConfig(**recipe | own | options))

    dataset = load_urbansound13(tmp_path / "sample")
    plan = plan_folds(dataset, FOLD, "strict")
    assert metrics.clips_refit == len(plan.train) + len(plan.validation) + 4  # two clips of two of three kinds
    with (tmp_path / "run" / "predictions_other.csv").open() as file:
        header, *rows = csv.reader(file)
    scores = {row[0]: dict(zip(header[4:], map(float, row[4:]), strict=True)) for row in rows}
    classifier = load_classifier(tmp_path / "run" / "model", device="cpu")
    for clip in dataset.select(plan.test[:3]):
        predicted = {entry["label"]: entry["score"] for entry in classifier.predict(clip["audio"]["bytes"], top_k=None)}
        assert predicted == pytest.approx(scores[clip["clip_id"]], abs=2e-3)


@pytest.mark.weekly
def test_two_processes_train_twice_and_agree_with_the_model_that_they_save(small_sample, tmp_path):
    arguments = ["--dataset", str(small_sample), "--test-fold", str(FOLD), "--output-dir", str(tmp_path / "run")]
    options = "--backbone test_efficientnet --image-size 32 --mode linear_probe --epochs 3 --batch-size 7"
    options += " --initial-weights random --keep-epoch last --class-offsets --refit"
    result = accelerate_launch([*arguments, *options.split()], processes=2)
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout.count("once more from the start") == 1
    dataset = load_urbansound13(small_sample)
    plan = plan_folds(dataset, FOLD, "strict")
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["num_processes"] == 2
    assert metrics["clips_refit"] == len(plan.train) + len(plan.validation)
    with (tmp_path / "run" / "predictions.csv").open() as file:
        clips = [row["clip_id"] for row in csv.DictReader(file)]
    assert sorted(clips) == sorted(dataset.select(plan.test)["clip_id"][:])
    accuracy = accuracy_of(tmp_path / "run", small_sample, "test")
    assert metrics["accuracy"] == pytest.approx(accuracy)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"mode": "scratch"}, "--refit is for --mode linear_probe"),
        ({"augment_on": "device"}, "--refit is for --mode linear_probe"),
        ({"keep_epoch": "best"}, "--keep-epoch last"),
        ({"patience": 2}, "without --patience"),
        ({"labelled_recordings": 3}, "few labels"),
        ({"label_fraction": 0.5}, "few labels"),
        ({"max_clips_per_class": 5}, "--max-clips-per-class"),
        ({"lr_scheduler": "reduce_lr_on_plateau"}, "reduce_lr_on_plateau"),
    ],
)
def test_what_needs_validation_clips_to_the_end_is_refused_in_a_line(options, named, tmp_path):
    with pytest.raises(QuaclrsError) as error:
        config(tmp_path, tmp_path / "run", **options)
    assert named in str(error.value) and "\n" not in str(error.value)
