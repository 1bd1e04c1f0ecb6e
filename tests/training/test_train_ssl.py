"""Self-supervised training end to end on the embedded sample, with the smallest network that shows the behaviour."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from launching import launch
from safetensors import safe_open
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel

from quaclrs import load_urbansound13
from quaclrs.audio import load_audio
from quaclrs.errors import QuaclrsError
from quaclrs.evaluation.training_data import TrainingData
from quaclrs.labels import CLASS_NAMES
from quaclrs.ssl import METHODS
from training.ssl.config import SSLConfig
from training.supervised.config import SupervisedConfig
from training.train_ssl import main, train_ssl
from training.train_supervised import train

SMALLEST = {
    "test_fold": 2,
    "backbone": "test_efficientnet",
    "image_size": 32,
    "batch_size": 16,
    "max_clips_per_class": 4,
}


def config(dataset, output_dir, method="simclr", **options) -> SSLConfig:
    given = {**SMALLEST, "epochs": 2, "method": method, **options}
    return SSLConfig(dataset=str(dataset), output_dir=str(output_dir), **given)


@pytest.fixture(scope="module")
def run(sample_dataset, tmp_path_factory):
    """A finished run: its folder and what `train_ssl` returned."""
    folder = tmp_path_factory.mktemp("pre-training") / "run"
    return folder, train_ssl(config(sample_dataset, folder)).to_dict()


def history_of(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "history.csv").open()))


def embeddings_of(folder: Path, clips) -> np.ndarray:
    """By the saved encoder, as a user of Transformers gets them."""
    extractor, encoder = AutoFeatureExtractor.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    sounds = [load_audio(audio["bytes"], 48_000) for audio in clips["audio"]]
    with torch.no_grad():
        return encoder(**extractor(sounds, sampling_rate=48_000, return_tensors="pt")).pooler_output.numpy()


def test_a_run_leaves_every_file_of_its_folder_and_nothing_half_written(run):
    folder, metrics = run
    names = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert {
        "config.yaml", "policy.yaml", "environment.json", "history.csv", "metrics.json", "predictions.csv",
        "predictions_knn.csv", "predictions_random_knn.csv", "predictions_random_linear.csv",
        "plots/confusion_matrix.png", "plots/training_curves.png", "plots/embedding_map.png",
        "model/model.safetensors", "model/config.json", "model/preprocessor_config.json", "model/README.md",
        "model/timm_backbone.safetensors",
    } <= names  # fmt: skip
    assert not [name for name in names if name.endswith(".partial") or "/." in f"/{name}"]
    assert "{{" not in (folder / "model" / "README.md").read_text()
    # Tuples are lists in JSON.
    assert json.loads((folder / "metrics.json").read_text()) == json.loads(json.dumps(metrics))


def test_the_encoder_and_its_timm_weights_say_what_they_have_heard(run, sample_dataset):
    model = run[0] / "model"
    with safe_open(model / "timm_backbone.safetensors", framework="numpy") as file:
        of_timm = json.loads(file.metadata()["training_data"])
    assert of_timm == AutoConfig.from_pretrained(model).training_data
    heard = TrainingData.of_model(of_timm)
    assert len(heard.clips) == run[1]["clips_train"]
    train_clips = load_urbansound13(sample_dataset, fold=2, split="train")
    used = sorted(_thinned(np.array(train_clips["label"][:])))
    assert heard.has_heard(train_clips.select(used), "paper").all()  # asks for the very clips
    assert not heard.has_heard(load_urbansound13(sample_dataset, fold=2, split="test"), "strict").any()


def test_history_begins_with_the_untrained_encoder_and_every_row_has_loss_accuracies_and_time(run):
    rows = history_of(run[0])
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    for row in rows:
        assert float(row["train_loss"]) > 0
        assert float(row["seconds"]) > 0
        assert 0 <= float(row["knn_accuracy"]) <= 1
        assert 0 <= float(row["probe_accuracy"]) <= 1
        assert float(row["effective_rank"]) >= 1
    # NT-Xent of random projections is near that of a uniform guess among the 31 other views.
    assert float(rows[0]["train_loss"]) == pytest.approx(np.log(31), abs=1.5)


def test_the_saved_encoder_gives_scikit_learn_the_figures_of_the_run_on_the_test_fold(run, sample_dataset):
    folder, metrics = run
    train_clips = load_urbansound13(sample_dataset, fold=2, split="train")
    test_clips = load_urbansound13(sample_dataset, fold=2, split="test")
    used = sorted(_thinned(np.array(train_clips["label"][:])))
    bank, test = embeddings_of(folder / "model", train_clips.select(used)), embeddings_of(folder / "model", test_clips)
    labels, expected = np.array(train_clips["label"][:])[used], np.array(test_clips["label"][:])
    unit_bank, unit_test = (e / np.linalg.norm(e, axis=1, keepdims=True) for e in (bank, test))
    neighbours = KNeighborsClassifier(1, metric="cosine").fit(unit_bank, labels)
    nearest = neighbours.predict(unit_test)
    rows = list(csv.DictReader((folder / "predictions_knn.csv").open()))
    assert [row["clip_id"] for row in rows] == test_clips["clip_id"][:]
    votes = np.array([[float(row[name]) for name in CLASS_NAMES] for row in rows])
    # Each vote is one of five neighbours; the nearest is among them.
    np.testing.assert_allclose(votes * 5, np.round(votes * 5), atol=0.5)
    assert (votes[np.arange(len(votes)), nearest] > 0).mean() > 0.97
    scaler = StandardScaler().fit(bank)
    regression = LogisticRegression(max_iter=1000).fit(scaler.transform(bank), labels)
    accuracy = (regression.predict(scaler.transform(test)) == expected).mean()
    assert metrics["evaluations"]["linear"]["accuracy"] == pytest.approx(accuracy, abs=0.05)


def _thinned(labels: np.ndarray) -> list[int]:
    """The rows that four clips a class, drawn by seed 0, keep."""
    generator = np.random.default_rng(0)
    return [row for label in np.unique(labels) for row in generator.permutation(np.flatnonzero(labels == label))[:4]]


def test_the_backbone_alone_is_a_timm_state_dict(run):
    folder, _ = run
    network = timm.create_model("test_efficientnet", num_classes=0)
    network.load_state_dict(load_file(folder / "model" / "timm_backbone.safetensors"))
    encoder = AutoModel.from_pretrained(folder / "model").eval()
    network.double(), encoder.double()  # in float32 the order of sums shows
    pictures = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        torch.testing.assert_close(network.eval()(pictures), encoder.backbone(pictures)[1])


def test_gains_are_differences_to_the_encoder_before_training_with_an_interval_around_them(run):
    _, metrics = run
    kinds = (("gains", "accuracy"), ("balanced_gains", "balanced_accuracy"))
    for (key, figure), name in itertools.product(kinds, ("knn", "linear")):
        gain, random = metrics[key][name], metrics["evaluations"][f"random_{name}"][figure]
        assert gain["other"] == pytest.approx(random)
        assert gain["difference"] == pytest.approx(metrics["evaluations"][name][figure] - random)
        low, high = gain["interval"]
        assert low <= gain["difference"] <= high
    controls = metrics["controls"]
    assert controls["chance"]["accuracy"] == 1 / 13
    assert {"majority", "duration, channels and sampling rate alone"} <= controls.keys()
    assert metrics["synthetic"]
    assert metrics["warnings"]


@pytest.mark.parametrize(
    "method",
    [
        # SwAV and MoCo train in two processes below, and in test_resume_ssl.
        pytest.param(name, marks=[pytest.mark.weekly] * (name in ("swav", "moco")))
        for name in METHODS
        if name != "simclr"
    ],
)
def test_every_method_trains_and_moves_its_encoder(method, small_sample, tmp_path):
    metrics = train_ssl(config(small_sample, tmp_path / "run", method, epochs=1, max_clips_per_class=3)).to_dict()
    rows = history_of(tmp_path / "run")
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert np.isfinite([float(row["train_loss"]) for row in rows]).all()
    assert rows[0]["uniformity"] != rows[1]["uniformity"]
    assert metrics["method"] == method


def test_workers_and_the_device_make_the_same_views(run, sample_dataset, tmp_path):
    folder, _ = run
    train_ssl(config(sample_dataset, tmp_path / "run", augment_on="worker", num_workers=2))
    theirs = load_file(tmp_path / "run" / "model" / "model.safetensors")
    for name, ours in load_file(folder / "model" / "model.safetensors").items():
        torch.testing.assert_close(theirs[name], ours, rtol=1e-3, atol=1e-4, msg=name)


def test_labels_of_clips_that_count_as_unlabelled_change_nothing(small_sample, tmp_path, monkeypatch):
    def weights(name: str) -> dict[str, torch.Tensor]:
        options = {"labelled_recordings": "1", "supervised_weight": 0.3, "method_weight": 0.7, "epochs": 1}
        metrics = train_ssl(config(small_sample, tmp_path / name, **options)).to_dict()
        assert metrics["clips_labelled"] < metrics["clips_train"] == 13 * 4
        return load_file(tmp_path / name / "model" / "model.safetensors")

    told = weights("told")
    from training.clips import splits

    def keep_and_spoil(rows, labels, *arguments):
        kept = keep_labelled(rows, labels, *arguments)
        labels[np.setdiff1d(rows, kept)] = 0  # every other clip a lie
        return kept

    keep_labelled = splits.keep_labelled
    monkeypatch.setattr(splits, "keep_labelled", keep_and_spoil)
    monkeypatch.setattr(splits, "thin_by_class", lambda rows, *_: rows[np.isin(rows, thinned)])
    thinned = _rows_of(tmp_path / "told", small_sample)
    for name, tensor in weights("lied").items():
        torch.testing.assert_close(told[name], tensor, rtol=0, atol=0, msg=name)


def _rows_of(folder: Path, dataset) -> np.ndarray:
    """Rows of the data set that a run with four clips a class trained on."""
    whole = load_urbansound13(dataset)
    training = set(load_urbansound13(dataset, fold=2, split="train")["clip_id"][:])
    rows = np.array([row for row, clip in enumerate(whole["clip_id"][:]) if clip in training])
    return np.sort(rows[_thinned(np.array(whole["label"][:])[rows])])


def test_labels_reach_the_encoder_only_when_they_are_to(run, sample_dataset, tmp_path):
    unsupervised = load_file(run[0] / "model" / "model.safetensors")

    def differs(name: str, **options) -> bool:
        train_ssl(config(sample_dataset, tmp_path / name, supervised_weight=0.3, **options))
        weights = load_file(tmp_path / name / "model" / "model.safetensors")
        return any(not torch.equal(weights[key], unsupervised[key]) for key in weights)

    assert not differs("detached", supervised_detach=True)
    assert differs("attached")


@pytest.mark.parametrize("mode", ["linear_probe", "finetune"])
def test_supervised_training_goes_on_from_a_pre_trained_encoder(mode, run, sample_dataset, tmp_path):
    options = {**SMALLEST, "epochs": 1, "mode": mode, "init_from": str(run[0]), "learning_rate": 1e-9}
    train(SupervisedConfig(dataset=str(sample_dataset), output_dir=str(tmp_path / "run"), **options))
    weights = load_file(tmp_path / "run" / "model" / "model.safetensors")
    name = "backbone.network.conv_stem.weight"
    torch.testing.assert_close(weights[f"quaclrs.{name}"], load_file(run[0] / "model" / "model.safetensors")[name])
    heard = TrainingData.of_model(AutoConfig.from_pretrained(tmp_path / "run" / "model").training_data)
    assert [training["clips"] for training in heard.trainings] == [run[1]["clips_train"]]  # both trainings are alike
    assert heard.complete


def test_an_encoder_that_was_kept_from_another_fold_is_refused(run, sample_dataset, tmp_path):
    options = {**SMALLEST, "test_fold": 3, "epochs": 1, "mode": "finetune", "init_from": str(run[0])}
    with pytest.raises(QuaclrsError, match=r"test clips of fold 3 .*it was kept from fold 2 \(strict protocol\)"):
        train(SupervisedConfig(dataset=str(sample_dataset), output_dir=str(tmp_path / "run"), **options))
    assert not (tmp_path / "run").exists()


def test_a_run_that_diverges_stops_and_says_so_in_one_line(small_sample, tmp_path):
    options = {"optimizer": "sgd", "learning_rate": 1e12, "warmup_epochs": 0}
    with pytest.raises(QuaclrsError, match=r"epoch 1 diverged.*lower the learning rate") as error:
        train_ssl(config(small_sample, tmp_path / "run", **options))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("augment", ["original", "timestretch_0.8"])
def test_views_that_are_always_equal_are_refused_before_anything_is_written(augment, sample_dataset, tmp_path):
    with pytest.raises(QuaclrsError, match="gives two equal views"):
        train_ssl(config(sample_dataset, tmp_path / "run", augment=augment))
    assert not (tmp_path / "run").exists()


def test_a_batch_larger_than_the_split_is_one_line(sample_dataset, tmp_path, expect_one_error_line):
    arguments = ["--method", "simclr", "--dataset", str(sample_dataset), "--output-dir", str(tmp_path / "run")]
    assert main([*arguments, "--test-fold", "2", "--batch-size", "1000"]) == 2
    expect_one_error_line("--batch-size is 1000")


@pytest.mark.parametrize(
    "method",
    [
        pytest.param("swav", marks=pytest.mark.slow),
        *(pytest.param(name, marks=pytest.mark.weekly) for name in ("simclr", "barlow_twins")),
    ],
)
def test_two_processes_train_one_encoder(method, small_sample, tmp_path):
    options = {**SMALLEST, "method": method, "dataset": small_sample, "output_dir": tmp_path / "run", "epochs": 1}
    options["batch_size"] = 8
    arguments = [text for name, value in options.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    result = launch(arguments, 2, "training.train_ssl")
    assert result.returncode == 0, result.stderr[-2000:]
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["num_processes"] == 2
    assert np.isfinite(metrics["evaluations"]["linear"]["accuracy"])
    first, last = history_of(tmp_path / "run")
    assert np.isfinite([float(first["train_loss"]), float(last["train_loss"])]).all()
    assert first["uniformity"] != last["uniformity"]  # the encoder moved
