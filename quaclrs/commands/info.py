"""`quaclrs info`: what a saved model is, from its files alone."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from ..errors import QuaclrsError, first_line_of
from ..evaluation.reports.tables import percent
from ..models import LogMelConfig


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
        "has heard": described["has_heard"],
        **{
            f"{r['metric']} ({', '.join(filter(None, (r['dataset'], r['split'])))})": percent(r["value"])
            for r in described["results"]
        },
        "licence": described["licence"] + (f" ({described['licence_file']})" if described["licence_file"] else ""),
    }
    for name, value in rows.items():
        print(f"{name}: {value}")
    return 0


def describe_model(model: str | None) -> dict[str, Any]:
    """Read a model's config, weights and card without torch.

    Raises:
        QuaclrsError: there is no such model, or it is no QUACLRS classifier.
    """
    from safetensors import SafetensorError, safe_open

    from ..default_model import DEFAULT_MODEL, PACKAGED
    from ..evaluation.training_data import TrainingData

    folder = DEFAULT_MODEL if model is None else Path(model) if Path(model).is_dir() else _download(model)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if config.get("model_type") != "quaclrs":
            raise QuaclrsError(f"{folder} is a model of type {config.get('model_type')}, not quaclrs")
        weights = folder / "model.safetensors"
        with safe_open(weights, framework="numpy") as file:
            slices = [file.get_slice(name) for name in file.keys()]  # noqa: SIM118 - it is no mapping
            parameters = sum(math.prod(s.get_shape()) for s in slices)
            dtypes = sorted({str(s.get_dtype()) for s in slices if str(s.get_dtype()).startswith(("F", "BF"))})
        card = _card_of(folder)
        front_end, labels, backbone = config["log_mel"], config.get("id2label") or {}, config["backbone"]
    except QuaclrsError:
        raise
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise QuaclrsError(f"{folder} holds no model ({first_line_of(error)}); give a model/ folder") from error
    return {
        "model": str(folder) if model is not None else PACKAGED,
        "backbone": backbone,
        "parameters": parameters,
        "bytes": weights.stat().st_size,
        "dtype": ", ".join(dtypes),
        "labels": list(labels.values()),
        "log_mel": front_end,
        "has_heard": TrainingData.of_model(config.get("training_data")).description,
        "results": card[0],
        "licence": card[1],
        "licence_file": str(folder / "LICENSE") if (folder / "LICENSE").is_file() else None,
    }


def _card_of(folder: Path) -> tuple[list[dict[str, Any]], str]:
    """Results and licence in a card's metadata; none, and `unknown`, where no card can be read."""
    from huggingface_hub import ModelCard

    try:
        data = ModelCard.load(folder / "README.md").data
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
    ]
    return results, str(data.license or "unknown")


def _download(model: str) -> Path:
    from ..hub import may_be_repo_id

    if not may_be_repo_id(model):
        raise QuaclrsError(f"model folder {model} does not exist; give the model/ folder of a run or a Hub repository")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(model, allow_patterns=["*.json", "*.md", "LICENSE", "*.safetensors"]))
    except Exception as error:  # the Hub's client fails in many ways
        raise QuaclrsError(f"model {model} cannot be had from the Hub ({first_line_of(error)})") from error
