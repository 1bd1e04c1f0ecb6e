"""The runs behind the paper's tables: what each is called, how it is started, and what came out of it.

Every run is a process of its own, so that its peak memory is its own. Runs are shared by all tables below one output
folder; one that is finished is not repeated, one that was interrupted goes on.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import yaml

from quaclrs.data import complete_folds, load_urbansound13
from quaclrs.errors import QuaclrsError
from quaclrs.folds import FoldProtocol

from ..runs.options import flag_of, read_options_file
from ..runs.queue import environment_of_job, side_by_side
from ..weights.imagenet import ImageNetWeights
from .tables import Experiment

#: Takes the arguments of a run, for instance of `python -m training.cross_validate`, and how many runs are side by
#: side, itself among them; returns its exit status.
Runner = Callable[[Sequence[str], int], int]

#: (fold, seed) -> what a run measured, its `metrics.json`.
Results = dict[tuple[int, int], dict[str, Any]]

#: Least side of a picture, in pixels, that is left after all strides of an architecture.
SMALLEST_PICTURE = {"inception_v3": 75, "alexnet": 63, "vgg16": 32, "convnext_tiny": 32}

#: Options that change how fast a run is, and nothing that it finds.
_OF_THE_MACHINE = ("num_workers", "decode_once")

_INTERRUPTED = (130, -2)


class AnyRun(Protocol):
    """A run that can be started, whatever it trains."""

    @property
    def folder(self) -> Path: ...
    @property
    def fold(self) -> int: ...
    @property
    def seed(self) -> int: ...
    @property
    def path(self) -> Path: ...
    @property
    def arguments(self) -> list[str]: ...
    def is_finished(self) -> bool: ...


OneRun = TypeVar("OneRun", bound=AnyRun)


@dataclass(frozen=True)
class Request:
    """What was asked for, the same for all runs; None keeps to the paper.

    Attributes:
        half_precision: what mixed precision means on this machine, `fp16` or `bf16`.
    """

    dataset: str
    output_dir: Path
    protocol: FoldProtocol = "strict"
    epochs: int | None = None
    max_clips_per_class: int | None = None
    image_size: int | None = None
    num_workers: int = 0
    decode_once: bool = False
    half_precision: str = "bf16"


@dataclass(frozen=True)
class Run:
    """One training on one fold with one seed.

    Attributes:
        config_file: of the experiment.
        folder: of the experiment's cross-validation.
        overrides: options that the command line sets above the file, as (name, value).
    """

    config_file: Path
    folder: Path
    fold: int
    seed: int
    overrides: tuple[tuple[str, Any], ...]

    @property
    def path(self) -> Path:
        return self.folder / f"fold-{self.fold}-seed-{self.seed}"

    @property
    def arguments(self) -> list[str]:
        """Arguments of `python -m training.cross_validate`."""
        own = {"config": self.config_file, "output_dir": self.folder, "folds": self.fold, "seeds": self.seed}
        return [text for name, value in (*own.items(), *self.overrides) for text in (flag_of(name), str(value))]

    def is_finished(self) -> bool:
        """Whether the folder holds the results of just these options."""
        if not (self.path / "metrics.json").is_file() or not (self.path / "config.yaml").is_file():
            return False
        began = yaml.safe_load((self.path / "config.yaml").read_text(encoding="utf-8"))
        # Weights of the Hub are no other file's.
        wanted = {"pretrained_file": None, **read_options_file(self.config_file), **dict(self.overrides)}
        return all(began.get(name) == value for name, value in wanted.items() if name not in _OF_THE_MACHINE)

    def results(self) -> dict[str, Any]:
        return json.loads((self.path / "metrics.json").read_text(encoding="utf-8"))


def plan_run(experiment: Experiment, fold: int, seed: int, request: Request, weights: ImageNetWeights | None) -> Run:
    """The run of an experiment on a fold.

    Args:
        experiment: the training and its backbone.
        fold, seed: of this run.
        request: what was asked for.
        weights: the backbone's; None for training from scratch. Where they are missing the same recipe begins with
            random weights.
    """
    random = weights is not None and bool(weights.missing)
    if random and experiment.training == "finetune":
        # Fine-tuning random weights is training from scratch: the recipes are equal, so the run is one and the same.
        experiment, random, weights = Experiment("scratch", experiment.backbone), False, None
    overrides: dict[str, Any] = {"dataset": request.dataset, "protocol": request.protocol}
    size: list[str] = [request.protocol]
    for name, unit in (("epochs", "epochs"), ("max_clips_per_class", "clips-a-class"), ("image_size", "px")):
        value = getattr(request, name)
        if value is not None:
            overrides[name] = value
            size.append(f"{value}-{unit}")
    if request.protocol == "paper":
        overrides["augment_on"] = "none"  # the data set holds augmented copies
    folder = f"{experiment.training}-{experiment.backbone}"
    if experiment.training == "mixed_precision":
        overrides["mixed_precision"] = request.half_precision
        folder += f"-{request.half_precision}"
    if random:
        overrides["initial_weights"] = "random"
        folder += "-random-init"
    elif weights is not None and weights.file is not None:
        overrides["pretrained_file"] = str(weights.file)
    overrides |= {name: getattr(request, name) for name in _OF_THE_MACHINE if getattr(request, name)}
    folder_of_size = request.output_dir / "runs" / "-".join(size)
    return Run(experiment.config_file, folder_of_size / folder, fold, seed, tuple(overrides.items()))


def start_module(arguments: Sequence[str], jobs: int) -> int:
    """Run `python -m` in a process of its own; it prints to standard error, as standard output is for tables."""
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, stdout=2, check=False, env=environment_of_job(jobs)).returncode


def start_cross_validation(arguments: Sequence[str], jobs: int) -> int:
    """Train by `training.cross_validate` in a process of its own."""
    return start_module(["training.cross_validate", *arguments], jobs)


def train_all(runs: Iterable[OneRun], runner: Runner, announce: Callable[[str], None], jobs: int = 1) -> list[OneRun]:
    """Train what is not finished, each run once, and return those that failed: the others are worth having.

    Args:
        runs: that must be there in the end.
        runner: trains one.
        announce: takes a line of progress.
        jobs: runs side by side.

    Raises:
        KeyboardInterrupt: a run was interrupted.
    """
    distinct = list(dict.fromkeys(runs))

    def train(number: int) -> bool:
        run = distinct[number]
        what = f"[{number + 1}/{len(distinct)}] {run.folder.name}, fold {run.fold}, seed {run.seed}"
        if run.is_finished():
            announce(f"{what}: finished before")
            return True
        announce(what)
        status = runner(run.arguments, jobs)
        if status in _INTERRUPTED:
            raise KeyboardInterrupt
        succeeded = status == 0 and (run.path / "metrics.json").is_file()
        if not succeeded:
            announce(f"{what} failed with status {status}")
        return succeeded

    trained = side_by_side(train, range(len(distinct)), jobs)
    return [run for run, succeeded in zip(distinct, trained, strict=True) if not succeeded]


def results_of(plan: Mapping[tuple[Experiment, int, int], Run], failed: Sequence[Run]) -> dict[Experiment, Results]:
    """Read what the runs of a plan measured; those that failed are absent."""
    results: dict[Experiment, Results] = {}
    for (experiment, fold, seed), run in plan.items():
        of_experiment = results.setdefault(experiment, {})
        if run not in failed:
            of_experiment[fold, seed] = run.results()
    return results


def select_folds(dataset: str, protocol: FoldProtocol, wanted: Sequence[int] | None) -> list[int]:
    """The folds to test on: those asked for, or all complete ones.

    Raises:
        QuaclrsError: the data set cannot be loaded, or a fold is not among its complete ones.
    """
    rows = load_urbansound13(dataset)
    complete = complete_folds(rows, protocol)
    choices = ", ".join(map(str, complete)) or "none"
    for fold in wanted or ():
        if fold not in complete:
            raise QuaclrsError(f"--folds: fold {fold} is not complete in {dataset}; choose among {choices}")
    if not complete:
        raise QuaclrsError(f"{dataset} has no complete fold to test on")
    return sorted(set(wanted)) if wanted else list(complete)


def check_image_size(image_size: int | None, backbones: Iterable[str]) -> None:
    """Refuse pictures of which nothing would be left; `QuaclrsError` names the backbone and its least size."""
    for backbone in backbones:
        least = SMALLEST_PICTURE.get(backbone, 1)
        if image_size is not None and image_size < least:
            raise QuaclrsError(
                f"--image-size {image_size}: {backbone} needs pictures of at least {least} px; "
                "raise it, or choose other --backbones"
            )
