"""Cross-validation end to end on the embedded sample, and its summary against what the predictions give again."""

from __future__ import annotations

import csv
import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score

from quaclrs import load_urbansound13
from quaclrs.errors import QuaclrsError
from quaclrs.labels import CLASS_NAMES, SIRENNET, SIRENNET_CLASSES
from training import cross_validate as module
from training.cross_validate import CrossValidationConfig, cross_validate, main, plan_run
from training.runs.metrics import SHORTCUT_CONTROL
from training.runs.options import parse_config
from training.supervised.evaluation import CUT_CONTROL

SMALLEST = {
    "backbone": "test_efficientnet",
    "image_size": 32,
    "epochs": 1,
    "batch_size": 13,
    "max_clips_per_class": 2,
    "learning_rate": 0.01,
}


def options(dataset, output_dir, **changed) -> CrossValidationConfig:
    return CrossValidationConfig(
        dataset=str(dataset), output_dir=str(output_dir), **{**SMALLEST, "folds": "2,3", **changed}
    )


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Sums of several threads round differently from one run to the next, and runs are compared here."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def finished(sample_dataset, tmp_path_factory, one_thread):
    """A finished cross-validation over two folds: its folder and what `cross_validate` returned."""
    folder = tmp_path_factory.mktemp("cross_validation") / "cv"
    return folder, cross_validate(options(sample_dataset, folder))


@pytest.fixture
def copied(finished, tmp_path) -> Path:
    """A copy of the finished folder, to be spoilt."""
    return Path(shutil.copytree(finished[0], tmp_path / "cv"))


@pytest.fixture
def trained(monkeypatch) -> list[str]:
    """Names of the runs that are trained, in their order."""
    names = []
    real = module.train

    def train(config):
        names.append(Path(config.output_dir).name)
        return real(config)

    monkeypatch.setattr(module, "train", train)
    return names


def predictions(run: Path) -> tuple[np.ndarray, np.ndarray]:
    """True and predicted class names of a run's test clips."""
    rows = list(csv.DictReader((run / "predictions.csv").open()))
    probabilities = np.array([[float(row[name]) for name in CLASS_NAMES] for row in rows])
    return np.array([row["label"] for row in rows]), np.array(CLASS_NAMES)[probabilities.argmax(axis=1)]


def test_the_summarys_figures_are_those_of_the_predictions(finished):
    folder, returned = finished
    summary = json.loads((folder / "summary.json").read_text())
    assert summary == json.loads(json.dumps(returned))
    found = {"accuracy": [], "balanced_accuracy": [], "accuracy_sirennet": [], "accuracy_urbansound8k": []}
    for fold in (2, 3):
        labels, predicted = predictions(folder / f"fold-{fold}-seed-0")
        new = np.isin(labels, SIRENNET_CLASSES)
        found["accuracy"].append(np.mean(labels == predicted))
        found["balanced_accuracy"].append(balanced_accuracy_score(labels, predicted))
        found["accuracy_sirennet"].append(np.mean(labels[new] == predicted[new]))
        found["accuracy_urbansound8k"].append(np.mean(labels[~new] == predicted[~new]))
    for name, of_folds in found.items():
        figure = summary["figures"][name]
        assert figure["mean"] == pytest.approx(np.mean(of_folds)), name
        assert figure["std"] == pytest.approx(np.std(of_folds, ddof=1)), name
        assert figure["range"] == pytest.approx([min(of_folds), max(of_folds)]), name
    assert len(set(found["accuracy"])) == 2  # two folds of the same accuracy would prove little
    assert (summary["folds"], summary["seeds"], summary["classes_of_source"]) == (
        [2, 3], [0], {"urbansound8k": 9, "sirennet": 4}
    )  # fmt: skip


def test_the_first_line_names_protocol_and_missing_folds(finished):
    folder, summary = finished
    text = (folder / "summary.md").read_text()
    scope = (
        "Protocol strict, folds 2, 3 of 10 only: folds 1, 4, 5, 6, 7, 8, 9, 10 were not tested, "
        "so this is not a 10-fold figure"
    )
    assert text.splitlines()[0] == f"# {scope}"
    assert summary["headline"].startswith(scope)
    assert any("synthetic" in warning for warning in summary["warnings"])
    for plot in ("confusion_matrix.png", "folds.png"):
        assert (folder / "plots" / plot).stat().st_size > 1000


def test_controls_against_shortcuts_stand_beside_the_model(finished):
    folder, summary = finished
    assert list(summary["controls"]) == [SHORTCUT_CONTROL, CUT_CONTROL]
    text = re.sub(" +", " ", (folder / "summary.md").read_text())  # columns line up
    runs = [json.loads((folder / f"fold-{fold}-seed-0" / "metrics.json").read_text()) for fold in (2, 3)]
    for name in (SHORTCUT_CONTROL, CUT_CONTROL):
        of_folds = [run["controls"][name]["accuracy"] for run in runs]
        control = summary["controls"][name]["accuracy"]
        assert (control["mean"], control["std"]) == pytest.approx((np.mean(of_folds), np.std(of_folds, ddof=1)))
        assert f"| {name} | {100 * np.mean(of_folds):.1f} ± {100 * np.std(of_folds, ddof=1):.1f} |" in text


def test_the_command_in_the_summary_repeats_it(finished, sample_dataset):
    folder, summary = finished
    command = summary["training"]["command"]
    assert f"```\n{command}\n```" in (folder / "summary.md").read_text()
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "training.cross_validate"]
    assert parse_config(CrossValidationConfig, words[3:]) == options(sample_dataset, folder)


def without_times(summary: dict) -> dict:
    return {**summary, "training": {**summary["training"], "seconds": None, "command": None}}


def test_a_finished_cross_validation_is_summed_up_again_without_training(finished, copied, sample_dataset, trained):
    (copied / "summary.json").unlink()
    # Options without effect on figures may differ.
    again = cross_validate(options(sample_dataset, copied, num_workers=1, log_every=3))
    assert trained == []
    assert without_times(again) == without_times(finished[1])
    assert (copied / "summary.json").is_file()


def test_an_interrupted_run_goes_on_and_finished_ones_stay(finished, copied, sample_dataset, trained, capsys):
    unfinished = copied / "fold-3-seed-0"
    (unfinished / "metrics.json").unlink()
    (unfinished / "predictions.csv").unlink()
    again = cross_validate(options(sample_dataset, copied))
    assert trained == ["fold-3-seed-0"]
    printed = capsys.readouterr().out
    assert "resuming after epoch 1" in printed
    assert "epoch 1: loss" not in printed
    assert again["figures"] == finished[1]["figures"]


@pytest.mark.parametrize(("changed", "named"), [({"epochs": 2}, "epochs"), ({"augment": "paper"}, "augment")])
def test_runs_with_other_options_are_an_error_that_names_the_option(copied, sample_dataset, trained, changed, named):
    with pytest.raises(QuaclrsError, match=f"fold-2-seed-0 was run with another {named};.*--overwrite"):
        cross_validate(options(sample_dataset, copied, **changed))
    for fold in (2, 3):
        (copied / f"fold-{fold}-seed-0" / "metrics.json").unlink()
    with pytest.raises(QuaclrsError, match=f"fold-2-seed-0 began with {named} .*--overwrite"):
        cross_validate(options(sample_dataset, copied, **changed))


def test_an_encoder_that_has_heard_a_fold_is_refused_before_any_is_trained(finished, sample_dataset, tmp_path, trained):
    encoders = str(finished[0] / "fold-2-seed-0")  # fit for fold 2, and not for 3
    given = {"mode": "finetune", "init_from": encoders, "max_clips_per_class": None}
    with pytest.raises(QuaclrsError, match=r"fold-2-seed-0 has learned from .* of fold 5 .*kept from fold 2"):
        cross_validate(options(sample_dataset, tmp_path / "cv", folds="2,5", **given))
    assert trained == []


def test_each_run_has_its_fold_seed_and_folder_and_all_other_options(tmp_path):
    config = options("data", tmp_path, seeds="4,5", patience=3)
    run = plan_run(config, fold=7, seed=5).config
    assert (run.test_fold, run.seed, run.output_dir) == (7, 5, str(tmp_path / "fold-7-seed-5"))
    assert (run.resume, run.overwrite) == ("auto", False)
    assert {name: getattr(run, name) for name in (*SMALLEST, "patience")} == {**SMALLEST, "patience": 3}
    anew = plan_run(options("data", tmp_path, overwrite=True), fold=7, seed=5).config
    assert (anew.resume, anew.overwrite) == ("no", True)


@pytest.mark.usefixtures("warm_runs")
def test_runs_in_processes_of_their_own_predict_what_runs_in_this_one_do(finished, sample_dataset, tmp_path):
    summary = cross_validate(options(sample_dataset, tmp_path / "cv", jobs=2))
    for run in ("fold-2-seed-0", "fold-3-seed-0"):
        one, other = ((folder / run / "predictions.csv").read_text() for folder in (finished[0], tmp_path / "cv"))
        assert one == other
    assert summary["figures"] == finished[1]["figures"]
    assert not list((tmp_path / "cv").glob("*.yaml"))


def test_a_run_that_fails_side_by_side_is_named_and_nothing_is_summed_up(sample_dataset, tmp_path, monkeypatch):
    class Failing:
        returncode = 2

    seen = []

    def run(command, **_):
        seen.append(int(command[command.index("--test-fold") + 1]))
        return Failing()

    monkeypatch.setattr("training.runs.run.subprocess.run", run)
    with pytest.raises(QuaclrsError, match=r"^2 of 2 runs failed, first .*fold-2-seed-0; its message is above$"):
        cross_validate(options(sample_dataset, tmp_path / "cv", jobs=2))
    assert sorted(seen) == [2, 3]
    assert not list(tmp_path.glob("cv/*"))


def test_a_fold_that_lacks_a_source_is_refused_with_those_that_are_complete(
    sample_dataset, tmp_path, monkeypatch, trained
):
    whole = load_urbansound13(sample_dataset)
    lacking = [
        i for i, (f, s) in enumerate(zip(whole["fold"], whole["source"], strict=True)) if (f, s) != (3, SIRENNET)
    ]
    monkeypatch.setattr(module, "load_urbansound13", lambda _: whole.select(lacking))
    with pytest.raises(QuaclrsError, match="fold 3 is not complete; complete folds are 1, 2, 4, 5, 6, 7, 8, 9, 10"):
        cross_validate(options(sample_dataset, tmp_path / "cv"))
    assert trained == []
    assert not (tmp_path / "cv").exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--folds", "1,1"], "--folds is '1,1'"),
        (["--folds", "one"], "--folds is 'one'"),
        (["--seeds", "0;1"], "--seeds is '0;1'"),
        (["--folds", "11"], "fold 11 is not complete"),
        (["--test-fold", "1"], "--test-fold is for a single run; pass --folds"),
        (["--seed", "1"], "--seed is for a single run; pass --seeds"),
        (["--resume", "auto"], "--resume auto is what cross-validation does"),
        (["--jobs", "0"], "--jobs is 0"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_option(sample_dataset, tmp_path, capsys, arguments, named):
    status = main(["--dataset", str(sample_dataset), "--output-dir", str(tmp_path / "cv"), *arguments])
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert status == 2
    assert line.startswith(f"error: {named}")
    assert not (tmp_path / "cv").exists()


def test_the_papers_protocol_carries_its_warning_wherever_its_figures_go(sample_dataset, tmp_path, capsys):
    arguments = [word for name, value in SMALLEST.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    status = main([
        "--dataset", str(sample_dataset), "--output-dir", str(tmp_path / "cv"), "--protocol", "paper",
        "--fill-per-fold", "0", "--folds", "2", *arguments,
    ])  # fmt: skip
    assert status == 0
    _, result = capsys.readouterr().out.split("Protocol paper, fold 2 of 10 only")
    assert result.count("\nwarning: protocol 'paper'") == 1
    text = (tmp_path / "cv" / "summary.md").read_text()
    assert text.startswith("# Protocol paper, fold 2 of 10 only")
    assert text.count("> **Warning:** protocol 'paper'") == 1
    summary = json.loads((tmp_path / "cv" / "summary.json").read_text())
    assert any("optimistic" in warning for warning in summary["warnings"])
    assert summary["figures"]["accuracy"]["std"] is None  # of a single fold there is none
    dealt = load_urbansound13(sample_dataset)["fold_paper"][:]
    assert summary["clips"] == dealt.count(2)
