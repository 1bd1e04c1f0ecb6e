"""Check of a run's first weights: what they have heard, against the clips that the run will be tested on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets import concatenate_datasets
from safetensors import SafetensorError, safe_open

from quaclrs.data import load_urbansound13, plan_folds
from quaclrs.errors import QuaclrsError
from quaclrs.evaluation.training_data import TrainingData
from quaclrs.text_files import parse_json

from .config import TrainingConfig, files_of, saved_config
from .options import flag_of

if TYPE_CHECKING:
    from datasets import Dataset

    from ..clips.splits import Splits

#: Entry of `config.json`, and of the metadata of weights that are saved without one.
TRAINING_DATA = "training_data"


#: Licences of weights: learned from the synthesised sample alone, and from recordings too.
OPEN, NON_COMMERCIAL = "apache-2.0", "cc-by-nc-4.0"


def heard_by_initial_weights(config: TrainingConfig) -> TrainingData:
    """Record of the weights that a run begins with.

    Random weights, and those of ImageNet and of YAMNet (AudioSet), have heard none of a data set's clips.

    Raises:
        QuaclrsError: the model's `config.json` cannot be read.
    """
    if config.init_from:
        return TrainingData.of_model(saved_config(config.init_from).get(TRAINING_DATA))
    heard = TrainingData()
    for file in files_of(config.pretrained_file).values():
        saved = _metadata_of(file).get(TRAINING_DATA)
        heard |= TrainingData() if saved is None else TrainingData.of_model(saved)
    return heard


def as_metadata(training_data: dict[str, Any] | None) -> dict[str, str]:
    """Record of a model, for the metadata of weights that are saved without `config.json`."""
    return {TRAINING_DATA: json.dumps(training_data)}


def _metadata_of(file: str) -> dict[str, Any]:
    try:
        with safe_open(file, framework="numpy") as opened:
            return {name: parse_json(text) for name, text in opened.metadata().items() if name == TRAINING_DATA}
    except (OSError, SafetensorError, AttributeError, ValueError):  # weights of others, or none: said by who loads them
        return {}


def refuse_heard(config: TrainingConfig, held_out: Mapping[str, Dataset]) -> None:
    """Raise a `QuaclrsError` where a run would begin with weights that have learned from what it holds out.

    Args:
        config: of the run.
        held_out: name of a split -> its clips.
    """
    before = heard_by_initial_weights(config)
    for split, rows in held_out.items():
        heard = before.has_heard(rows, config.protocol)
        if heard.any():
            name = "init_from" if config.init_from else "pretrained_file"
            clips = f"{heard.sum()} of the {len(heard)} {split} clips of fold {config.test_fold}"
            raise QuaclrsError(
                f"{flag_of(name)} {getattr(config, name)} has learned from {clips} ({config.protocol} protocol): "
                f"{before.kept_from}; give weights that were kept from fold {config.test_fold}"
            )


def refuse_planned(configs: Iterable[TrainingConfig]) -> None:
    """The same for runs that are planned, before any of them is trained."""
    datasets: dict[str, Dataset] = {}
    for config in configs:
        if heard_by_initial_weights(config).clips.size:
            name = config.dataset
            dataset = datasets[name] = datasets.get(name) or load_urbansound13(name)
            plan = plan_folds(dataset, config.test_fold, config.protocol)
            refuse_heard(config, {"test": dataset.select(plan.test), "validation": dataset.select(plan.validation)})


def heard_after(config: TrainingConfig, splits: Splits, hold_out: bool = True, refit: bool = False) -> dict[str, Any]:
    """Record of a run's network at its end, for its `config.json`.

    Args:
        config, splits: of the run.
        hold_out: whether validation and test clips are kept from training.
        refit: whether the validation clips train in the end all the same.

    Raises:
        QuaclrsError: as `refuse_heard`.
    """
    if hold_out:
        refuse_heard(config, {"test": splits.test.rows, "validation": splits.validation.rows})
    dataset, sounds, refit = Path(config.dataset), splits.train.sounds, refit and hold_out
    if refit:
        sounds = concatenate_datasets([sounds, splits.validation.sounds])
    heard = TrainingData.of_training(
        sounds,
        dataset=dataset.resolve().name if dataset.exists() else config.dataset,
        fingerprint=splits.fingerprint,
        protocol=config.protocol,
        test_fold=splits.plan.test_fold if hold_out else None,
        validation_fold=splits.plan.validation_fold if hold_out and not refit else None,
    )
    return (heard_by_initial_weights(config) | heard).to_dict()


def licence_of(folder: Path, config: TrainingConfig) -> str:
    """Name on the Hub of the licence of a run's weights: what recordings ask for stays with what learned from them.

    Args:
        folder: of the weights, whose `config.json` says what they have heard; where it does not, nothing is known.
        config: of the run.
    """
    heard = TrainingData.of_model(saved_config(str(folder)).get(TRAINING_DATA))
    others = [getattr(config, name, None) for name in ("background", "background_noise")]
    return OPEN if heard.is_synthetic and not any(others) else NON_COMMERCIAL
