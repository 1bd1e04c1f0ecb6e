"""The model card beside saved weights, filled in from what the run knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from .config import SupervisedConfig
from .options import command_line

_TEMPLATES = Path(__file__).parents[1] / "model_cards"


def write_model_card(folder: Path, config: SupervisedConfig, metrics: dict[str, Any]) -> None:
    """Write README.md into a model's folder from its run's options and test figures (the contents of metrics.json)."""
    fields = {
        "title": f"QUACLRS {config.backbone}, {config.mode}, tested on fold {config.test_fold}",
        "num_classes": str(len(metrics["per_class"])),
        "class_list": ", ".join(metrics["per_class"]),
        "initial_weights": f"{metrics['initial_weights']}, {config.mode}",
        "figures": "\n".join(
            f"| {name} | {_share(metrics[key])} |"
            for name, key in {
                "accuracy": "accuracy",
                "macro F1": "macro_f1",
                "accuracy, UrbanSound8K's classes": "accuracy_urbansound8k",
                "accuracy, new classes": "accuracy_sirennet",
            }.items()
        )
        + "".join(
            f"\n| control: {name}: accuracy | {_share(figures['accuracy'])} |"
            for name, figures in metrics["controls"].items()
        ),
        "per_class": "\n".join(
            f"| {name} | {_share(m['precision'])} | {_share(m['recall'])} | {_share(m['f1'])} | {m['support']} |"
            for name, m in metrics["per_class"].items()
        ),
        "command": training_command(config),
    }
    tags = ["audio-classification", "urban-sound", "quaclrs"]
    fill_card(folder, "template.md", "audio-classification", tags, fields, metrics)


def fill_card(
    folder: Path, template: str, pipeline_tag: str, tags: list[str], fields: dict[str, str], metrics: dict[str, Any]
) -> None:
    """Write README.md into a folder from a template, with the notices and the licence that a run's data ask for.

    Args:
        folder: of the weights.
        template: a file of `model_cards/`.
        pipeline_tag, tags: of the card's metadata.
        fields: what stands for `{{ name }}` in the template.
        metrics: the contents of `metrics.json`, whose entries stand for their names where `fields` has none.
    """
    synthetic = metrics["synthetic"]
    header = {
        "library_name": "transformers",
        "pipeline_tag": pipeline_tag,
        "license": "apache-2.0" if synthetic else "cc-by-nc-4.0",
        "tags": tags + (["synthetic"] if synthetic else []),
    }
    fields = {
        **{name: str(value) for name, value in metrics.items()},
        "notice": "".join(f"> **Note.** {warning}.\n\n" for warning in metrics["warnings"]),
        "licence_text": "Apache-2.0; trained on synthesised clips only."
        if synthetic
        else "Non-commercial: the weights were learned from recordings under CC BY-NC 3.0 (UrbanSound8K).",
        **fields,
    }
    text = (_TEMPLATES / template).read_text(encoding="utf-8")
    for name, value in fields.items():
        text = text.replace("{{ " + name + " }}", value)
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump(header, sort_keys=False)}---\n\n{text}", encoding="utf-8")


def training_command(config: SupervisedConfig) -> str:
    """The command that repeats a run."""
    return command_line("accelerate launch -m training.train_supervised", config)


def _share(fraction: float | None) -> str:
    return "–" if fraction is None else f"{fraction:.1%}"
