"""Cross-validations of one data set side by side, and what each gains over the first.

`python -m training.compare CV CV …` prints a Markdown table. A gain is of the accuracy on the same test clips, with its
95 % interval by bootstrap over recordings: what makes a recording hard for both recipes cancels. In the columns
after it every recording counts once, however many clips it has.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quaclrs.data import load_urbansound13
from quaclrs.errors import CommandParser, QuaclrsError, report_user_errors
from quaclrs.evaluation.paired import paired_difference
from quaclrs.evaluation.reports.tables import markdown_table, percent
from quaclrs.evaluation.result_files import PREDICTIONS, read_predictions
from quaclrs.text_files import read_mapping

from .runs.options import read_options_file

_HEADER = ["recipe", "accuracy", "gain, points", "every recording once", "of the 9 classes", "of the 4 new"]
_OTHER = ["kept with `other`", "background named", "AUROC of `other`"]


@dataclass(frozen=True)
class _Compared:
    """A finished cross-validation: its summary, and the seeds' scores of each test clip, (seeds, classes)."""

    name: str
    summary: dict[str, Any]
    labels: dict[str, int]
    scores: dict[str, np.ndarray]
    dataset: str


def compare(folders: list[Path]) -> str:
    """The table of cross-validations.

    Raises:
        QuaclrsError: a folder is not a finished cross-validation, or its test clips or seeds are not the first one's.
    """
    first, *_ = compared = [_read(folder) for folder in folders]
    dataset = load_urbansound13(first.dataset)
    recording_of = dict(zip(dataset["clip_id"][:], dataset["recording_id"][:], strict=True))
    has_other = any(one.summary.get("open_set") for one in compared)
    rows = [_row(one, first, recording_of, has_other) for one in compared]
    return markdown_table(_HEADER + (_OTHER if has_other else []), rows)


def _row(one: _Compared, first: _Compared, recording_of: dict[str, str], has_other: bool) -> list[str]:
    figures, over = one.summary["figures"], one.summary["over_recordings"]
    row = [one.name, percent(figures["accuracy"]["pooled"]), _gain(one, first, recording_of)]
    row += [_value(over.get("all")), _value(over.get("urbansound8k")), _value(over.get("sirennet"))]
    if has_other:
        other = one.summary.get("open_set") or {}
        row += [percent(other.get(name)) for name in ("kept", "false_alarms", "auroc_other")]
    return row


def _gain(one: _Compared, first: _Compared, recording_of: dict[str, str]) -> str:
    if one is first:
        return "–"
    if one.labels != first.labels:
        raise QuaclrsError(f"{one.name} and {first.name} tested different clips; compare runs of the same folds")
    clips = list(first.labels)
    if unknown := sorted(set(clips) - recording_of.keys()):
        raise QuaclrsError(f"{first.name} tested {unknown[0]}, which {first.dataset} lacks; build it as it was")
    ours, theirs = (np.stack([entry.scores[clip] for clip in clips], axis=1) for entry in (one, first))
    labels = np.array([first.labels[clip] for clip in clips])
    found = paired_difference(labels, ours, theirs, [recording_of[clip] for clip in clips])
    low, high = found["interval"]
    return f"{100 * found['difference']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def _value(entry: dict[str, Any] | None) -> str:
    return percent(entry["value"] if entry else None)


def _read(folder: Path) -> _Compared:
    if not (folder / "summary.json").is_file():
        raise QuaclrsError(f"{folder} holds no summary.json; give the --output-dir of a finished cross-validation")
    summary = read_mapping(folder / "summary.json")
    runs = sorted(file.parent for file in folder.glob(f"fold-*-seed-*/{PREDICTIONS}"))
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
    return _Compared(folder.name, summary, labels, {clip: np.stack(rows) for clip, rows in scores.items()}, dataset)


@report_user_errors
def main(arguments: list[str] | None = None) -> int:
    parser = CommandParser(prog="python -m training.compare", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="CV", help="--output-dir of training.cross_validate")
    print(compare(parser.parse_args(arguments).folders))
    return 0


if __name__ == "__main__":
    sys.exit(main())
