"""Cross-validations side by side: gains and intervals are those of the same clips."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from quaclrs import load_urbansound13
from quaclrs.data import class_names
from quaclrs.evaluation.result_files import write_predictions
from training.compare import main


@pytest.fixture(scope="module")
def clips(sample_dataset):
    rows = load_urbansound13(sample_dataset)
    rows = rows.select(np.flatnonzero(np.isin(rows["fold"][:], [1, 2])))
    return sample_dataset, rows["clip_id"][:], rows["fold"][:], np.asarray(rows["label"][:]), class_names(rows)


def cross_validation(folder: Path, clips, wrong: int, seeds=(0,), without=None) -> str:
    """As much of a cross-validation as is looked at; the first `wrong` clips of each fold are named wrongly.

    Its summary does not name the run (fold, seed) that is left out.
    """
    dataset, ids, folds, labels, names = clips
    folds = np.asarray(folds)
    for fold in (1, 2):
        rows = np.flatnonzero(folds == fold)
        for seed in seeds:
            run = folder / f"fold-{fold}-seed-{seed}"
            run.mkdir(parents=True)
            (run / "config.yaml").write_text(f"dataset: {dataset}\n")
            scores = np.eye(len(names))[(labels[rows] + (np.arange(len(rows)) < wrong)) % len(names)]
            write_predictions(
                run / "predictions.csv", [ids[row] for row in rows], [fold] * len(rows), labels[rows], scores, names
            )
    right = 1 - 2 * wrong / len(ids)
    runs = [{"fold": fold, "seed": seed} for fold in (1, 2) for seed in seeds if (fold, seed) != without]
    summary = {"runs": runs, "figures": {"accuracy": {"pooled": right}}, "over_recordings": {"all": {"value": right}}}
    (folder / "summary.json").write_text(json.dumps(summary))
    return str(folder)


def test_gains_are_those_that_one_counts(clips, tmp_path, capsys) -> None:
    worse, better = cross_validation(tmp_path / "worse", clips, 4), cross_validation(tmp_path / "better", clips, 1)
    same = cross_validation(tmp_path / "same", clips, 4)

    assert main([worse, better, same, "--json", str(tmp_path / "kept.json")]) == 0

    kept = json.loads((tmp_path / "kept.json").read_text())["rows"]
    assert [row["recipe"] for row in kept] == ["worse", "better", "same"]
    assert kept[1]["gain"]["value"] == pytest.approx(6 / len(clips[1])) and kept[0]["gain"] is None
    lines = capsys.readouterr().out.splitlines()
    header, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert header[:2] == ["recipe", "accuracy"] and [row[0] for row in rows] == ["worse", "better", "same"]
    gain, low, _, high = rows[1][2].replace("(", "").replace(")", "").split()
    assert float(gain) == pytest.approx(100 * 6 / len(clips[1]), abs=0.05)
    assert 0 <= float(low) <= float(gain) <= float(high)
    assert (rows[0][2], rows[2][2]) == ("–", "+0.0 (+0.0 to +0.0)")


def test_a_class_has_the_recall_and_the_confusion_that_one_counts(clips, tmp_path, capsys) -> None:
    folds, labels, names = clips[2:]
    worse, better = cross_validation(tmp_path / "worse", clips, 4), cross_validation(tmp_path / "better", clips, 1)
    # The first clips of a fold are called the class after their own.
    mistaken = {wrong: [np.flatnonzero(np.asarray(folds) == fold)[:wrong] for fold in (1, 2)] for wrong in (4, 1)}
    label = int(labels[mistaken[1][0][0]])
    shares = {
        wrong: (labels[np.concatenate(rows)] == label).sum() / (labels == label).sum()
        for wrong, rows in mistaken.items()
    }

    assert main([worse, better, "--classes", names[label], "--json", str(tmp_path / "kept.json")]) == 0

    rows = json.loads((tmp_path / "kept.json").read_text())["rows"][2:]
    assert [(row["class"], row["recipe"]) for row in rows] == [(names[label], "worse"), (names[label], "better")]
    assert [row["recall"] for row in rows] == pytest.approx([1 - shares[4], 1 - shares[1]])
    assert [row["share"] for row in rows] == pytest.approx([shares[4], shares[1]])
    assert {row["called"] for row in rows} == {names[(label + 1) % len(names)]}
    assert rows[0]["gain"] is None and rows[1]["gain"]["value"] == pytest.approx(shares[4] - shares[1])
    assert f"{rows[1]['called']} {rows[1]['share']:.1%}" in capsys.readouterr().out
    assert main([worse, better, "--classes", "church_bell"]) == 2
    assert "--classes: the data set has no church_bell" in capsys.readouterr().err


def test_what_cannot_be_compared_is_told_in_one_line(clips, tmp_path, capsys) -> None:
    whole = cross_validation(tmp_path / "whole", clips, 1)
    half = cross_validation(tmp_path / "half", clips, 1, without=(2, 0))
    uneven = cross_validation(tmp_path / "uneven", clips, 1, seeds=(0, 1), without=(2, 1))
    lost = cross_validation(tmp_path / "lost", clips, 1)
    (tmp_path / "lost" / "fold-2-seed-0" / "predictions.csv").unlink()
    for folders, words in (
        ([whole, str(tmp_path)], "holds no summary.json"),
        ([whole, half], "half and whole tested different clips"),
        ([whole, lost], "predictions.csv holds no predictions"),
        ([whole, uneven], "lacks predictions of some folds or seeds"),
    ):
        assert main(folders) == 2
        assert words in capsys.readouterr().err


def test_runs_that_another_command_left_in_the_folder_do_not_count(clips, tmp_path, capsys) -> None:
    first, second = (cross_validation(tmp_path / name, clips, 4) for name in ("first", "second"))
    cross_validation(tmp_path / "others", clips, 0, seeds=(1,))
    for run in (tmp_path / "others").glob("fold-*"):
        run.rename(tmp_path / "second" / run.name)
    assert main([first, second, "--json", str(tmp_path / "kept.json")]) == 0
    gain = json.loads((tmp_path / "kept.json").read_text())["rows"][1]["gain"]
    assert gain == {"value": 0, "low": 0, "high": 0}


def test_background_is_counted_where_95_percent_of_what_was_right_is_kept(clips, tmp_path, capsys) -> None:
    folder = Path(cross_validation(tmp_path / "cv", clips, 0))
    names = [*clips[4], "other"]
    rng = np.random.default_rng(0)
    margins = {fold: (rng.normal(2, 1, 100), rng.normal(-1, 2, 60)) for fold in (1, 2)}  # log-odds of the named class
    for fold, (of_class, of_background) in margins.items():
        odds = np.concatenate([of_class, of_background])
        scores = np.zeros((160, len(names)))
        scores[:, 0], scores[:, -1] = 1 / (1 + np.exp(-odds)), 1 / (1 + np.exp(odds))
        labels = np.repeat([0, len(names) - 1], [100, 60])
        ids = [f"{fold}/{row}" for row in range(160)]
        write_predictions(
            folder / f"fold-{fold}-seed-0" / "predictions_other.csv", ids, [fold] * 160, labels, scores, names
        )
    of_class, of_background = (np.concatenate([margins[fold][part] for fold in (1, 2)]) for part in (0, 1))
    threshold = np.sort(of_class)[9:11].mean()  # of 200 between the tenth, which is lost, and the eleventh
    named = (of_background > threshold).mean()
    assert 0.05 < named < 0.5

    assert main([str(folder), "--json", str(tmp_path / "kept.json")]) == 0

    assert json.loads((tmp_path / "kept.json").read_text())["rows"][0]["named"] == pytest.approx(named)
    assert f"{100 * named:.1f}%" in capsys.readouterr().out
