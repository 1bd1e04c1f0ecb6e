"""End to end on the embedded sample, with the smallest network that shows the behaviour."""

import csv
import json
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from launching import accelerate_launch, launch, without_times
from safetensors.torch import load_file
from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

from quaclrs import load_urbansound13
from quaclrs.errors import QuaclrsError
from quaclrs.labels import CLASS_NAMES, SIRENNET_CLASSES
from quaclrs.locks import only_writer
from quaclrs.transforms import ClipTransform
from training.supervised.config import SupervisedConfig
from training.train_supervised import main, train


def config(dataset, output_dir, **options) -> SupervisedConfig:
    smallest = {
        "test_fold": 2,
        "backbone": "test_efficientnet",
        "image_size": 32,
        "epochs": 2,
        "batch_size": 16,
        "max_clips_per_class": 6,
    }
    return SupervisedConfig(dataset=str(dataset), output_dir=str(output_dir), **{**smallest, **options})


@pytest.fixture(scope="module")
def run(sample_dataset, tmp_path_factory):
    """A finished run: its folder and what `train` returned."""
    folder = tmp_path_factory.mktemp("training") / "run"
    return folder, train(config(sample_dataset, folder)).to_dict()


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model" / "model.safetensors")


def test_a_run_leaves_every_file_of_its_folder_and_nothing_half_written(run):
    folder, _ = run
    names = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert {
        "config.yaml", "environment.json", "history.csv", "metrics.json", "predictions.csv",
        "plots/confusion_matrix.png", "plots/training_curves.png",
        "model/model.safetensors", "model/config.json", "model/preprocessor_config.json", "model/README.md",
    } <= names  # fmt: skip
    assert not [name for name in names if name.endswith(".partial") or "/." in f"/{name}"]
    assert {p.name for p in (folder / "checkpoints").iterdir()} == {"epoch-0001", "epoch-0002"}


def test_metrics_are_fractions_of_the_test_fold_that_its_predictions_give_again(run, sample_dataset):
    folder, metrics = run
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    rows = list(csv.DictReader((folder / "predictions.csv").open()))
    test_clips = load_urbansound13(sample_dataset, fold=2, split="test")
    assert [row["clip_id"] for row in rows] == test_clips["clip_id"][:]
    assert {row["fold"] for row in rows} == {"2"}
    probabilities = np.array([[float(row[name]) for name in CLASS_NAMES] for row in rows])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-4)
    labels = np.array([row["label"] for row in rows])
    correct = np.array(CLASS_NAMES)[probabilities.argmax(axis=1)] == labels
    new = np.isin(labels, SIRENNET_CLASSES)
    assert metrics["clips"] == len(rows)
    assert metrics["accuracy"] == pytest.approx(correct.mean())
    assert metrics["accuracy_sirennet"] == pytest.approx(correct[new].mean())
    assert metrics["accuracy_urbansound8k"] == pytest.approx(correct[~new].mean())
    assert 0 <= metrics["macro_f1"] <= 1


def test_metrics_say_what_they_must_not_be_read_without(run):
    _, metrics = run
    assert (metrics["protocol"], metrics["test_fold"], metrics["validation_fold"]) == ("strict", 2, 1)
    assert metrics["synthetic"] is True
    assert any("synthetic" in warning for warning in metrics["warnings"])


def test_the_card_beside_the_model_shows_its_figure_and_the_controls_it_must_be_seen_beside(run):
    folder, metrics = run
    card = re.sub(" +", " ", (folder / "model" / "README.md").read_text())  # columns line up
    assert f"| accuracy | {metrics['accuracy']:.1%} |" in card
    assert len(metrics["controls"]) == 2
    for name, control in metrics["controls"].items():
        assert f"| control: {name}: accuracy | {control['accuracy']:.1%} |" in card


def saved_model_on(folder: Path, clips) -> tuple[list[str], torch.Tensor]:
    """Class names and probabilities (clips, classes) that the saved model and its feature extractor give."""
    model = AutoModelForAudioClassification.from_pretrained(folder / "model").eval()
    transform = ClipTransform(AutoFeatureExtractor.from_pretrained(folder / "model"))
    batch = clips.with_transform(transform)[:]
    with torch.no_grad():
        probabilities = model(torch.from_numpy(batch["input_values"])).logits.softmax(-1)
    return [model.config.id2label[i] for i in range(13)], probabilities


def test_the_saved_model_gives_the_probabilities_of_the_predictions(run, sample_dataset):
    folder, _ = run
    names, probabilities = saved_model_on(folder, load_urbansound13(sample_dataset, fold=2, split="test").select([0]))
    row = next(csv.DictReader((folder / "predictions.csv").open()))
    assert names == list(CLASS_NAMES)
    np.testing.assert_allclose(probabilities[0], [float(row[name]) for name in CLASS_NAMES], atol=1e-4)


def test_the_validation_accuracy_of_the_best_epoch_is_that_of_the_saved_model(run, sample_dataset):
    folder, metrics = run
    clips = load_urbansound13(sample_dataset, fold=2, split="validation")
    _, probabilities = saved_model_on(folder, clips)
    right = (probabilities.argmax(-1).numpy() == np.array(clips["label"][:])).sum()
    # Log-mels are kept in float16 for validation: a near tie may fall the other way.
    assert metrics["validation_accuracy"] * len(clips) == pytest.approx(right, abs=1)


def test_history_has_a_row_an_epoch_and_the_best_is_the_first_of_highest_validation_accuracy(run):
    folder, metrics = run
    rows = list(csv.DictReader((folder / "history.csv").open()))
    assert [int(row["epoch"]) for row in rows] == [1, 2]
    accuracies = [float(row["validation_accuracy"]) for row in rows]
    assert metrics["validation_accuracy"] == max(accuracies)
    assert accuracies[metrics["best_epoch"] - 1] == max(accuracies)


def test_validation_every_second_epoch_and_after_the_last_changes_nothing_that_is_learned(small_sample, tmp_path):
    rows = {}
    options = {"epochs": 3, "patience": 1, "max_clips_per_class": 2}
    for every in (1, 2):
        metrics = train(config(small_sample, tmp_path / str(every), validate_every=every, **options))
        rows[every] = list(csv.DictReader((tmp_path / str(every) / "history.csv").open()))
    assert metrics.best_epoch in (2, 3)
    assert [bool(row["validation_accuracy"]) for row in rows[2]] == [False, True, True]
    for each, second in zip(rows[1], rows[2], strict=False):  # the first may end early, by its patience
        assert each["train_loss"] == second["train_loss"]
    assert rows[1][1]["validation_loss"] == rows[2][1]["validation_loss"]


def test_offsets_move_the_logits_of_a_class_alike_in_all_clips_and_the_last_epoch_can_be_kept(small_sample, tmp_path):
    logs = {}
    for offsets in (False, True):
        folder = tmp_path / str(offsets)
        options = {"keep_epoch": "last", "class_offsets": offsets, "learning_rate": 0.01, "max_clips_per_class": 20}
        metrics = train(config(small_sample, folder, decode_once=True, **options))
        assert metrics.best_epoch == 2
        rows = list(csv.DictReader((folder / "predictions.csv").open()))
        logs[offsets] = np.log(np.clip([[float(row[name]) for name in CLASS_NAMES] for row in rows], 1e-9, None))
    given = np.array([metrics.class_offsets[name] for name in CLASS_NAMES])
    assert abs(given.mean()) < 1e-6 and np.ptp(given) > 0.05
    moved = logs[True] - logs[False] - given  # the same for all classes of a clip
    moved[logs[False] < np.log(0.02)] = np.nan  # the file has few digits of them
    np.testing.assert_allclose(np.nanmax(moved, axis=1), np.nanmin(moved, axis=1), atol=2e-3)
    saved = [weights(tmp_path / str(offsets))["classifier.bias"].numpy() for offsets in (False, True)]
    np.testing.assert_allclose(saved[1] - saved[0], given, atol=1e-5)


def test_the_saved_configuration_repeats_the_run_to_the_bit(run, tmp_path):
    folder, metrics = run
    again = yaml.safe_load((folder / "config.yaml").read_text()) | {"output_dir": str(tmp_path / "again")}
    repeated = train(SupervisedConfig(**again)).to_dict()
    assert without_times(repeated) == without_times(metrics)
    first, second = weights(folder), weights(tmp_path / "again")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_run_resumed_after_its_first_epoch_equals_one_never_interrupted(run, sample_dataset, tmp_path, monkeypatch):
    folder, metrics = run
    interrupted = config(sample_dataset, tmp_path / "run", num_workers=1)

    class Killed(BaseException):
        pass

    import training.runs.session as module

    real = module.save_checkpoint

    def save_and_die(*arguments, **options):
        real(*arguments, **options)
        raise Killed

    monkeypatch.setattr(module, "save_checkpoint", save_and_die)
    with pytest.raises(Killed):
        train(interrupted)
    monkeypatch.setattr(module, "save_checkpoint", real)
    assert not (tmp_path / "run" / "metrics.json").exists()
    resumed = train(config(sample_dataset, tmp_path / "run", resume="auto", num_workers=1)).to_dict()
    assert without_times(resumed) == without_times(metrics)
    first, second = weights(folder), weights(tmp_path / "run")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_finished_run_goes_on_to_more_epochs_as_if_they_had_been_asked_for_at_first(small_sample, tmp_path):
    constant = {"lr_scheduler": "constant", "warmup_epochs": 0, "max_clips_per_class": 2}
    train(config(small_sample, tmp_path / "run", epochs=1, **constant))
    longer = train(config(small_sample, tmp_path / "run", epochs=2, resume="auto", **constant)).to_dict()
    at_once = train(config(small_sample, tmp_path / "once", epochs=2, **constant)).to_dict()
    assert without_times(longer) == without_times(at_once)
    expected = weights(tmp_path / "once")
    assert all(torch.equal(tensor, expected[name]) for name, tensor in weights(tmp_path / "run").items())


def test_checkpoints_may_be_far_apart_but_the_last_epoch_and_a_signal_have_theirs(small_sample, tmp_path):
    few = {"max_clips_per_class": 2, "keep_checkpoints": 9}
    every = train(config(small_sample, tmp_path / "every", epochs=3, **few)).to_dict()
    last = train(config(small_sample, tmp_path / "last", epochs=3, checkpoint_seconds=1e6, **few)).to_dict()
    assert without_times(last) == without_times(every)
    written = {
        name: sorted(path.name for path in (tmp_path / name / "checkpoints").iterdir()) for name in ("every", "last")
    }
    assert len(written["every"]) == 3
    assert written["last"] == written["every"][-1:]

    def interrupt(*_):
        signal.raise_signal(signal.SIGTERM)
        return {}

    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr("training.train_supervised.describe_epoch", interrupt)
        train(config(small_sample, tmp_path / "told", epochs=3, checkpoint_seconds=1e6, **few))
    assert [path.name for path in (tmp_path / "told" / "checkpoints").iterdir()] == written["every"][:1]


@pytest.mark.parametrize("keep", ["best", "last"])
def test_a_run_told_to_end_before_its_first_look_at_the_validation_clips_goes_on(keep, small_sample, tmp_path):
    options = {"max_clips_per_class": 2, "epochs": 3, "validate_every": 3, "keep_epoch": keep}
    whole = train(config(small_sample, tmp_path / "whole", **options)).to_dict()

    def interrupt(*_):
        signal.raise_signal(signal.SIGTERM)
        return {}

    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr("training.train_supervised.describe_epoch", interrupt)
        train(config(small_sample, tmp_path / "told", **options))
    resumed = train(config(small_sample, tmp_path / "told", **options, resume="auto")).to_dict()
    assert without_times(resumed) == without_times(whole)
    expected = weights(tmp_path / "whole")
    assert all(torch.equal(tensor, expected[name]) for name, tensor in weights(tmp_path / "told").items())


def test_augmenting_in_workers_or_on_the_device_trains_the_same_model(run, sample_dataset, tmp_path):
    folder, _ = run
    options = {"augment_on": "worker", "num_workers": 2, "decode_once": True}
    train(config(sample_dataset, tmp_path / "worker", **options))
    device, worker = weights(folder), weights(tmp_path / "worker")
    # Workers run the front end on one thread, whose sums round differently: nearly, not exactly, the same weights.
    distance = sum(float((device[n] - worker[n]).norm() ** 2) for n in device if device[n].is_floating_point()) ** 0.5
    train(config(sample_dataset, tmp_path / "none", augment_on="none"))
    plain = weights(tmp_path / "none")
    other = sum(float((device[n] - plain[n]).norm() ** 2) for n in device if device[n].is_floating_point()) ** 0.5
    assert distance < 0.05 * other


def test_the_policy_and_the_padding_of_a_run_are_saved_with_it(small_sample, tmp_path):
    policy = tmp_path / "mine.yaml"
    policy.write_text("mixup: {alpha: 0.4, probability: 0.5}\ngain: {decibels: [-6, 6]}\nrandom_placement: true\n")
    train(config(small_sample, tmp_path / "run", augment=str(policy), pad_mode="repeat", epochs=1))
    saved = yaml.safe_load((tmp_path / "run" / "policy.yaml").read_text())
    assert saved["mixup"] == {"alpha": 0.4, "probability": 0.5}
    assert saved["random_placement"] is True
    assert json.loads((tmp_path / "run" / "model" / "config.json").read_text())["log_mel"]["pad_mode"] == "repeat"


def test_a_run_is_not_resumed_with_another_policy_or_option(run, sample_dataset, tmp_path):
    folder, _ = run
    for other in ({"augment": "paper"}, {"augment_on": "none"}, {"batch_size": 8}, {"learning_rate": 0.5}):
        (name, value), *_ = other.items()
        with pytest.raises(QuaclrsError, match=f"began with {name} .*, not {value}"):
            train(config(sample_dataset, folder, resume="auto", **other))


def test_a_run_is_not_resumed_after_its_policy_file_was_edited(small_sample, tmp_path):
    policy = tmp_path / "mine.yaml"
    policy.write_text("gain: {decibels: [-6, 6]}")
    train(config(small_sample, tmp_path / "run", augment=str(policy), epochs=1))
    policy.write_text("gain: {decibels: [-9, 9]}")
    with pytest.raises(QuaclrsError, match="another augmentation policy"):
        train(config(small_sample, tmp_path / "run", augment=str(policy), epochs=1, resume="auto"))


@pytest.mark.parametrize("name", ["config.yaml", "policy.yaml"])
@pytest.mark.parametrize("content", [b"a: [", b"\x00\xff", b"{" * 20_000, b"a: !!python/object/apply:os.getcwd []"])
def test_a_damaged_file_of_a_resumed_run_is_one_line_that_names_it(run, sample_dataset, tmp_path, name, content):
    folder = Path(shutil.copytree(run[0], tmp_path / "run"))
    (folder / name).write_bytes(content)
    with pytest.raises(QuaclrsError, match=name) as error:
        train(config(sample_dataset, folder, resume="auto"))
    assert "\n" not in str(error.value)


def test_a_training_whose_loss_is_no_number_stops_at_that_epoch_and_leaves_nothing_of_it(small_sample, tmp_path):
    with pytest.raises(QuaclrsError, match=r"epoch 1: train_loss is (nan|inf); lower --learning-rate"):
        train(config(small_sample, tmp_path / "run", learning_rate=1e30, max_clips_per_class=3, batch_size=13))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_another_run_writes_is_refused_before_anything_is_read(run, sample_dataset, tmp_path):
    folder = tmp_path / "run"
    with only_writer(folder), pytest.raises(QuaclrsError, match="is being written by another process"):
        train(config(tmp_path / "no data set", folder))
    assert list(tmp_path.iterdir()) == []
    assert list(run[0].parent.iterdir()) == [run[0]]  # nothing stays of the lock of a run that ended


def test_a_linear_probe_trains_the_head_and_leaves_the_pretrained_encoder_as_it_was(small_sample, tmp_path):
    import timm
    from safetensors.torch import save_file

    torch.manual_seed(1)
    network = timm.create_model("test_efficientnet")
    save_file(network.state_dict(), tmp_path / "pretrained.safetensors")
    options = {"mode": "linear_probe", "pretrained_file": str(tmp_path / "pretrained.safetensors"), "epochs": 1}
    train(config(small_sample, tmp_path / "run", **options))
    saved = weights(tmp_path / "run")
    encoder = {name.removeprefix("quaclrs.backbone.network."): t for name, t in saved.items() if "network" in name}
    pretrained = network.state_dict()
    assert encoder
    assert all(torch.equal(tensor, pretrained[name]) for name, tensor in encoder.items())


def test_the_paper_protocol_deals_by_fold_paper_and_warns_in_every_output(sample_dataset, tmp_path, capsys):
    status = main([
        "--dataset", str(sample_dataset), "--test-fold", "2", "--output-dir", str(tmp_path / "run"),
        "--protocol", "paper", "--backbone", "test_efficientnet", "--image-size", "32", "--epochs", "1",
        "--max-clips-per-class", "3", "--fill-per-fold", "0",
    ])  # fmt: skip
    assert status == 0
    printed = capsys.readouterr().out
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert any("optimistic" in warning for warning in metrics["warnings"])
    assert "optimistic" in printed
    assert "optimistic" in (tmp_path / "run" / "model" / "README.md").read_text()
    by_clip = load_urbansound13(sample_dataset)
    dealt = {c for c, f in zip(by_clip["clip_id"], by_clip["fold_paper"], strict=True) if f == 2}
    assert {row["clip_id"] for row in csv.DictReader((tmp_path / "run" / "predictions.csv").open())} == dealt


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"test_fold": 11}, "fold 11"),
        ({"dataset": "nowhere/at/all"}, "nowhere/at/all"),
        ({"augment": "loud"}, "policy loud does not exist"),
        ({"augment": "street"}, "--background-noise DIR"),
        ({"augment": "strong_and_weak"}, "views that differ"),
        ({"background_noise": "nowhere"}, "--background-noise has no use with --augment default"),
        ({"mode": "finetune", "pretrained_file": "absent.pth"}, "absent.pth"),
    ],
)
def test_a_mistake_is_named_in_one_line_before_anything_is_written(sample_dataset, tmp_path, options, named):
    with pytest.raises(QuaclrsError) as error:
        train(config(**{"dataset": sample_dataset, "output_dir": tmp_path / "run", **options}))
    assert named in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_finished_run_is_not_overwritten_unasked(run, sample_dataset):
    folder, metrics = run
    with pytest.raises(QuaclrsError, match="--overwrite"):
        train(config(sample_dataset, folder))
    assert json.loads((folder / "metrics.json").read_text()) == metrics


def test_a_folder_that_holds_no_run_is_not_removed_by_overwrite(sample_dataset, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(QuaclrsError, match="holds no run"):
        train(config(sample_dataset, tmp_path, overwrite=True))
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("launched", [launch, pytest.param(accelerate_launch, marks=pytest.mark.weekly)])
def test_of_two_processes_a_mistake_is_told_once_and_not_as_a_traceback_of_ours(launched, sample_dataset, tmp_path):
    result = launched(
        ["--dataset", str(sample_dataset), "--test-fold", "11", "--output-dir", str(tmp_path / "run")], processes=2
    )
    assert result.returncode != 0
    assert result.stderr.count("error: fold 11") == 1
    assert "QuaclrsError" not in result.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("launched", [launch, pytest.param(accelerate_launch, marks=pytest.mark.weekly)])
def test_two_processes_really_are_two_and_predict_every_clip_once(launched, small_sample, tmp_path):
    result = launched(
        [
            "--dataset", str(small_sample), "--test-fold", "2", "--output-dir", str(tmp_path / "run"),
            "--backbone", "test_efficientnet", "--image-size", "32", "--epochs", "1", "--batch-size", "7",
            "--max-clips-per-class", "6",
        ],
        processes=2,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-2000:]
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["num_processes"] == 2
    assert json.loads((tmp_path / "run" / "environment.json").read_text())["num_processes"] == 2
    clips = [row["clip_id"] for row in csv.DictReader((tmp_path / "run" / "predictions.csv").open())]
    assert sorted(clips) == sorted(load_urbansound13(small_sample, fold=2, split="test")["clip_id"][:])
    assert np.sum(metrics["confusion_matrix"]) == len(clips)
