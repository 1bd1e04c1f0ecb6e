"""`quaclrs info`: what a saved model is, from its files alone."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from ..errors import QuaclrsError, printable
from ..evaluation.reports.tables import counted, percent
from ..files import refuse_pointer
from ..models import LogMelConfig

#: Bytes of a card beyond which it is none.
_LARGEST_CARD = 1 << 20


def add_info_command(commands: Any) -> None:
    """Register the command with the subparsers of `quaclrs`."""
    parser = commands.add_parser(
        "info",
        help="say what a model is",
        description="Say what a model is: its classes, front end, size, results and licence.",
    )
    told = "folder of `quaclrs learn` or `quaclrs export`, model/ folder of a run, or a Hub repo; the package's own"
    add = parser.add_argument
    add("folder", nargs="?", metavar="DIR_OR_REPO", help=told)
    add("--model", metavar="DIR_OR_REPO", help="the same, as other commands take it")
    add("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run_info)


def run_info(options: argparse.Namespace) -> int:
    """Print what is known of the model."""
    if options.folder is not None and options.model is not None:
        raise QuaclrsError(f"two models are given, {options.folder} and --model {options.model}; give one")
    described = describe_model(options.model if options.folder is None else options.folder)
    if options.json:
        print(json.dumps(described))
        return 0
    front_end = described["log_mel"]
    picture = LogMelConfig.from_dict(front_end).picture_size
    size = f"{described['bytes'] / 1e6:.1f} MB"
    rows = {
        "model": described["model"],
        **(
            {"export": f"an ONNX graph of {size}"}
            if described["export"]
            else {
                "backbone": f"{described['backbone']}, {described['parameters'] / 1e6:.2f} M parameters, "
                f"{size} ({described['dtype']})"
            }
        ),
        "hears": f"{front_end['duration']:g} s at {front_end['sampling_rate']} Hz, {front_end['n_mels']} mels up to "
        f"{front_end['f_max']:g} Hz, {' x '.join(map(str, picture))} pixels, short clips: {front_end['pad_mode']}",
        "classes": ", ".join(described["labels"]),
        **{
            f"at {counted(int(count), 'false alarm')} an hour": (
                f"score {entry['threshold']:.2f}, recall {percent(entry['recall'])}"
            )
            for count, entry in described["false_alarms"].items()
        },
        **({} if described["export"] else {"has heard": described["has_heard"]}),
        **{
            f"{r['metric']} ({', '.join(filter(None, (r['dataset'], r['split'])))})": percent(r["value"])
            for r in described["results"]
        },
        "licence": described["licence"] + (f" ({described['licence_file']})" if described["licence_file"] else ""),
    }
    for name, value in rows.items():  # a model's own words move no cursor and paint nothing
        print(printable(f"{name}: {value}"))
    return 0


def describe_model(model: str | None) -> dict[str, Any]:
    """Read a model's config, weights and card, or those of an export, without torch.

    What an export does not tell is None: its backbone, parameters, type of numbers and what it has heard.

    Raises:
        QuaclrsError: the model is missing or of another kind, or Git LFS has not fetched a file of it.
    """
    from ..default_model import PACKAGED
    from ..inference.onnx import is_export
    from ..saved_model import GRAPH, find_model_folder

    folder = find_model_folder(model)
    if (folder / GRAPH).is_file():
        refuse_pointer(folder / GRAPH)
    export = is_export(folder)
    results, licence = _card_of(folder)
    return {
        "model": str(folder) if model is not None else PACKAGED,
        "export": export,
        **(_of_export(folder) if export else _of_model(model)),
        "results": [*_learned_accuracy(folder), *results],
        "licence": licence,
        "licence_file": str(folder / "LICENSE") if (folder / "LICENSE").is_file() else None,
    }


def _of_model(model: str | None) -> dict[str, Any]:
    from ..evaluation.training_data import TrainingData
    from ..saved_model import FLOATS, WEIGHTS, open_saved_model

    saved = open_saved_model(model)
    return {
        "backbone": saved.backbones,
        "parameters": sum(math.prod(shape) for _, shape in saved.tensors.values()),
        "bytes": (saved.folder / WEIGHTS).stat().st_size,
        "dtype": ", ".join(sorted({dtype for dtype, _ in saved.tensors.values() if dtype.startswith(FLOATS)})),
        "labels": saved.labels,
        "log_mel": saved.options["log_mel"],
        "false_alarms": saved.options.get("false_alarms") or {},
        "has_heard": TrainingData.of_model(saved.options.get("training_data")).description,
    }


def _of_export(folder: Path) -> dict[str, Any]:
    from ..inference.onnx import WAVEFORM, read_export

    labels, log_mel, false_alarms = read_export(folder)
    return {
        **dict.fromkeys(("backbone", "parameters", "dtype", "has_heard")),
        "bytes": (folder / WAVEFORM).stat().st_size,
        "labels": labels,
        "log_mel": log_mel.to_dict(),
        "false_alarms": false_alarms or {},
    }


def _learned_accuracy(folder: Path) -> list[dict[str, Any]]:
    """The accuracy in the report of `quaclrs learn`, as a result; none of other models, or where nothing was tested."""
    from ..learning.saving import SUMMARY
    from ..text_files import read_mapping

    if not (folder / SUMMARY).is_file():
        return []
    report = read_mapping(folder / SUMMARY, "learn the model anew")
    accuracy, tested = report.get("accuracy"), report.get("tested")
    if not isinstance(accuracy, (int, float)) or not isinstance(tested, dict):
        return []
    clips, recordings = (tested.get(name) for name in ("clips", "recordings"))
    if not isinstance(clips, int) or not isinstance(recordings, int):
        return []
    held_out = f"{counted(clips, 'held-out clip')} of {counted(recordings, 'recording')}"
    return [{"dataset": held_out, "split": "", "metric": "accuracy", "value": accuracy}]


def _card_of(folder: Path) -> tuple[list[dict[str, Any]], str]:
    """Results and licence in a card's metadata; none, and `unknown`, where no card can be read."""
    from huggingface_hub import ModelCard

    try:
        with (folder / "README.md").open("rb") as file:
            content = file.read(_LARGEST_CARD)
        data: Any = ModelCard(content.decode("utf-8")).data
    except Exception:  # no card, or somebody else's idea of one
        return [], "unknown"
    results = [
        {
            "dataset": result.dataset_name,
            "split": result.dataset_split or "",
            "metric": result.metric_name or result.metric_type,
            "value": result.metric_value,
        }
        for result in data.eval_results or []
        if isinstance(result.metric_value, (int, float)) and isinstance(result.dataset_name, str)
    ]
    return results, data.license if isinstance(data.license, str) else "unknown"
