"""The card of a learned model."""

from __future__ import annotations

import html

import yaml

from ..evaluation.reports.tables import counted, markdown_table, percent, percent_range
from ..saved_model import SavedModel
from .report import LearnReport

#: What the card calls its own folder; who publishes it puts the repository's name here.
FOLDER = "THIS_FOLDER"


def learned_card(report: LearnReport, base: SavedModel) -> str:
    """Text of `README.md`: what the model knows, what it is worth, and how it was made."""
    worth = report.worth
    licence = _licence_of(base)
    lines = [
        "---",
        "library_name: transformers",
        "pipeline_tag: audio-classification",
        *([f"license: {licence}"] if licence else []),
        "tags: [audio-classification, few-shot, quaclrs]",
        "---",
        "",
        f"# {counted(len(worth.classes), 'sound')}, learned from {counted(report.clips, 'labelled clip')}",
        "",
        f"Names {', '.join(f'`{entry.label}`' for entry in worth.classes)}"
        + (" or answers `other`" if "other" in worth.columns else "")
        + f". The encoder is that of {base.backbones}, which was not changed; the classifier on it was learned with "
        "`quaclrs learn`.",
        "",
        "```bash",
        f"quaclrs predict clip.wav --model {FOLDER}",
        "```",
        "",
        "## What it is worth",
        "",
        summary_line(report),
        "",
        markdown_table(
            ("class", "clips", "recordings", "recall", "95 % interval", ""),
            [
                (
                    html.escape(entry.label, quote=False).replace("|", "\\|"),
                    str(entry.clips),
                    str(entry.recordings),
                    percent(entry.recall),
                    percent_range(entry.interval),
                    entry.judged,
                )
                for entry in worth.classes
            ],
            align="lrrrrl",
        ),
        "",
        "Measured on clips whose recordings the classifier had not heard; other places and microphones may be harder. "
        "`report.html` has the confusion matrix, the learning curve and clips that are perhaps mislabelled.",
        "",
        "## Licence",
        "",
        f"The licence of the encoder holds for these weights: {licence or 'unknown'}"
        + ("; see LICENSE." if (base.folder / "LICENSE").is_file() else "."),
    ]
    return "\n".join(lines) + "\n"


def summary_line(report: LearnReport) -> str:
    """Accuracy, its interval, and what background is taken for, in a sentence or two."""
    worth = report.worth
    if worth.accuracy is None or worth.interval is None:
        return "Every class has a single recording, so nothing could be held out: how good the model is, is unknown."
    told = (
        f"Accuracy {percent(worth.accuracy)} (95 % interval {percent_range(worth.interval)}) on {worth.clips} held-out "
        f"clips of {worth.recordings} recordings."
    )
    if report.curve.twice is not None:
        told += f" With twice the labels, expect about {percent(report.curve.twice)}."
    if report.background_certain is not None:
        told += f" Of background, {percent(report.background_certain)} is named a class with a score above 0.5."
    return told


def _licence_of(base: SavedModel) -> str | None:
    """The licence in the metadata of the base's card."""
    try:
        text = (base.folder / "README.md").read_text(encoding="utf-8")
        found = yaml.safe_load(text.split("---", 2)[1])["license"]
    except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError):  # no card, or one without metadata
        return None
    return found if isinstance(found, str) and found.isprintable() and ":" not in found else None
