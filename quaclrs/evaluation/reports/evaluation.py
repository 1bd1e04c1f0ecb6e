"""Report of `quaclrs evaluate`: Markdown tables, JSON, CSV and figures. Every file is complete or absent."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...inference.windows import Crop
from ..evaluation_clips import EvaluationClips, listed
from ..figures.confusion_matrix import confusion_matrix_figure
from ..figures.robustness import accuracy_over_snr_figure
from ..figures.style import save_figure
from ..held_out import HeldOut
from ..metrics import FIGURE_NAMES, STANDARD_SOURCES
from ..result_files import write_csv, write_predictions, write_text
from .tables import counted, markdown_table, percent

_FIGURES_OVER_SNR = {
    "accuracy": "accuracy",
    "UrbanSound8K's classes": "accuracy_urbansound8k",
    "new classes": "accuracy_sirennet",
    "macro F1": "macro_f1",
}

_HEARD = {"whole": "heard whole, the mean over windows", "centre": "only their middle is heard"}

_HELD_OUT = {True: "yes, by {0}", False: "no, by {0}", None: "unknown; {1}"}


def describe(
    model: str,
    dataset: str,
    clips: EvaluationClips,
    model_classes: Sequence[str],
    held_out: HeldOut,
    crop: Crop = "whole",
) -> dict[str, Any]:
    """Model, data set, clips, classes and warnings that belong beside every figure; `crop` as they were heard."""
    return {
        "model": model,
        "dataset": dataset,
        "evaluated": clips.description,
        "crop": crop,
        "fold": clips.fold,
        "protocol": clips.protocol,
        "split": clips.split,
        "predicted_classes": list(clips.classes),
        "only_mapped_classes": len(clips.classes) < len(model_classes),
        "labels_from": list(clips.labels_from),
        "left_out": clips.left_out,
        "broken": clips.broken,
        "held_out": held_out.answer,
        "held_out_by": held_out.by,
        "held_out_unknown": held_out.unknown if held_out.answer is None else None,
        "heard_clips": held_out.heard,
        "warnings": [*held_out.warnings, *clips.warnings],
    }


def markdown_report(result: Mapping[str, Any]) -> str:
    """The tables of an evaluation.

    Args:
        result: `describe`'s entries, those of `classification_metrics`, and after a test of robustness `robustness`,
            which holds `noise` (a name), `seed` and `conditions` (as `metrics_over_snr` gives them).
    """
    classes = result["predicted_classes"]
    which = f"all {len(classes)} classes"
    if result["only_mapped_classes"]:
        which = f"only the {len(classes)} mapped classes ({', '.join(classes)})"
    lines = [
        f"- model: {result['model']}",
        f"- data set: {result['dataset']}",
        f"- clips: {result['clips']}, {result['evaluated']}",
        f"- predictions: over {which} of the model",
        f"- clips longer than the model's window: {_HEARD[result['crop']]}",
    ]
    if labels_from := result["labels_from"]:
        lines.append(f"- labels: out of {', '.join(labels_from)}")
    if left_out := result["left_out"]:
        labels = listed([f"{label} ({clips})" for label, clips in left_out.items()])
        lines.append(f"- left out: {counted(sum(left_out.values()), 'clip')} whose label is not mapped: {labels}")
    if broken := result["broken"]:
        reasons = listed([f"{clip_id} ({reason})" for clip_id, reason in broken.items()])
        share = f"{len(broken)} of {result['clips'] + len(broken)}"
        lines.append(f"- left out, as they cannot be decoded: {share}: {reasons}")
    answer = _HELD_OUT[result["held_out"]].format(result["held_out_by"], result["held_out_unknown"])
    lines.append(f"- held out: {answer}")
    lines += [f"- warning: {warning}" for warning in result["warnings"]]
    # A source without clips has no row: its name would say nothing to whoever tests other sounds.
    absent = {key for key in (f"accuracy_{source}" for source in STANDARD_SOURCES) if result.get(key) is None}
    figures = [[name, percent(result.get(key))] for name, key in FIGURE_NAMES.items() if key not in absent]
    of_classes = [
        [name, *(percent(m[key] if m["support"] else None) for key in ("recall", "precision", "f1")), m["support"]]
        for name, m in result["per_class"].items()
    ]
    tables = [
        markdown_table(["figure", "value"], figures),
        markdown_table(["class", "recall", "precision", "F1", "clips"], of_classes),
    ]
    if robustness := result.get("robustness"):
        columns = {name: key for name, key in _FIGURES_OVER_SNR.items() if key not in absent}
        rows = [
            [_decibels(c["snr_db"]), *(percent(c[key]) for key in columns.values())] for c in robustness["conditions"]
        ]
        tables.append(f"Noise: {robustness['noise']}, seed {robustness['seed']}")
        tables.append(markdown_table(["SNR (dB)", *columns], rows))
    return "\n\n".join(["\n".join(lines), *tables])


def write_evaluation(
    folder: str | os.PathLike[str], result: Mapping[str, Any], clips: EvaluationClips, probabilities: np.ndarray
) -> None:
    """Write a folder of results.

    `metrics.json`, `results.md`, `predictions.csv` (of the clean clips) and `plots/confusion_matrix.png`; after a test
    of robustness `robustness.json`, `robustness.csv` and `plots/accuracy_over_snr.png`.

    Args:
        folder: made where it does not exist.
        result: as `markdown_report` takes it.
        clips: what was evaluated.
        probabilities: (clips, classes) of the clean clips.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    title = f"{result['evaluated']}, {counted(result['clips'], 'clip')}"
    names = list(clips.classes)
    write_predictions(folder / "predictions.csv", clips.clip_ids, clips.folds, clips.labels, probabilities, names)
    figure = confusion_matrix_figure(result["confusion_matrix"], names, title)
    save_figure(figure, folder / "plots" / "confusion_matrix.png")
    if robustness := result.get("robustness"):
        conditions = robustness["conditions"]
        keys = ["snr_db", *FIGURE_NAMES.values()]
        write_text(folder / "robustness.json", _json(robustness))
        write_csv(folder / "robustness.csv", keys, ([c.get(key) for key in keys] for c in conditions))
        save_figure(
            accuracy_over_snr_figure(conditions, f"{title}\nnoise: {Path(robustness['noise']).name}"),
            folder / "plots" / "accuracy_over_snr.png",
        )
    write_text(folder / "results.md", markdown_report(result) + "\n")
    write_text(folder / "metrics.json", _json({key: value for key, value in result.items() if key != "robustness"}))


def _decibels(snr_db: float | str) -> str:
    return snr_db if isinstance(snr_db, str) else f"{snr_db:g}"


def _json(values: Any) -> str:
    return json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
