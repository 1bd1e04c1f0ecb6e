"""Cross-validations of one data set side by side, and what each gains over the first.

`python -m training.compare CV CV …` prints a Markdown table; `--json FILE` keeps its figures. A gain is of the accuracy
on the same test clips, with its 95 % interval by bootstrap over recordings: what makes a recording hard for both
recipes cancels. In the columns after it every recording counts once, however many clips it has. `--classes A,B` prints
another table: the recall of each of these classes, and what else its clips are called most often.

Recipes with `other` differ in how much they keep. So the last column is of background that is named a class where the
score of `other` is shifted until 95 % of what was right stays right.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quaclrs.augment.variants import parent_and_variant
from quaclrs.data import class_names, load_urbansound13
from quaclrs.errors import CommandParser, QuaclrsError, report_user_errors
from quaclrs.evaluation.open_set import offset_of_other
from quaclrs.evaluation.paired import paired_difference
from quaclrs.evaluation.records import add_json_option, command_of, write_record
from quaclrs.evaluation.reports.tables import markdown_table, percent
from quaclrs.evaluation.result_files import OPEN_SET, PREDICTIONS, read_predictions
from quaclrs.evaluation.run_metrics import run_folders
from quaclrs.text_files import read_mapping

from .runs.options import read_options_file

#: Figures of a row -> heads of their columns; the latter are of models with the class `other`.
_COLUMNS = {
    "accuracy": "accuracy", "gain": "gain, points", "all": "every recording once",
    "urbansound8k": "of the 9 classes", "sirennet": "of the 4 new",
}  # fmt: skip
_OTHER = {
    "kept": "kept with `other`", "false_alarms": "background named", "auroc_other": "AUROC of `other`",
    "named": "named where 95% is kept",
}  # fmt: skip

#: Share of what was right that stays right where background is counted.
_KEPT = 0.95


@dataclass(frozen=True)
class _Compared:
    """A finished cross-validation: its summary, and the seeds' scores of each test clip, (seeds, classes).

    `named` is the share of background that is named a class where 95 % is kept; None without `other`.
    """

    name: str
    summary: dict[str, Any]
    labels: dict[str, int]
    scores: dict[str, np.ndarray]
    dataset: str
    named: float | None


class Comparison:
    """Finished cross-validations of one data set beside the first of them.

    Args:
        folders: of the cross-validations.

    Raises:
        QuaclrsError: a folder is not a finished cross-validation, or the data set of the first cannot be loaded.
    """

    def __init__(self, folders: list[Path]) -> None:
        self._compared = [_read(folder) for folder in folders]
        self._first = self._compared[0]
        dataset = load_urbansound13(self._first.dataset)
        self.class_names = class_names(dataset)
        self._recording_of = dict(zip(dataset["clip_id"][:], dataset["recording_id"][:], strict=True))

    def rows(self) -> list[dict[str, Any]]:
        """A row of figures of each, shares in [0, 1]; those that it lacks are None.

        Raises:
            QuaclrsError: its test clips or seeds are not the first one's.
        """
        return [self._row(one) for one in self._compared]

    def rows_of_classes(self, classes: list[str]) -> list[dict[str, Any]]:
        """A row of each class and cross-validation.

        Returns:
            `recall`, its `gain` over the first, the class that the other clips are `called` most often, and its `share`
            of all clips; None and 0 where all are named rightly.

        Raises:
            QuaclrsError: as of `rows`, or the data set lacks such a class.
        """
        names = self.class_names
        if unknown := [name for name in classes if name not in names]:
            raise QuaclrsError(f"--classes: the data set has no {unknown[0]}; it has {', '.join(names)}")
        return [self._class_row(one, name) for name in classes for one in self._compared]

    def _row(self, one: _Compared) -> dict[str, Any]:
        over, other = one.summary["over_recordings"], {**(one.summary.get("open_set") or {}), "named": one.named}
        return {
            "recipe": one.name,
            "accuracy": one.summary["figures"]["accuracy"]["pooled"],
            "gain": self._gain(one, list(self._first.labels)),
            **{name: over[name]["value"] if name in over else None for name in ("all", "urbansound8k", "sirennet")},
            **{name: other.get(name) for name in _OTHER},
        }

    def _class_row(self, one: _Compared, name: str) -> dict[str, Any]:
        names = self.class_names
        label = names.index(name)
        clips = [clip for clip, of_clip in one.labels.items() if of_clip == label]
        if not clips:
            raise QuaclrsError(f"{one.name} tested no clip of {name}; leave it out of --classes")
        called = np.concatenate([one.scores[clip].argmax(axis=1) for clip in clips])
        shares = np.bincount(called, minlength=len(names)) / len(called)
        recall, shares[label] = float(shares[label]), 0
        return {
            "class": name,
            "recipe": one.name,
            "recall": recall,
            "gain": self._gain(one, clips),
            "called": names[shares.argmax()] if shares.any() else None,
            "share": float(shares.max()),
        }

    def _gain(self, one: _Compared, clips: list[str]) -> dict[str, float] | None:
        first, recording_of = self._first, self._recording_of
        if one is first:
            return None
        if one.labels != first.labels:
            raise QuaclrsError(f"{one.name} and {first.name} tested different clips; compare runs of the same folds")
        originals = [parent_and_variant(clip)[0] for clip in clips]  # copies, under the paper's protocol
        if unknown := sorted(set(originals) - recording_of.keys()):
            raise QuaclrsError(f"{first.name} tested {unknown[0]}, which {first.dataset} lacks; build it as it was")
        ours, theirs = (np.stack([entry.scores[clip] for clip in clips], axis=1) for entry in (one, first))
        labels = np.array([first.labels[clip] for clip in clips])
        found = paired_difference(labels, ours, theirs, [recording_of[clip] for clip in originals])
        low, high = found["interval"]
        return {"value": found["difference"], "low": low, "high": high}


def classes_table(rows: list[dict[str, Any]]) -> str:
    """Format the rows of `Comparison.rows_of_classes` as a Markdown table."""
    heads = ["class", "recipe", "recall", "gain, points", "otherwise called"]
    otherwise = [f"{row['called']} {row['share']:.1%}" if row["called"] else "–" for row in rows]
    return markdown_table(
        heads,
        [
            [row["class"], row["recipe"], _cell(row["recall"]), _cell(row["gain"]), cell]
            for row, cell in zip(rows, otherwise, strict=True)
        ],
    )


def comparison_table(rows: list[dict[str, Any]]) -> str:
    """Format the rows of `Comparison.rows` as a Markdown table."""
    columns = _COLUMNS | (_OTHER if any(row[name] is not None for row in rows for name in _OTHER) else {})
    return markdown_table(
        ["recipe", *columns.values()], [[row["recipe"], *(_cell(row[name]) for name in columns)] for row in rows]
    )


def _cell(figure: float | dict[str, float] | None) -> str:
    if not isinstance(figure, dict):
        return percent(figure)
    return "{value:+.1f} ({low:+.1f} to {high:+.1f})".format(**{name: 100 * part for name, part in figure.items()})


def _read(folder: Path) -> _Compared:
    if not (folder / "summary.json").is_file():
        raise QuaclrsError(f"{folder} holds no summary.json; give the --output-dir of a finished cross-validation")
    summary = read_mapping(folder / "summary.json")
    try:
        runs = run_folders(folder, summary)  # not those of other folds and seeds that an earlier command left there
    except (KeyError, TypeError) as error:
        raise QuaclrsError(f"{folder}/summary.json names no runs; run training.cross_validate again") from error
    labels: dict[str, int] = {}
    scores: dict[str, list[np.ndarray]] = {}
    for run in runs:
        found = read_predictions(run / PREDICTIONS)
        for clip, label, probabilities in zip(found.clip_ids, found.labels, found.probabilities, strict=True):
            labels[clip] = int(label)
            scores.setdefault(clip, []).append(probabilities)
    if not labels or len({len(of_clip) for of_clip in scores.values()}) > 1:
        raise QuaclrsError(f"{folder} lacks predictions of some folds or seeds; run training.cross_validate again")
    dataset = str(read_options_file(runs[0] / "config.yaml")["dataset"])
    of_clips = {clip: np.stack(rows) for clip, rows in scores.items()}
    return _Compared(folder.name, summary, labels, of_clips, dataset, _named(runs))


def _named(runs: list[Path]) -> float | None:
    files = [run / OPEN_SET for run in runs]
    if not all(file.is_file() for file in files):
        return None
    found = [read_predictions(file) for file in files]
    labels = np.concatenate([of_run.labels for of_run in found])
    probabilities = np.concatenate([of_run.probabilities for of_run in found])
    background = np.log(np.clip(probabilities[labels == probabilities.shape[1] - 1], 1e-12, None))
    shift = offset_of_other(labels, probabilities, _KEPT)
    return float((background[:, :-1].max(axis=1) > background[:, -1] + shift).mean()) if len(background) else None


@report_user_errors
def main(arguments: list[str] | None = None) -> int:
    parser = CommandParser(prog="python -m training.compare", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="CV", help="--output-dir of training.cross_validate")
    parser.add_argument("--classes", default="", help="classes to look at more closely, a comma between")
    add_json_option(parser)
    options = parser.parse_args(arguments)
    comparison = Comparison(options.folders)
    rows = comparison.rows()
    print(comparison_table(rows))
    if classes := [name.strip() for name in options.classes.split(",") if name.strip()]:
        of_classes = comparison.rows_of_classes(classes)
        print("", classes_table(of_classes), sep="\n")
        rows += of_classes
    write_record(options.json, command_of(parser, arguments), rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
