"""`quaclrs info`: what a saved model is, from its files alone."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from ..errors import printable
from ..evaluation.reports.tables import percent
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
    parser.add_argument(
        "model", nargs="?", metavar="DIR_OR_REPO", help="model/ folder of a run, or a Hub repo; the package's own"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run_info)


def run_info(options: argparse.Namespace) -> int:
    """Print what is known of the model."""
    described = describe_model(options.model)
    if options.json:
        print(json.dumps(described))
        return 0
    front_end = described["log_mel"]
    picture = LogMelConfig.from_dict(front_end).picture_size
    rows = {
        "model": described["model"],
        "backbone": f"{described['backbone']}, {described['parameters'] / 1e6:.2f} M parameters, "
        f"{described['bytes'] / 1e6:.1f} MB ({described['dtype']})",
        "hears": f"{front_end['duration']:g} s at {front_end['sampling_rate']} Hz, {front_end['n_mels']} mels up to "
        f"{front_end['f_max']:g} Hz, {' x '.join(map(str, picture))} pixels, short clips: {front_end['pad_mode']}",
        "classes": ", ".join(described["labels"]),
        **{
            f"at {count} false alarms an hour": f"score {entry['threshold']:.2f}, recall {percent(entry['recall'])}"
            for count, entry in described["false_alarms"].items()
        },
        "has heard": described["has_heard"],
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
    """Read a model's config, weights and card without torch.

    Raises:
        QuaclrsError: the model is missing or of another kind, or Git LFS has not fetched a file of it.
    """
    from ..default_model import PACKAGED
    from ..evaluation.training_data import TrainingData
    from ..saved_model import FLOATS, GRAPH, WEIGHTS, open_saved_model

    saved = open_saved_model(model)
    if (saved.folder / GRAPH).is_file():
        refuse_pointer(saved.folder / GRAPH)
    folder, results, licence = saved.folder, *_card_of(saved.folder)
    return {
        "model": str(folder) if model is not None else PACKAGED,
        "backbone": saved.backbones,
        "parameters": sum(math.prod(shape) for _, shape in saved.tensors.values()),
        "bytes": (folder / WEIGHTS).stat().st_size,
        "dtype": ", ".join(sorted({dtype for dtype, _ in saved.tensors.values() if dtype.startswith(FLOATS)})),
        "labels": saved.labels,
        "log_mel": saved.options["log_mel"],
        "false_alarms": saved.options.get("false_alarms") or {},
        "has_heard": TrainingData.of_model(saved.options.get("training_data")).description,
        "results": results,
        "licence": licence,
        "licence_file": str(folder / "LICENSE") if (folder / "LICENSE").is_file() else None,
    }


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
