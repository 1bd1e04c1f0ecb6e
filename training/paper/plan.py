"""The runs that fill the paper's tables: what each is called, and with which options it is started.

Runs are shared by all tables below one output folder.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from quaclrs.data import complete_folds, load_urbansound13
from quaclrs.errors import QuaclrsError
from quaclrs.folds import FoldProtocol

from ..runs.options import read_options_file
from ..runs.run import Run
from ..ssl.config import SSLConfig, read_preset
from ..supervised.config import SupervisedConfig
from ..weights.imagenet import ImageNetWeights
from .tables import CONFIGS, IMAGENET, SUPERVISED, PaperTable, Training

#: Test fold and seed of a run.
Key = tuple[int, int]

#: The runs of each training.
Plan = dict[Training, dict[Key, Run]]

#: Least side of a picture, in pixels, that is left after all strides of an architecture.
SMALLEST_PICTURE = {"inception_v3": 75, "alexnet": 63, "vgg16": 32, "convnext_tiny": 32}

#: Share of the epochs over which the rate rises at most. The presets' warm-ups are meant for 100 epochs.
_LONGEST_WARMUP = 0.1


@dataclass(frozen=True)
class Request:
    """Options of the command, the same for all runs; None keeps to the paper, or to the recipe.

    Attributes:
        backbones: of the runs; the first is that of trainings which name none.
        weights: ImageNet's by backbone.
        half_precision: what mixed precision means on this machine, `fp16` or `bf16`.
    """

    dataset: str
    output_dir: Path
    backbones: Sequence[str]
    protocol: FoldProtocol = "strict"
    epochs: int | None = None
    batch_size: int | None = None
    max_clips_per_class: int | None = None
    fill_per_fold: int | None = None
    image_size: int | None = None
    num_workers: int = 0
    decode_once: bool = False
    weights: Mapping[str, ImageNetWeights] = field(default_factory=dict)
    half_precision: str = "bf16"


def plan_table(table: PaperTable, keys: Sequence[Key], request: Request) -> Plan:
    """The runs of a table on each fold with each seed, and of its baselines where it has them."""
    request = replace(request, epochs=request.epochs or table.epochs)
    trainings = list(table.trainings(request.backbones))
    if table.baselines:
        trainings += [SUPERVISED, *([IMAGENET] if request.weights else [])]
    return {
        training: {(fold, seed): plan_run(training, fold, seed, request) for fold, seed in keys}
        for training in trainings
    }


def in_order(plans: Sequence[Plan], backbones: Sequence[str]) -> list[Run]:
    """All runs, each once. When the first seed is through, whole tables can be had.

    All trainings of a backbone on a fold follow each other, as their times are compared.
    """
    runs = dict.fromkeys(run for plan in plans for of_training in plan.values() for run in of_training.values())
    return sorted(runs, key=lambda run: (run.seed, backbones.index(dict(run.options)["backbone"]), run.fold))


def plan_run(training: Training, fold: int, seed: int, request: Request) -> Run:
    """The run of a training on a fold. Where ImageNet weights are missing the same recipe begins with random ones."""
    recipe, named = training.recipe, dict(training.options)
    backbone = named.pop("backbone", request.backbones[0])
    weights = request.weights[backbone] if training.from_pretrained else ImageNetWeights()
    options: dict[str, Any] = {"dataset": request.dataset, "protocol": request.protocol, "backbone": backbone}
    if recipe == "imagenet":
        request = replace(request, epochs=1)  # it is measured before it is trained, so that is as short as can be
    if recipe == "mixed_precision":
        named["mixed_precision"] = request.half_precision
    if recipe == "linear_probe" and request.protocol == "paper":
        options["augment_on"] = "none"  # the protocol's copies stand for the recipe's draws
    if recipe == "finetune" and weights.missing:
        recipe = "scratch"  # the recipes differ in their weights alone, so the run is one and the same
    elif weights.missing:
        named["initial_weights"] = "random"
    elif weights.file is not None:
        named["pretrained_file"] = str(weights.file)
    config = CONFIGS / f"{recipe}.yaml"
    if training.is_self_supervised:
        named = _with_method(read_options_file(config), named, request.batch_size)
        warmup = float(read_preset(named["method"], named["batch_size"]).get("warmup_epochs", 1.0))
        options["warmup_epochs"] = min(warmup, round(_LONGEST_WARMUP * (request.epochs or SSLConfig.epochs), 3))
    size: list[str] = [request.protocol]
    for name, unit in (
        ("epochs", "epochs"),
        ("max_clips_per_class", "clips-a-class"),
        ("fill_per_fold", "a-class-and-fold"),
        ("image_size", "px"),
    ):
        if (value := getattr(request, name)) is not None:
            options[name] = value
            size.append(f"{value}-{unit}")
    options |= {name: value for name in ("num_workers", "decode_once") if (value := getattr(request, name))}
    folder = request.output_dir / "runs" / "-".join(size) / "-".join([recipe, backbone, *map(_as_name, named.items())])
    if str(named.get("augment", "")).endswith(".yaml"):
        named["augment"] = _from_here(CONFIGS / named["augment"])
    kind = SSLConfig if training.is_self_supervised else SupervisedConfig
    return Run(kind, folder, fold, seed, tuple({"config": _from_here(config), **options, **named}.items()))


def _with_method(recipe: dict[str, Any], named: dict[str, Any], batch_size: int | None) -> dict[str, Any]:
    """Method, views and batch, of the recipe or the command where the table names none, before its other options."""
    given = {**recipe, "batch_size": batch_size or recipe["batch_size"], **named}
    return {name: given[name] for name in ("method", "augment", "batch_size", *named)}


def _from_here(file: Path) -> str:
    """The file as the command names it, from the current folder where it lies below that: alike in every clone."""
    return os.path.relpath(file) if file.resolve().is_relative_to(Path.cwd()) else str(file)


def _as_name(option: tuple[str, Any]) -> str:
    """The part of a folder's name that an option makes."""
    name, text = option[0], Path(str(option[1])).name.removesuffix(".yaml").replace("=", "-").replace(",", "-")
    if name == "initial_weights":
        return f"{text}-init"
    says_its_name = name in ("method", "augment", "method_options", "mixed_precision", "pretrained_file")
    return text if says_its_name else f"{name}-{text}"


def select_folds(
    tables: Sequence[PaperTable], dataset: str, protocol: FoldProtocol, wanted: Sequence[int] | None
) -> dict[str, list[int]]:
    """The folds to test on, by table: those asked for, else its own, or all where the data set has none of these.

    Args:
        tables: of the paper.
        dataset: folder or repository.
        protocol: of the folds.
        wanted: None for each table's own, empty for all complete ones.

    Raises:
        QuaclrsError: the data set cannot be loaded, or a fold is not among its complete ones.
    """
    complete = list(complete_folds(load_urbansound13(dataset), protocol))
    if not complete:
        raise QuaclrsError(f"{dataset} has no complete fold to test on")
    for fold in wanted or ():
        if fold not in complete:
            choices = ", ".join(map(str, complete))
            raise QuaclrsError(f"--folds: fold {fold} is not complete in {dataset}; choose among {choices}")
    if wanted is not None:
        return {table.name: sorted(wanted) or complete for table in tables}
    return {table.name: [fold for fold in table.folds if fold in complete] or complete for table in tables}


def check_image_size(image_size: int | None, backbones: Sequence[str]) -> None:
    """Refuse pictures of which nothing would be left; `QuaclrsError` names the backbone and its least size."""
    for backbone in backbones:
        least = SMALLEST_PICTURE.get(backbone, 1)
        if image_size is not None and image_size < least:
            raise QuaclrsError(
                f"--image-size {image_size}: {backbone} needs pictures of at least {least} px; "
                "raise it, or choose other --backbones"
            )
