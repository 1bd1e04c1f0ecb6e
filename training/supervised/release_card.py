"""The card of the model that comes with the package."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

from quaclrs.evaluation.metrics import FIGURE_NAMES
from quaclrs.evaluation.reports.cross_validation import open_set_table
from quaclrs.evaluation.reports.tables import markdown_table, percent, percent_range
from quaclrs.models import AUDIO_BACKBONES

from ..clips.augmentation import build_log_mel_configs
from ..runs.card import CardContext, class_table, evaluation_result, fill_card
from .config import SupervisedConfig

_FIGURES = {name: key for name, key in FIGURE_NAMES.items() if key != "macro_roc_auc"}
_PICTURE = "confusion_matrix.png"


def write_release_card(
    folder: Path,
    config: SupervisedConfig,
    cross_validation: Path,
    summary: dict[str, Any],
    metrics: dict[str, Any],
    command: str,
    context: CardContext,
) -> None:
    """Write README.md and its picture into the model's folder.

    Args:
        folder: of the weights.
        config: of the release.
        cross_validation: folder of the cross-validation.
        summary: its `summary.json`.
        metrics: of the release.
        command: that makes the model.
        context: the run of the release, and an evaluation under noise.
    """
    shutil.copyfile(cross_validation / "plots" / _PICTURE, folder / _PICTURE)
    rows = [_row(name, summary["figures"][key]) for name, key in _FIGURES.items()]
    rows += [_row(f"control: {name}: accuracy", control["accuracy"]) for name, control in summary["controls"].items()]
    other = ""
    if metrics["open_set"]:
        other = f"### Sounds that are none of these\n\n{open_set_table(metrics['open_set'])}\n\n"
    fields = {
        "num_classes": str(len(summary["class_names"])),
        "or_none": ", or as `other`" if metrics["open_set"] else "",
        "other": other,
        "calibration_error": percent(metrics["calibration_error"]),
        "class_list": ", ".join(summary["class_names"]),
        "temperature": f"{metrics['temperature']:.2f}",
        "offsets": _describe_offsets(metrics["class_offsets"]),
        "clips": f"{metrics['clips']:,}",
        "background": f", and on {n:,} clips of other sounds" if (n := metrics["background_clips"]) else "",
        "scope": summary["scope"],
        "figures": markdown_table(["figure", "mean", "interval"], rows),
        "per_class": class_table(summary["per_class"], {"support": "clips", "recordings": "recordings"}),
        "cross_validation": _without_folders(summary["training"]["command"]),
        "command": command,
        "origin": _origin(config),
        "picture": " and ".join("x".join(map(str, c.picture_size)) for c in build_log_mel_configs(config)),
        **{name: str(getattr(config, name)) for name in ("pad_mode", "epochs")},
        "duration": f"{config.duration:g}",
    }
    results = [
        evaluation_result(None, kind, name, figure)
        for kind, name, figure in (
            ("accuracy", "Accuracy, cross-validated", summary["figures"]["accuracy"]["mean"]),
            ("f1", "Macro F1, cross-validated", summary["figures"]["macro_f1"]["mean"]),
        )
    ]
    about = {name: summary[name] for name in ("warnings", "protocol")}
    about |= {"synthetic": metrics["synthetic"], "backbone": config.backbone}
    tags = ["audio-classification", "urban-sound", "quaclrs"]
    fill_card(folder, config, "release_template.md", "audio-classification", tags, fields, about, results, context)


def release_rows(summary: dict[str, Any], metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of a record (see `quaclrs.evaluation.records`) of a release's figures, those of its card among them.

    Args:
        summary: `summary.json` of the cross-validation.
        metrics: of the release.
    """
    rows = [{"part": "figures", "name": key, "figure": name, **_kept(summary["figures"][key])}
            for name, key in FIGURE_NAMES.items()]  # fmt: skip
    rows += [{"part": "figures", "name": "control", "figure": f"control: {name}", **_kept(control["accuracy"])}
             for name, control in summary["controls"].items()]  # fmt: skip
    rows += [{"part": "every recording once", "name": name, **_kept(found), "recordings": found["recordings"]}
             for name, found in summary["over_recordings"].items()]  # fmt: skip
    rows += [
        {"part": "classes", "class": name, **{key: found[key] for key in ("precision", "recall", "f1")},
         "clips": found["support"], "recordings": found["recordings"]}
        for name, found in summary["per_class"].items()
    ]  # fmt: skip
    rows.append({"part": "scores", **{key: metrics[key] for key in ("temperature", "calibration_error")}})
    rows += [{"part": "offsets", "class": name, "offset": offset} for name, offset in metrics["class_offsets"].items()]
    rows.append({"part": "trained on", "clips": metrics["clips"], "background_clips": metrics["background_clips"]})
    if other := metrics["open_set"]:
        rows += [{"part": "other", "name": name, "share": share}
                 for name, share in other.items() if not isinstance(share, dict)]  # fmt: skip
        rows += [{"part": "kinds", "kind": kind, "share": share} for kind, share in other["per_kind"].items()]
        alarms = other["at_alarms_per_hour"].items()
        rows += [{"part": "false alarms", "an_hour": int(count), **found} for count, found in alarms]
    return rows


def _describe_offsets(offsets: dict[str, float]) -> str:
    """Say what is added to the logits, before the sentence on their scale; nothing where that is nothing."""
    if not offsets:
        return ""
    least, most = (choose(offsets, key=lambda name: offsets[name]) for choose in (min, max))
    return (
        f"clips that were not heard move the logit of each class, from {offsets[least]:+.2f} ({least}) to "
        f"{offsets[most]:+.2f} ({most}), and "
    )


def _kept(figure: dict[str, Any]) -> dict[str, Any]:
    """A figure as a record has it: its mean and deviation over folds, the interval of the pooled one, and that one."""
    low, high = figure.get("interval") or (None, None)
    share = {"value": figure.get("mean", figure.get("value")), "std": figure.get("std"), "low": low, "high": high}
    pooled = {"pooled": figure["pooled"]} if "pooled" in figure else {}
    return {"share": {name: part for name, part in share.items() if part is not None}, **pooled}


def _without_folders(command: str) -> str:
    """The same command for publishing: absolute paths, those in `BACKBONE=FILE` too, by their names alone."""
    return shlex.join(re.sub(r"(^|[=,])/[^=,]*/", r"\1", word) for word in shlex.split(command))


def _origin(config: SupervisedConfig) -> str:
    """The network as it was before, and what became of its weights."""
    if config.initial_weights == "random":
        return f"`{config.backbone}`, trained from random weights"
    stages = {0: "", 1: ", the stage before its last too"}
    networks = " and ".join(
        f"`{name}` with {'AudioSet' if name in AUDIO_BACKBONES else 'ImageNet'} weights"
        + stages.get(count, f", {count} stages before its last too")
        for name, count in zip(config.backbone_names, config.stages_of_encoders, strict=True)
    )
    then = "which were not changed" if config.mode == "linear_probe" else "which were fine-tuned"
    return f"{networks}, {then}"


def _row(name: str, figure: dict[str, Any]) -> tuple[str, str, str]:
    return name, percent(figure["mean"], figure["std"]), percent_range(figure.get("interval"))
