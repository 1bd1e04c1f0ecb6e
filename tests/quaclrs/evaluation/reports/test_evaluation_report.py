"""What an evaluation says and keeps, against the numbers it was given."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset

from quaclrs.evaluation.evaluation_clips import EvaluationClips
from quaclrs.evaluation.held_out import HeldOut
from quaclrs.evaluation.reports.evaluation import describe, markdown_report, write_evaluation

KEPT = HeldOut(True, "recording")
CLASSES = ("dog_bark", "traffic")
PROBABILITIES = np.array([[0.75, 0.25], [0.4, 0.6], [0.125, 0.875]])
FIGURES = {
    "accuracy": 0.666,
    "balanced_accuracy": 0.5,
    "macro_f1": 0.61234,
    "macro_roc_auc": None,
    "accuracy_urbansound8k": 0.25,
    "accuracy_sirennet": 1.0,
}


def clips(**changed: Any) -> EvaluationClips:
    values = {
        "rows": Dataset.from_dict({"audio": [None] * 3}),
        "clip_ids": ["a", "b", 'c, "quoted"'],
        "folds": [2, 2, None],
        "labels": np.array([0, 0, 1]),
        "classes": CLASSES,
        "sources": ["urbansound8k"] * 2 + ["sirennet"],
        "fold": 2,
        "protocol": "paper",
        "split": "test",
        "left_out": {},
        "warnings": ("too good to be true",),
    }
    return EvaluationClips(**(values | changed))


def result(noise: str | None = None, held_out: HeldOut = KEPT, **changed: Any) -> dict[str, Any]:
    found = {
        **describe("runs/fold2/model", "data/urbansound13", clips(**changed), ["car_horn", *CLASSES], held_out),
        **FIGURES,
        "clips": 3,
        "per_class": {
            "dog_bark": {"precision": 0.9, "recall": 0.8, "f1": 0.7, "support": 3},
            "traffic": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0},
        },
        "confusion_matrix": [[1, 1], [0, 1]],
    }
    if noise:
        conditions = [{"snr_db": "clean", **FIGURES}, {"snr_db": -5.0, **FIGURES, "accuracy": 0.123}]
        found["robustness"] = {"noise": noise, "seed": 3, "conditions": conditions}
    return found


def cells(report: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in report.splitlines() if line[:1] == "|"]


def test_the_report_says_what_was_evaluated_and_every_figure_in_percent() -> None:
    report = markdown_report(result())
    for line in (
        "- model: runs/fold2/model",
        "- data set: data/urbansound13",
        "- clips: 3, test split of fold 2, paper protocol",
        "- predictions: over only the 2 mapped classes (dog_bark, traffic) of the model",
        "- warning: too good to be true",
    ):
        assert line in report.splitlines()
    rows = cells(report)
    assert rows[2:8] == [
        ["accuracy", "66.6%"],
        ["balanced accuracy", "50.0%"],
        ["macro F1", "61.2%"],
        ["macro ROC AUC", "–"],
        ["accuracy, UrbanSound8K's classes", "25.0%"],
        ["accuracy, new classes", "100.0%"],
    ]
    assert rows[8] == ["class", "recall", "precision", "F1", "clips"]
    assert rows[10:] == [["dog_bark", "80.0%", "90.0%", "70.0%", "3"], ["traffic", "–", "–", "–", "0"]]


def test_sources_without_clips_have_no_row_and_no_column() -> None:
    found = result(noise="gaussian") | dict.fromkeys(("accuracy_urbansound8k", "accuracy_sirennet"))
    report = markdown_report(found)
    assert "UrbanSound8K's classes" not in report and "new classes" not in report
    assert ["SNR (dB)", "accuracy", "macro F1"] in cells(report) and ["clean", "66.6%", "61.2%"] in cells(report)


def test_a_test_of_robustness_adds_a_row_a_ratio() -> None:
    report = markdown_report(result(noise="gaussian"))
    assert "Noise: gaussian, seed 3" in report
    assert cells(report)[-4:] == [
        ["SNR (dB)", "accuracy", "UrbanSound8K's classes", "new classes", "macro F1"],
        ["--------", "-------:", "---------------------:", "----------:", "-------:"],
        ["clean", "66.6%", "25.0%", "100.0%", "61.2%"],
        ["-5", "12.3%", "25.0%", "100.0%", "61.2%"],
    ]


def test_labels_that_were_left_out_are_counted_and_of_many_the_first_are_named() -> None:
    few = markdown_report(result(left_out={"rain": 3, "siren": 1}))
    assert "- left out: 4 clips whose label is not mapped: rain (3), siren (1)" in few
    many = markdown_report(result(left_out={f"label{number}": 2 for number in range(47)}))
    assert "- left out: 94 clips" in many
    assert "label9 (2) and 37 more" in many
    assert "label10" not in many


@pytest.mark.parametrize(
    ("held_out", "line", "answer"),
    [
        (KEPT, "- held out: yes, by recording", True),
        (HeldOut(False, "file name", 2, ("no test: it knows them",)), "- held out: no, by file name", False),
        (HeldOut(None, "clip"), "- held out: unknown; the model does not say what it has heard", None),
        (HeldOut(None, "file name", unknown="they may be renamed"), "- held out: unknown; they may be renamed", None),
    ],
)
def test_it_is_said_whether_the_model_knows_the_clips(held_out: HeldOut, line: str, answer: bool | None) -> None:
    found = result(held_out=held_out)
    assert line in markdown_report(found).splitlines()
    assert (found["held_out"], found["heard_clips"]) == (answer, held_out.heard)
    assert found["warnings"] == [*held_out.warnings, "too good to be true"]


def test_broken_clips_and_the_tables_of_labels_are_named() -> None:
    report = markdown_report(result(broken={"a.wav": "a.wav is empty"}, labels_from=("metadata.csv",)))
    assert "- left out, as they cannot be decoded: 1 of 4: a.wav (a.wav is empty)" in report.splitlines()
    assert "- labels: out of metadata.csv" in report.splitlines()


def test_all_classes_of_the_model_are_told_from_some_of_them() -> None:
    found = describe("m", "d", clips(), CLASSES, KEPT)
    assert not found["only_mapped_classes"]
    assert "over all 2 classes of the model" in markdown_report(result() | found)


@pytest.mark.parametrize("noise", [None, "gaussian"])
def test_the_folder_holds_what_was_printed_and_the_predictions_and_nothing_unfinished(
    noise: str | None, tmp_path: Path
) -> None:
    folder, wanted = tmp_path / "deep" / "results", result(noise)
    write_evaluation(folder, wanted, clips(), PROBABILITIES)

    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    expected = {"metrics.json", "results.md", "predictions.csv", "plots/confusion_matrix.png"}
    if noise:
        expected |= {"robustness.json", "robustness.csv", "plots/accuracy_over_snr.png"}
    assert files == expected
    robustness = wanted.pop("robustness", None)
    assert json.loads((folder / "metrics.json").read_text()) == wanted
    assert (folder / "results.md").read_text() == markdown_report(result(noise)) + "\n"
    with (folder / "predictions.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["clip_id", "fold", "label", "predicted", "dog_bark", "traffic"],
            ["a", "2", "dog_bark", "dog_bark", "0.75", "0.25"],
            ["b", "2", "dog_bark", "traffic", "0.4", "0.6"],
            ['c, "quoted"', "", "traffic", "traffic", "0.125", "0.875"],
        ]
    if noise:
        assert json.loads((folder / "robustness.json").read_text()) == robustness
        with (folder / "robustness.csv").open(newline="") as file:
            clean, noisy = csv.DictReader(file)
        assert (clean["snr_db"], clean["accuracy"], clean["macro_roc_auc"]) == ("clean", "0.666", "")
        assert (noisy["snr_db"], noisy["accuracy"], noisy["accuracy_sirennet"]) == ("-5.0", "0.123", "1.0")
