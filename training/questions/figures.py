"""One figure a question, from the figures of its answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from quaclrs.evaluation.figures.intervals import Estimate, intervals_figure
from quaclrs.evaluation.figures.label_efficiency import label_efficiency_figure

from . import plan
from .answers import CONDITIONS


def draw(answers: Mapping[str, Any]) -> dict[str, Figure]:
    """The figures of the answers that there are, by the answer's name."""
    figures = {}
    if answers["few_labels"]["rows"]:
        figures["few_labels"] = few_labels(answers["few_labels"], tuned_row(answers))
    for name, of in (("under_noise", under_noise), ("more_classes", more_classes)):
        if answers[name]["rows"]:
            figures[name] = of(answers[name])
    if answers["combination"]:
        figures["combination"] = combination(answers["combination"])
    return figures


def few_labels(answer: Mapping[str, Any], tuned: str) -> Figure:
    """Curves of training from scratch, of one fine-tuned row, and of the frozen networks."""
    rows = answer["rows"]
    shown = [plan.SCRATCH, tuned, plan.QUASI, plan.IMAGENET, plan.YAMNET, plan.BOTH]
    curves = {row: {a: entry["of_each"] for a, entry in rows[row].items()} for row in shown if row in rows}
    clips = {amount: [clips] for amount, clips in answer["clips"].items()}
    return label_efficiency_figure(curves, clips, "Accuracy over labelled recordings, mean and deviation over seeds")


def tuned_row(answers: Mapping[str, Any]) -> str:
    """The fine-tuned row of the method that the validation clips chose."""
    return f"{answers['encoders']['chosen']['methods'][0]}, fine-tuned"


def under_noise(answer: Mapping[str, Any]) -> Figure:
    """Gains of each policy over no augmentation, in each kind of noise."""
    rows: dict[str, list[Estimate | None]] = {}
    for start, policies in answer["rows"].items():
        for policy, entry in policies.items():
            if policy != "none":
                rows[f"{policy}, {start}"] = [_points(entry.get(name, {}).get("over_none")) for name in CONDITIONS]
    series = ["clean", "Gaussian noise, 20 to -5 dB", "recorded noise, 20 to -5 dB"]
    return intervals_figure(rows, series, "Gain over no augmentation", "points of accuracy")


def more_classes(answer: Mapping[str, Any]) -> Figure:
    """Accuracies on the nine and the four classes, by network and setting."""
    rows = {
        f"{setting}\n{network}": [_accuracy(entry.get(group)) for group in ("nine", "four")]
        for network, settings in answer["rows"].items()
        for setting, entry in settings.items()
    }
    return intervals_figure(
        rows, ["the nine classes", "the four"], "What was trained and how", "accuracy, %", zero=False
    )


def combination(answer: Mapping[str, Any]) -> Figure:
    """Validation accuracies of the grid, each with the range over seeds."""
    rows: dict[str, list[Estimate | None]] = {}
    for entry in sorted(answer["grid"], key=lambda entry: -sum(entry["validation"])):
        values = [100 * value for value in entry["validation"]]
        rows[", ".join(entry["combination"])] = [(sum(values) / len(values), min(values), max(values))]
    return intervals_figure(
        rows, ["validation"], "Validation clips: mean and range over seeds", "accuracy, %", zero=False
    )


def _points(gain: Mapping[str, Any] | None) -> Estimate | None:
    if gain is None:
        return None
    low, high = gain["interval"]
    return 100 * gain["difference"], 100 * low, 100 * high


def _accuracy(entry: Mapping[str, Any] | None) -> Estimate | None:
    if entry is None:
        return None
    low, high = entry["interval"]
    return 100 * entry["accuracy"], 100 * low, 100 * high
