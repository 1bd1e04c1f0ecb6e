"""Summaries of cross-validation against numbers worked out by hand, scikit-learn and the bootstrap itself."""

from __future__ import annotations

import json
import statistics
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score, precision_score, recall_score, roc_auc_score

from quaclrs.errors import QuaclrsError
from quaclrs.evaluation.bootstrap import bootstrap_intervals
from quaclrs.evaluation.cross_validation import FoldResult, summarise, summary_markdown
from quaclrs.folds import PAPER_PROTOCOL_WARNING

NAMES = ["car_horn", "police", "traffic"]
SOURCE = {0: "urbansound8k", 1: "sirennet", 2: "sirennet"}


def result(fold: int, seed: int, labels: list[int], predicted: list[int], **changes: object) -> FoldResult:
    """One run whose clips are named by fold and row, each of a recording of its own."""
    names = [f"{fold}/{row}" for row in range(len(labels))]
    made = FoldResult(
        fold=fold,
        seed=seed,
        labels=np.array(labels),
        probabilities=0.1 + 0.7 * np.eye(3)[predicted],
        sources=[SOURCE[label] for label in labels],
        recording_ids=[f"recording of {name}" for name in names],
        clip_ids=names,
        controls={},
    )
    return replace(made, **changes)


# Accuracies by hand. Fold 1: seed 0 has 3 of 4, seed 1 has 2 of 4. Fold 2: 1 of 2 and 2 of 2. Fold 3: 5 of 5, 3 of 5.
RUNS = [
    result(1, 0, [0, 0, 1, 2], [0, 0, 1, 1]),
    result(1, 1, [0, 0, 1, 2], [0, 1, 1, 1]),
    result(2, 0, [0, 1], [0, 2]),
    result(2, 1, [0, 1], [0, 1]),
    result(3, 0, [0, 0, 1, 2, 2], [0, 0, 1, 2, 2]),
    result(3, 1, [0, 0, 1, 2, 2], [0, 0, 0, 2, 0]),
]
FOLDS = [(3 / 4 + 2 / 4) / 2, (1 / 2 + 1) / 2, (1 + 3 / 5) / 2]


def summed(runs: list[FoldResult] = RUNS, **changes: object) -> dict:
    options = {"class_names": NAMES, "protocol": "strict", "complete_folds": (1, 2, 3), "replicates": 200}
    return summarise(runs, **(options | changes))


def test_a_figure_is_the_mean_over_folds_of_means_over_seeds_with_the_sample_deviation_over_folds() -> None:
    accuracy = summed()["figures"]["accuracy"]
    assert accuracy["mean"] == pytest.approx(statistics.mean(FOLDS))
    assert accuracy["std"] == pytest.approx(statistics.stdev(FOLDS))
    assert accuracy["range"] == pytest.approx([min(FOLDS), max(FOLDS)])
    assert accuracy["folds"] == 3
    seeds = [statistics.mean([3 / 4, 1 / 2, 1]), statistics.mean([2 / 4, 1, 3 / 5])]
    assert accuracy["seed_std"] == pytest.approx(statistics.stdev(seeds))
    assert accuracy["pooled"] == pytest.approx((9 / 11 + 7 / 11) / 2)  # 9 and 7 of the 11 clips


def test_the_two_sources_are_summed_up_apart() -> None:
    figures = summed()["figures"]
    # Car horns: 2/2 and 1/2, 1/1 and 1/1, 2/2 and 2/2. Police and traffic: 1/2 and 1/2, 0/1 and 1/1, 3/3 and 1/3.
    assert figures["accuracy_urbansound8k"]["mean"] == pytest.approx(statistics.mean([3 / 4, 1, 1]))
    assert figures["accuracy_sirennet"]["mean"] == pytest.approx(statistics.mean([1 / 2, 1 / 2, 2 / 3]))
    assert figures["accuracy_sirennet"]["std"] == pytest.approx(statistics.stdev([1 / 2, 1 / 2, 2 / 3]))
    # Balanced over police and traffic in fold 3: 1 with seed 0; police 0 and traffic 1/2 with seed 1.
    fold_3 = (1 + (0 + 1 / 2) / 2) / 2
    assert figures["balanced_accuracy_sirennet"]["mean"] == pytest.approx(statistics.mean([1 / 2, 1 / 2, fold_3]))


def test_every_run_and_every_fold_is_listed_with_its_figures() -> None:
    summary = summed(list(reversed(RUNS)))
    assert [(run["fold"], run["seed"]) for run in summary["runs"]] == [(1, 0), (1, 1), (2, 0), (2, 1), (3, 0), (3, 1)]
    assert [run["accuracy"] for run in summary["runs"]] == pytest.approx([3 / 4, 2 / 4, 1 / 2, 1, 1, 3 / 5])
    assert [fold["accuracy"] for fold in summary["per_fold"]] == pytest.approx(FOLDS)
    assert [fold["clips"] for fold in summary["per_fold"]] == [4, 2, 5]
    assert [fold["classes_with_support"] for fold in summary["per_fold"]] == [3, 2, 3]


def test_classes_are_scored_on_all_test_clips_together_as_scikit_learn_scores_them() -> None:
    summary = summed()
    labels = np.concatenate([run.labels for run in RUNS[::2]])
    pools = [np.concatenate([run.probabilities for run in RUNS[seed::2]]) for seed in (0, 1)]
    predictions = [pool.argmax(axis=1) for pool in pools]
    for index, name in enumerate(NAMES):
        of_class = summary["per_class"][name]
        for figure, score in (("precision", precision_score), ("recall", recall_score), ("f1", f1_score)):
            expected = statistics.mean(score(labels == index, guess == index) for guess in predictions)
            assert of_class[figure] == pytest.approx(expected), (name, figure)
        expected = statistics.mean(roc_auc_score(labels == index, pool[:, index]) for pool in pools)
        assert of_class["roc_auc"] == pytest.approx(expected)
        assert (of_class["support"], of_class["recordings"]) == (np.sum(labels == index), np.sum(labels == index))
    counts = sum(confusion_matrix(labels, guess) for guess in predictions)
    assert summary["confusion_matrix"] == counts.tolist()
    assert np.sum(summary["confusion_matrix"]) == 2 * 11  # once a seed


def test_intervals_are_the_bootstraps_over_the_recordings_of_all_test_clips() -> None:
    shared = [replace(run, recording_ids=[f"{label}" for label in run.labels]) for run in RUNS]
    summary, narrow = summed(), summed(shared)
    expected = bootstrap_intervals(
        np.concatenate([run.labels for run in RUNS[::2]]),
        np.stack([np.concatenate([run.probabilities for run in RUNS[seed::2]]) for seed in (0, 1)]),
        [recording for run in RUNS[::2] for recording in run.recording_ids],
        NAMES,
        [source for run in RUNS[::2] for source in run.sources],
        replicates=200,
    )
    assert summary["figures"]["macro_f1"]["interval"] == list(expected["macro_f1"])
    assert summary["per_class"]["police"]["recall_interval"] == list(expected["per_class"]["police"]["recall"])
    # One recording a class over all the folds leaves nothing to draw.
    low, high = narrow["figures"]["accuracy"]["interval"]
    assert low == pytest.approx(high) == pytest.approx(8 / 11)
    assert (summary["recordings"], narrow["recordings"]) == (11, 3)


def test_clips_that_another_seed_tested_in_another_order_are_put_in_the_order_of_the_first() -> None:
    order = [2, 0, 3, 1]
    run = RUNS[1]
    shuffled = replace(
        run,
        labels=run.labels[order],
        probabilities=run.probabilities[order],
        **{name: [getattr(run, name)[i] for i in order] for name in ("sources", "recording_ids", "clip_ids")},
    )
    assert summed([RUNS[0], shuffled, *RUNS[2:]]) == summed()


def test_controls_are_averaged_as_the_model_is_and_rows_of_some_folds_say_of_how_many() -> None:
    controls = [0.2, 0.4, 0.5, 0.5, 0.9, 0.7]
    runs = [
        replace(run, controls={"length alone": {"accuracy": value, "accuracy_sirennet": None}})
        for run, value in zip(RUNS, controls, strict=True)
    ]
    runs[0] = replace(runs[0], controls=runs[0].controls | {"cut clips": {"accuracy": 0.25}})
    rows = summed(runs)["controls"]
    length = rows["length alone"]["accuracy"]
    assert length["mean"] == pytest.approx(statistics.mean([0.3, 0.5, 0.8]))
    assert length["std"] == pytest.approx(statistics.stdev([0.3, 0.5, 0.8]))
    assert (length["range"], length["folds"]) == (pytest.approx([0.3, 0.8]), 3)
    assert length["seed_std"] == pytest.approx(
        statistics.stdev([statistics.mean([0.2, 0.5, 0.9]), statistics.mean([0.4, 0.5, 0.7])])
    )
    assert (rows["cut clips"]["accuracy"]["mean"], rows["cut clips"]["accuracy"]["folds"]) == (0.25, 1)
    nowhere = {"mean": None, "std": None, "range": None, "folds": 0, "seed_std": None}
    assert rows["length alone"]["accuracy_sirennet"] == nowhere


def test_one_fold_and_one_seed_have_no_deviation() -> None:
    accuracy = summed(RUNS[:1])["figures"]["accuracy"]
    assert (accuracy["mean"], accuracy["std"], accuracy["seed_std"], accuracy["folds"]) == (0.75, None, None, 1)


@pytest.mark.parametrize(
    ("complete", "folds", "scope"),
    [
        (range(1, 4), 3, "Protocol strict, all 3 folds"),
        (
            range(1, 11),
            10,
            "folds 1, 2, 3 of 10 only: folds 4, 5, 6, 7, 8, 9, 10 were not tested, so this is not a 10-f",
        ),
        ((1, 2, 3), 10, "folds 1, 2, 3 of 10 only: the other folds lack clips, so this is not a 10-fold figure"),
        ((1, 2, 3, 7), 10, "folds 1, 2, 3 of 10 only: fold 7 was not tested and the other folds lack clips, so this"),
    ],
)
def test_first_lines_name_protocol_and_folds_and_say_why_folds_are_missing(
    complete: range, folds: int, scope: str
) -> None:
    summary = summed(complete_folds=complete, all_folds=range(1, folds + 1))
    first_lines = summary["headline"], summary_markdown(summary, "a model", "a command").splitlines()[0]
    for line in first_lines:
        assert scope in line and "Protocol strict" in line
    assert "\n" not in summary["headline"]
    assert "only" in summary["headline"] or folds == 3


def test_a_single_fold_is_named_in_the_singular_and_the_paper_protocol_carries_its_warning() -> None:
    summary = summed(RUNS[:2], protocol="paper", warnings=["the clips are synthetic", PAPER_PROTOCOL_WARNING])
    assert summary["headline"].startswith("Protocol paper, fold 1 of 10 only: folds 2, 3 were not tested and the other")
    assert summary["warnings"] == [PAPER_PROTOCOL_WARNING, "the clips are synthetic"]
    markdown = summary_markdown(summary, "a model", "a command")
    assert all(warning in markdown for warning in summary["warnings"])
    assert summed()["warnings"] == []


def rows_of(markdown: str, heading: str) -> dict[str, list[str]]:
    """First cell -> the other cells, of the table under a heading."""
    lines = markdown.split(f"## {heading}\n")[1].split("\n## ")[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert len({len(row) for row in cells}) == 1, "every row of a table has as many cells"
    return {row[0]: row[1:] for row in cells}


def test_the_tables_show_the_figures_in_per_cent_the_controls_under_the_model() -> None:
    control = {"accuracy": 0.125, "balanced_accuracy": 0.25, "accuracy_urbansound8k": None, "accuracy_sirennet": 1.0}
    summary = summed([replace(run, controls={"length alone": control}) for run in RUNS], class_names=NAMES)
    markdown = summary_markdown(summary, "resnet18, finetune", "python -m training.cross_validate --folds 1 2 3")

    compared = rows_of(markdown, "Model and controls")
    assert compared[""] == ["accuracy", "balanced accuracy", "1 UrbanSound8K class", "2 new classes"]
    # 62.5, 75 and 80 %: mean 72.5, deviation 9.01.
    assert compared["model"][0] == "72.5 ± 9.0"
    assert compared["length alone"] == ["12.5 ± 0.0", "25.0 ± 0.0", "–", "100.0 ± 0.0"]

    figures = rows_of(markdown, "Figures")
    assert figures["figure"][2] == "deviation over seeds"
    low, high = summary["figures"]["accuracy"]["interval"]
    # Seeds: 75 and 70 %, deviation 3.54.
    assert figures["accuracy"] == ["72.5 ± 9.0", "62.5 to 80.0", "3.5", "72.7", f"{100 * low:.1f} to {100 * high:.1f}"]
    assert {"macro F1", "weighted precision", "macro ROC AUC", "accuracy, 2 new classes"} <= figures.keys()

    folds = rows_of(markdown, "Folds")
    assert folds["1"][:2] == ["4", "62.5"]
    classes = rows_of(markdown, "Classes")
    # Police: recall 2/3 and 2/3, precision 2/3 and 2/4.
    assert classes["police"][:4] == ["3", "3", "58.3", "66.7"]
    assert "python -m training.cross_validate --folds 1 2 3" in markdown
    assert "resnet18, finetune" in markdown


def test_a_class_or_source_without_test_clips_is_a_dash_and_one_seed_has_no_column_of_seeds() -> None:
    summary = summed([result(1, 0, [0, 0, 1], [0, 1, 1]), result(2, 0, [0, 1], [0, 1])])
    assert summary["classes_with_support"] == 2
    markdown = summary_markdown(summary, "a model", "a command")
    assert rows_of(markdown, "Classes")["traffic"] == ["0", "0", "–", "–", "–", "–", "–"]
    assert rows_of(markdown, "Figures")["figure"] == ["mean ± deviation", "range", "pooled", "95 % interval"]
    only_horns = summed([result(1, 0, [0, 0], [0, 1])])
    assert "new" not in rows_of(summary_markdown(only_horns, "a", "b"), "Model and controls")[""]
    assert rows_of(summary_markdown(only_horns, "a", "b"), "Model and controls")["model"] == ["50.0", "50.0", "50.0"]


def test_the_summary_survives_json_unchanged_and_so_do_its_tables() -> None:
    numpy_ids = [
        replace(run, fold=np.int64(run.fold), sources=np.array(run.sources), clip_ids=np.array(run.clip_ids))
        for run in RUNS
    ]
    summary = summed(numpy_ids, complete_folds=np.array([1, 2, 3]))
    read_back = json.loads(json.dumps(summary, allow_nan=False))
    assert read_back == summary == summed()
    assert summary_markdown(read_back, "a", "b") == summary_markdown(summary, "a", "b")


@pytest.mark.parametrize(
    ("runs", "changes", "message"),
    [
        ([], {}, "no results"),
        ([RUNS[0], RUNS[0]], {}, "fold 1 was given twice for seed 0"),
        ([RUNS[0], replace(RUNS[2], clip_ids=["1/3", "2/1"])], {}, "clip 1/3 was tested in folds 1 and 2"),
        ([replace(RUNS[2], clip_ids=["x", "x"])], {}, "clip x was tested twice"),
        ([RUNS[0], replace(RUNS[1], clip_ids=["1/0", "1/1", "1/2", "z"])], {}, "other clips with seed 1 than with 0"),
        ([RUNS[0], replace(RUNS[1], labels=np.array([0, 0, 2, 2]))], {}, "labels of the same clips differ"),
        ([RUNS[0], replace(RUNS[1], recording_ids=list("abcd"))], {}, "recording_ids of the same clips differ"),
        ([RUNS[0], RUNS[1], RUNS[2]], {}, r"fold 2 was tested with seeds \[0\], another with \[0, 1\]"),
        ([replace(RUNS[0], sources=["sirennet"])], {}, "fold 1, seed 0: sources has 1 entries for 4 clip_ids"),
        ([RUNS[0]], {"complete_folds": (2, 3)}, r"fold 1 .* complete_folds: \[2, 3\]"),
        ([RUNS[0]], {"all_folds": (2, 3)}, r"fold 1 .* all_folds: \[2, 3\]"),
        ([RUNS[0]], {"protocol": "lenient"}, "'lenient'"),
        ([RUNS[0]], {"class_names": ["a", "b"]}, r"\(4, 2\)"),
    ],
)
def test_runs_that_cannot_be_summed_up_are_refused_in_one_line(
    runs: list[FoldResult], changes: dict, message: str
) -> None:
    with pytest.raises(QuaclrsError, match=message) as caught:
        summed(runs, **changes)
    assert "\n" not in str(caught.value)
