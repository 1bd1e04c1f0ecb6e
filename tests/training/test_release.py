"""The model in the package: trained on every clip, calibrated on clips not heard, small on disk, whole in memory."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from safetensors import safe_open

from quaclrs import load_classifier, load_urbansound13
from quaclrs.errors import QuaclrsError
from quaclrs.evaluation.training_data import TrainingData
from quaclrs.inference import OnnxClassifier
from quaclrs.models import QuaclrsConfig, QuaclrsFeatureExtractor, QuaclrsForAudioClassification
from training.cross_validate import CrossValidationConfig, cross_validate
from training.push import read_run, write_repository
from training.release import ReleaseConfig, fit_temperature, main, release, save_released
from training.runs.card import CardContext
from training.supervised.release_card import write_release_card

RECIPE = {
    "backbone": "test_efficientnet", "image_size": 32, "epochs": 1, "batch_size": 16, "pad_mode": "repeat",
    "mode": "scratch", "ema_decay": 0.9, "augment_on": "none", "keep_epoch": "last", "class_offsets": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def cross_validation(small_sample, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("release") / "cv"
    cross_validate(CrossValidationConfig(dataset=str(small_sample), output_dir=str(folder), folds="1,2", **RECIPE))
    return folder


@pytest.fixture(scope="module")
def released(small_sample, cross_validation, tmp_path_factory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("release") / "run"
    given = {"dataset": str(small_sample), "output_dir": str(folder), "cross_validation": str(cross_validation)}
    return folder, release(ReleaseConfig(**given, **RECIPE))


def test_a_release_trains_on_every_clip_and_leaves_a_model_that_classifies(released, small_sample):
    folder, metrics = released
    clips = load_urbansound13(str(small_sample))
    assert metrics["clips"] == len(clips)
    heard = TrainingData.of_model(json.loads((folder / "model" / "config.json").read_text())["training_data"])
    assert heard.has_heard(clips, "paper").all() and heard.complete
    assert heard.kept_from.startswith("it has trained on every clip of ")
    classifier = load_classifier(folder / "model", device="cpu")
    assert {p.dtype for p in classifier.model.parameters()} == {torch.float32}
    assert classifier.log_mel_config.pad_mode == "repeat"
    sound = np.random.default_rng(0).normal(0, 0.1, 48_000)
    assert sum(entry["score"] for entry in classifier.predict(sound)) == pytest.approx(1)
    assert isinstance(load_classifier(folder / "model"), OnnxClassifier) and metrics["graph"] < 1e-4
    files = {file.name for file in (folder / "model").iterdir()}
    assert {"README.md", "confusion_matrix.png"} <= files and "LICENSE" not in files  # learned from the sample alone
    assert ModelCard.load(folder / "model" / "README.md").data.license == "apache-2.0"


def test_the_offsets_of_a_release_are_the_mean_of_those_of_its_cross_validation(released, cross_validation):
    of_runs = [json.loads((cross_validation / f"fold-{fold}-seed-0/metrics.json").read_text()) for fold in (1, 2)]
    for name, offset in released[1]["class_offsets"].items():
        assert offset == pytest.approx(sum(run["class_offsets"][name] for run in of_runs) / 2)
    assert max(map(abs, released[1]["class_offsets"].values())) > 0.01


def test_transformers_too_runs_in_float32_what_is_stored_in_half_precision(released):
    from transformers import AutoModelForAudioClassification

    folder = released[0] / "model"
    with safe_open(folder / "model.safetensors", framework="numpy") as file:
        stored = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118 - it is not a mapping
    assert {d for n, d in stored.items() if n.endswith("weight")} == {"F16"}
    assert {d for n, d in stored.items() if "running_" in n} == {"F32"}
    model = AutoModelForAudioClassification.from_pretrained(folder)
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_the_card_has_the_cross_validations_figures_and_both_commands(released, cross_validation, tmp_path):
    summary = json.loads((cross_validation / "summary.json").read_text())
    config = ReleaseConfig(dataset="data", output_dir="out", cross_validation="cv", **RECIPE)
    metrics = {
        "temperature": 1.5,
        "class_offsets": {"dog_bark": 0.25, "traffic": -0.5, "police": 0.1},
        "clips": 402,
        "background_clips": 0,
        "synthetic": False,
        "open_set": None,
        "calibration_error": 0.02,
    }
    write_release_card(tmp_path, config, cross_validation, summary, metrics, "command", CardContext())
    (accuracy,) = [r for r in ModelCard.load(tmp_path / "README.md").data.eval_results if r.metric_type == "accuracy"]
    assert accuracy.metric_value == pytest.approx(summary["figures"]["accuracy"]["mean"], abs=1e-4)
    assert "from -0.50 (traffic) to +0.25 (dog_bark), and logits are divided by 1.50" in (
        (tmp_path / "README.md").read_text()
    )

    card = ModelCard.load(released[0] / "model" / "README.md")
    assert card.data.eval_results is None  # the sample is synthetic: its figures are none of the data set's
    figure = summary["figures"]["accuracy"]
    assert f"{100 * figure['mean']:.1f} ± {100 * figure['std']:.1f}%" in card.text
    assert "python -m training.cross_validate --dataset sample --output-dir cv " in card.text
    assert "python -m training.release --" in card.text
    assert str(cross_validation) not in card.text  # a machine's own folders are nobody else's business
    assert summary["scope"] in card.text and "{{" not in card.text
    rows = json.loads((released[0] / "record.json").read_text())["rows"]
    (kept,) = [row["share"] for row in rows if row.get("figure") == "accuracy"]
    assert (kept["value"], kept["std"]) == pytest.approx((figure["mean"], figure["std"]))


def test_the_temperature_of_scores_that_are_three_times_too_sure_is_three():
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 1.5, (20_000, 5))
    true = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (true.cumsum(1) > generator.random((20_000, 1))).argmax(1)
    sure = np.exp(3 * logits) / np.exp(3 * logits).sum(1, keepdims=True)
    assert fit_temperature(labels, sure) == pytest.approx(3, rel=0.05)
    assert fit_temperature(labels, true) == pytest.approx(1, rel=0.05)


def test_the_temperature_and_the_offsets_are_in_the_weights_and_rounding_to_half_precision_is_small(tmp_path):
    torch.manual_seed(0)
    config = QuaclrsConfig(backbone="mobilenetv3_small_050", num_labels=3, log_mel={"image_size": 32})
    model = QuaclrsForAudioClassification(config).eval()
    log_mels = torch.rand(4, 128, 376)
    with torch.no_grad():
        before = model(input_features=log_mels).logits
    offsets = {"LABEL_1": 1.5, "no class of it": 9.0}
    rounding = save_released(model, QuaclrsFeatureExtractor({"image_size": 32}), 2.5, tmp_path, offsets)
    assert 0 < rounding < 2**-10
    loaded = QuaclrsForAudioClassification.from_pretrained(tmp_path, dtype=torch.float32).eval()
    with torch.no_grad():
        after = loaded(input_features=log_mels).logits
    torch.testing.assert_close(after, (before + torch.tensor([0, 1.5, 0])) / 2.5, atol=5e-3, rtol=5e-3)


@pytest.mark.parametrize(("name", "value"), [("epochs", 2), ("image_size", 64), ("label_smoothing", 0.1)])
def test_a_cross_validation_of_another_recipe_is_refused(name, value, small_sample, cross_validation, tmp_path):
    given = {"dataset": str(small_sample), "output_dir": str(tmp_path / "run")}
    given["cross_validation"] = str(cross_validation)
    with pytest.raises(QuaclrsError, match=f"had {name} .*, not {value}"):
        release(ReleaseConfig(**given, **{**RECIPE, name: value}))
    assert not (tmp_path / "run").exists()


def test_a_cross_validation_from_before_an_option_had_its_default(small_sample, cross_validation, tmp_path):
    older = tmp_path / "cv"
    shutil.copytree(cross_validation, older)
    for file in older.glob("fold-*/config.yaml"):
        began = yaml.safe_load(file.read_text())
        del began["class_offsets"]
        file.write_text(yaml.safe_dump(began))
    given = {"dataset": str(small_sample), "output_dir": str(tmp_path / "run"), "cross_validation": str(older)}
    with pytest.raises(QuaclrsError, match="had class_offsets False, not True"):
        release(ReleaseConfig(**given, **RECIPE))


def test_a_cross_validation_that_is_not_finished_is_one_line(small_sample, tmp_path, expect_one_error_line):
    arguments = ["--dataset", str(small_sample), "--output-dir", str(tmp_path / "run")]
    assert main([*arguments, "--cross-validation", str(tmp_path / "cv")]) == 2
    expect_one_error_line("cv is not finished")


def test_a_release_is_published_with_its_own_card_and_the_files_that_run_it(released, tmp_path):
    run = read_run(released[0])
    write_repository(run, tmp_path, "ns/name", None, [])
    assert (tmp_path / "README.md").read_bytes() == (released[0] / "model" / "README.md").read_bytes()
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["auto_map"]["AutoModelForAudioClassification"].endswith(".QuaclrsForAudioClassification")
    assert config["training_data"] == json.loads((run.path / "model" / "config.json").read_text())["training_data"]
    assert {"modeling_quaclrs.py", "model.safetensors", "confusion_matrix.png"} <= {f.name for f in tmp_path.iterdir()}
    assert run.message == "test_efficientnet, scratch, trained on every clip"
    with pytest.raises(QuaclrsError, match=r"^--example has no use with a release"):
        write_repository(run, tmp_path, "ns/name", None, [tmp_path / "README.md"])


@pytest.mark.parametrize("options", [{"patience": 3}, {"lr_scheduler": "reduce_lr_on_plateau"}])
def test_a_recipe_that_goes_by_validation_clips_cannot_be_released(options):
    with pytest.raises(QuaclrsError, match="a release has no validation clips to go by") as error:
        ReleaseConfig(dataset="data", output_dir="out", cross_validation="cv", **options)
    assert "\n" not in str(error.value)
