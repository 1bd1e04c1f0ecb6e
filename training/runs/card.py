"""The parts that all model cards share: metadata, licence, environment, robustness."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from quaclrs.errors import QuaclrsError, first_line_of
from quaclrs.evaluation.reports.tables import markdown_table, percent
from quaclrs.text_files import read_mapping

from .config import TrainingConfig, files_of
from .heard import OPEN, licence_of

_TEMPLATES = Path(__file__).parents[2] / "model_cards"

#: Of weights that were learned from UrbanSound8K.
LICENCE = _TEMPLATES / "LICENSE-weights.txt"

#: Options that may be paths.
_PATHS = (
    "dataset", "output_dir", "init_from", "pretrained_file", "background", "background_noise", "augment",
    "cross_validation", "evaluation", "tags",
)  # fmt: skip

Config = TypeVar("Config", bound=TrainingConfig)

#: The data set that results name.
DATASET_REPO = "quaclrs/urbansound13"


@dataclass(frozen=True)
class CardContext:
    """Facts for a card beside the run's options and figures.

    Attributes:
        repo_id: what the model is loaded by.
        run: the run's folder, for its picture and its `environment.json`; None leaves both out.
        evaluation: a folder that `quaclrs evaluate --noise … --output-dir` wrote, for the table of robustness.
        examples: sound files beside the card that the Hub's page offers to play.
    """

    repo_id: str = "PATH_OR_REPO"
    run: Path | None = None
    evaluation: Path | None = None
    examples: tuple[str, ...] = field(default=())


def evaluation_result(dataset_config: str | None, kind: str, name: str, value: float) -> EvalResult:
    """A figure on the test split of a config of the data set, or over its folds, as `model-index` holds it."""
    return EvalResult(
        task_type="audio-classification",
        dataset_type=DATASET_REPO,
        dataset_name="UrbanSound13",
        dataset_config=dataset_config,
        dataset_split=None if dataset_config is None else "test",
        metric_type=kind,
        metric_name=name,
        metric_value=round(value, 5),
    )


def fill_card(
    folder: Path,
    config: TrainingConfig,
    template: str,
    pipeline_tag: str,
    tags: list[str],
    fields: dict[str, str],
    about: dict[str, Any],
    results: list[EvalResult],
    context: CardContext,
) -> None:
    """Write README.md into a folder from a template, with the notices and the licence that a run's data ask for.

    Args:
        folder: of the weights, and of the `config.json` that says what they have heard.
        config: of the run.
        template: a file of `model_cards/`.
        pipeline_tag, tags: of the card's metadata.
        fields: what stands for `{{ name }}` in the template.
        about: entries that stand for their names where `fields` has none; among them `synthetic`, `protocol`,
            `backbone` and `warnings`.
        results: of the card's `model-index`.
        context: what else is known.
    """
    synthetic, licence = about["synthetic"], licence_of(folder, config)
    if synthetic or about["protocol"] != "strict":
        results = []  # the data set that they name is real, and its folds are strict
    name = context.repo_id if "/" in context.repo_id else f"urbansound13-{about['backbone'].replace('+', '-')}"
    address = f"https://huggingface.co/{context.repo_id}/resolve/main/"
    widget = [{"src": address + quote(example)} for example in context.examples]
    data = ModelCardData(
        model_name=name.split("/")[-1],
        library_name="transformers",
        pipeline_tag=pipeline_tag,
        license=licence,
        tags=tags + (["synthetic"] if synthetic else []),
        datasets=None if synthetic else [DATASET_REPO],
        metrics=sorted({result.metric_type for result in results}) or None,
        eval_results=results or None,
        widget=widget or None,
    )
    fields = {
        **{name: str(value) for name, value in about.items()},
        "repo_id": context.repo_id,
        "environment": _environment(context),
        "robustness": _robustness(context),
        "notice": "".join(f"> **Note.** {warning}.\n\n" for warning in about["warnings"]),
        "licence_text": "Apache-2.0; trained on synthesised clips only."
        if licence == OPEN
        else "CC BY-NC 4.0: the weights were learned from recordings that are for non-commercial use (UrbanSound8K).",
        **fields,
    }
    text = (_TEMPLATES / template).read_text(encoding="utf-8")
    for name, value in fields.items():
        text = text.replace("{{ " + name + " }}", value)
    if missing := re.findall(r"\{\{ (\w+) \}\}", text):
        raise QuaclrsError(f"the run's metrics.json does not say its {missing[0]}; train it anew with this version")
    ModelCard(f"---\n{data.to_yaml()}\n---\n\n{text}").save(folder / "README.md")


def figure_table(heading: str, figures: dict[str, float | None]) -> str:
    """A table of shares, in a column of that heading."""
    return markdown_table(["figure", heading], [(name, percent(value)) for name, value in figures.items()])


def class_table(per_class: Mapping[str, Mapping[str, Any]], counts: Mapping[str, str]) -> str:
    """A table of precision, recall and F1 of every class, and of `counts`: entry of a class -> heading."""
    rows = [
        [name, *(percent(of_class[key]) for key in ("precision", "recall", "f1")), *(of_class[key] for key in counts)]
        for name, of_class in per_class.items()
    ]
    return markdown_table(["class", "precision", "recall", "F1", *counts.values()], rows)


def without_local_paths(config: Config) -> Config:
    """The same options for publishing: files by their names alone, without the folders of this machine."""
    local: dict[str, Any] = {
        name: Path(value).name
        for name in _PATHS
        if isinstance(value := getattr(config, name, None), str) and (Path(value).is_absolute() or Path(value).exists())
    }
    if config.pretrained_file and "=" in config.pretrained_file:
        files = files_of(config.pretrained_file)
        local["pretrained_file"] = ",".join(f"{backbone}={Path(file).name}" for backbone, file in files.items())
    return dataclasses.replace(config, **local)


def _robustness(context: CardContext) -> str:
    if context.evaluation is None:
        return ""
    file = context.evaluation / "robustness.json"
    try:
        found = read_mapping(file)
        rows = [(c["snr_db"], percent(c["accuracy"]), percent(c["macro_f1"])) for c in found["conditions"]]
    except (ValueError, KeyError, TypeError) as error:
        raise QuaclrsError(
            f"{file} holds no test of robustness; make one with quaclrs evaluate --noise gaussian --output-dir DIR"
        ) from error
    head = f"Under noise (`{Path(found['noise']).name}`, seed {found['seed']}):\n\n"
    return head + markdown_table(["SNR (dB)", "accuracy", "macro F1"], rows, align="rrr") + "\n\n"


def _environment(context: CardContext) -> str:
    file = context.run / "environment.json" if context.run else None
    if file is None or not file.is_file():
        return ""
    found = read_mapping(file)
    try:
        packages = ", ".join(f"{name} {version}" for name, version in found["packages"].items() if version)
        hardware = ", ".join(found["accelerators"]) or f"{found['cpus']} CPU cores"
        return f"Python {found['python']}; {packages}; {hardware}, {found['num_processes']} process(es). "
    except (KeyError, TypeError, AttributeError) as error:
        raise QuaclrsError(
            f"{file} holds no environment of a run ({first_line_of(error)}); restore the file"
        ) from error
