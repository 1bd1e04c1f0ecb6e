"""Label-efficiency curves: which trainings a point asks for, and what is made of their results."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
import yaml
from fake_runs import metrics_of, write_run

from quaclrs import load_urbansound13
from quaclrs.errors import QuaclrsError
from quaclrs.evaluation.figures.label_efficiency import label_efficiency_figure
from quaclrs.evaluation.training_data import TrainingData
from training.clips.few_labels import count_labelled_clips
from training.label_efficiency import LabelEfficiencyConfig, main, plan_runs
from training.runs.run import Run
from training.ssl.config import SSLConfig

CURVES = ["from scratch", "pre-trained, fine-tuned", "pre-trained, linear probe", "quasi-supervised"]


@pytest.fixture
def encoder(sample_dataset, tmp_path) -> Path:
    """As much of a self-supervised run as is read of it."""
    options = {
        "method": "byol", "dataset": str(sample_dataset), "test_fold": 2, "output_dir": "out", "augment": "two_views",
        "backbone": "test_efficientnet", "image_size": 32, "duration": 4.0, "pad_mode": "repeat", "batch_size": 16,
        "method_options": "momentum=0.9", "local_views": None, "local_duration": 1.0,
    }  # fmt: skip
    (tmp_path / "encoder").mkdir()
    (tmp_path / "encoder" / "config.yaml").write_text(yaml.safe_dump(options))
    return tmp_path / "encoder"


def config(dataset, encoder, tmp_path, **options) -> LabelEfficiencyConfig:
    given = {"recordings": "1,all", "seeds": "0,1", **options}
    return LabelEfficiencyConfig(
        dataset=str(dataset), test_fold=2, output_dir=str(tmp_path / "curves"), encoder=str(encoder), **given
    )


def test_labelled_clips_are_those_of_so_many_recordings_of_every_class_of_the_training_folds(
    sample_dataset, encoder, tmp_path
):
    clips = count_labelled_clips(str(sample_dataset), 2, ("1", "all"), (0, 1))
    train = load_urbansound13(str(sample_dataset), fold=2, split="train")
    assert {clips["all", seed] for seed in (0, 1)} == {len(train)}
    of_recording = {}
    for label, recording in zip(train["label"], train["recording_id"], strict=True):
        of_recording.setdefault(label, {}).setdefault(recording, []).append(1)
    fewest = sum(min(len(c) for c in recordings.values()) for recordings in of_recording.values())
    most = sum(max(len(c) for c in recordings.values()) for recordings in of_recording.values())
    assert fewest <= clips["1", 0] <= most < len(train)


def test_every_point_trains_each_way_on_the_same_labels_with_enough_steps_and_epochs_whatever_their_number(
    sample_dataset, encoder, tmp_path
):
    options = config(sample_dataset, encoder, tmp_path, steps=90, epochs=15, batch_size=32)
    for clips, epochs, batch_size in ((13, 90, 13), (70, 45, 32), (320, 15, 32)):
        runs = plan_runs(options, "3", 1, clips)
        assert list(runs) == CURVES
        assert {run.config.labelled_recordings for run in runs.values()} == {"3"}
        assert {(run.config.test_fold, run.config.seed, run.config.pad_mode) for run in runs.values()} == {
            (2, 1, "repeat")
        }
        for name in ("from scratch", "pre-trained, fine-tuned"):
            assert (runs[name].config.epochs, runs[name].config.batch_size) == (epochs, batch_size)
            assert runs[name].config.epochs * (clips // batch_size) >= 90
        assert runs["from scratch"].config.init_from is None
        assert {runs[name].config.init_from for name in CURVES[1:]} == {str(encoder)}
        quasi = runs["quasi-supervised"].config
        assert (quasi.method, quasi.batch_size) == ("byol", 16)
        assert quasi.build_method_options().momentum == 0.9
        assert (quasi.supervised_weight, quasi.method_weight) == (0.3, 0.7)


def test_an_encoder_that_has_heard_the_test_fold_is_refused_before_anything_is_trained(
    sample_dataset, encoder, tmp_path, expect_one_error_line
):
    rows = load_urbansound13(str(sample_dataset), fold=5, split="train")
    about = {"dataset": "sample", "protocol": "strict", "test_fold": 5, "validation_fold": 4}
    (encoder / "model").mkdir()
    heard = {"training_data": TrainingData.of_training(rows, **about).to_dict()}
    (encoder / "model" / "config.json").write_text(json.dumps(heard))

    def never(run: Run, jobs: int) -> int:
        raise AssertionError(run)

    arguments = ["--dataset", str(sample_dataset), "--test-fold", "2", "--encoder", str(encoder), "--seeds", "0"]
    assert main([*arguments, "--output-dir", str(tmp_path / "curves")], never) == 2
    expect_one_error_line("test clips of fold 2 (strict protocol): it was kept from fold 5")


def test_imagenet_is_a_curve_where_its_weights_are_given(sample_dataset, encoder, tmp_path):
    options = config(sample_dataset, encoder, tmp_path, imagenet_file="weights.safetensors")
    run = plan_runs(options, "all", 0, 100)["ImageNet, linear probe"]
    assert (run.config.backbone, run.config.pretrained_file) == ("tf_efficientnet_lite0", "weights.safetensors")
    assert run.config.mode == "linear_probe"


def test_the_table_has_mean_and_deviation_of_every_point_and_runs_that_failed_are_left_out(
    sample_dataset, encoder, tmp_path, capsys
):
    def pretend(run: Run, jobs: int) -> int:
        if getattr(run.config, "mode", None) == "linear_probe":
            return 1
        measured = {"figures": {"accuracy": 0.25 + 0.5 * run.seed, "clips": 40}}
        if run.kind is SSLConfig:
            measured = {"evaluations": {"linear": {"accuracy": 0.5, "clips": 40}}}
        write_run(run, metrics_of(run.config, **measured))
        return 0

    arguments = ["--dataset", str(sample_dataset), "--test-fold", "2", "--encoder", str(encoder), "--seeds", "0,1"]
    assert main([*arguments, "--output-dir", str(tmp_path / "curves"), "--recordings", "1,all"], pretend) == 1
    printed = re.sub(" +", " ", capsys.readouterr().out)  # columns line up
    deviation = 100 * math.sqrt(2 * 0.25**2)  # of 25 and 75
    assert f"| from scratch | 50.0 ± {deviation:.1f} | 50.0 ± {deviation:.1f} |" in printed
    assert "| quasi-supervised | 50.0 ± 0.0 | 50.0 ± 0.0 |" in printed
    assert "linear probe" not in printed
    assert "python -m training.label_efficiency --dataset" in printed
    saved = json.loads((tmp_path / "curves" / "label_efficiency.json").read_text())
    assert saved["accuracy"]["from scratch"] == {"1": [0.25, 0.75], "all": [0.25, 0.75]}
    assert (tmp_path / "curves" / "plots" / "label_efficiency.png").stat().st_size > 10_000


def test_the_figure_draws_means_over_labelled_clips_on_a_logarithmic_axis():
    figure = label_efficiency_figure(
        {"scratch": {"1": [0.2, 0.4], "all": [0.6]}}, {"1": [10, 20], "all": [150]}, "title"
    )
    (axes,) = figure.axes
    (line,) = axes.lines
    assert axes.get_xscale() == "log"
    assert list(line.get_xdata()) == [15, 150] and list(line.get_ydata()) == pytest.approx([0.3, 0.6])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1\n(15 clips)", "all\n(150 clips)"]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"recordings": "1,few"}, "--recordings holds 'few'; give numbers above 0, or all"),
        ({"recordings": "0"}, "--recordings holds '0'"),
        ({"seeds": "0,x"}, "--seeds is '0,x'; give different numbers"),
        ({"steps": 0}, "--steps is 0; it must be above 0"),
    ],
)
def test_options_that_make_no_sense_are_one_line(changed, words, sample_dataset, encoder, tmp_path):
    with pytest.raises(QuaclrsError, match=words):
        config(sample_dataset, encoder, tmp_path, **changed)


def test_an_encoder_that_is_no_self_supervised_run_is_named(sample_dataset, encoder, tmp_path):
    (encoder / "config.yaml").write_text("mode: scratch\n")
    with pytest.raises(QuaclrsError, match=r"is not a run of training\.train_ssl"):
        plan_runs(config(sample_dataset, encoder, tmp_path), "1", 0, 13)
