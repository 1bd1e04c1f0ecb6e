"""The runs behind the self-supervised tables: what each is called, and how it is started or found finished."""

from __future__ import annotations

import functools
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quaclrs.folds import FoldProtocol

from ..runs.folder import RunFolder
from ..runs.options import flag_of, parse_config, read_options_file
from ..ssl.config import SSLConfig, read_preset
from ..supervised.config import SupervisedConfig
from .ssl_tables import SSLTraining
from .tables import CONFIGS

#: Share of the epochs over which the rate rises at most. The presets' warm-ups are meant for 100 epochs.
_LONGEST_WARMUP = 0.1


@dataclass(frozen=True)
class SSLRequest:
    """What was asked for, the same for all runs; None keeps to the paper, or to `configs/paper/ssl.yaml`."""

    dataset: str
    output_dir: Path
    protocol: FoldProtocol = "strict"
    epochs: int | None = None
    max_clips_per_class: int | None = None
    backbone: str | None = None
    image_size: int | None = None
    batch_size: int | None = None
    pretrained_file: Path | None = None
    num_workers: int = 0
    decode_once: bool = False

    @functools.cached_property
    def shared(self) -> dict[str, Any]:
        """The backbone and batch of all runs that name no other."""
        own = {"backbone": self.backbone, "batch_size": self.batch_size}
        given = {name: value for name, value in own.items() if value is not None}
        return {**read_options_file(CONFIGS / "ssl.yaml"), **given}


@dataclass(frozen=True)
class SSLRun:
    """One training on one fold with one seed.

    Attributes:
        module: what trains it, `training.train_ssl` or `training.train_supervised`.
        folder: of the training, which holds the runs of all folds and seeds.
        options: of the run, as (name, value), without its own folder, fold and seed.
    """

    module: str
    folder: Path
    fold: int
    seed: int
    options: tuple[tuple[str, Any], ...]

    @property
    def path(self) -> Path:
        return self.folder / f"fold-{self.fold}-seed-{self.seed}"

    @property
    def arguments(self) -> list[str]:
        """Arguments of `python -m`."""
        own = {"test_fold": self.fold, "seed": self.seed, "output_dir": self.path, "resume": "auto"}
        pairs = [*self.options, *own.items()]
        return [self.module, *(text for name, value in pairs for text in (flag_of(name), str(value)))]

    @functools.cached_property
    def config(self) -> SSLConfig | SupervisedConfig:
        """Every option as the run settles it; `QuaclrsError` where one is wrong."""
        if self.module == "training.train_ssl":
            return parse_config(SSLConfig, self.arguments[1:])
        return parse_config(SupervisedConfig, self.arguments[1:])

    def is_finished(self) -> bool:
        """Whether the folder holds the results of just these options."""
        found = all((self.path / name).is_file() for name in ("metrics.json", "config.yaml"))
        return found and not RunFolder(self.path).options_that_differ(self.config)

    def results(self) -> dict[str, Any]:
        return json.loads((self.path / "metrics.json").read_text(encoding="utf-8"))


def plan_ssl_run(training: SSLTraining, fold: int, seed: int, epochs: int, request: SSLRequest) -> SSLRun:
    """The run of a training on a fold.

    Args:
        training: the method and what a table varies of it.
        fold, seed: of this run.
        epochs: of the table, where the request names none.
        request: what was asked for.
    """
    epochs = request.epochs or epochs
    if training.kind == "imagenet":
        epochs = 1  # it is measured before it is trained, so that training is as short as can be
    size: list[str] = [request.protocol, f"{epochs}-epochs"]
    for name, unit in (("max_clips_per_class", "clips-a-class"), ("image_size", "px")):
        if (value := getattr(request, name)) is not None:
            size.append(f"{value}-{unit}")
    backbone = request.shared["backbone"]
    options: dict[str, Any]
    named: dict[str, Any] = {}
    if training.kind == "supervised":
        module, options = "training.train_supervised", {"config": _from_here(CONFIGS / "scratch.yaml")}
        options["pad_mode"] = "repeat"  # as the presets of self-supervised runs
        if request.protocol == "paper":
            options["augment_on"] = "none"  # the data set holds augmented copies
    else:
        module, options = "training.train_ssl", _ssl_options(training, epochs, request)
        named = {name: options[name] for name in ("method", "augment", "batch_size", *dict(training.options))}
        if training.kind == "imagenet":
            named["pretrained_file"] = options["pretrained_file"]
    options |= {"backbone": backbone, "epochs": epochs, "dataset": request.dataset, "protocol": request.protocol}
    options |= {
        name: value
        for name in ("max_clips_per_class", "image_size", "num_workers", "decode_once")
        if (value := getattr(request, name))
    }
    name = "-".join([training.kind, backbone, *(_as_name(*entry) for entry in named.items())])
    folder = request.output_dir / "runs" / "-".join(size) / name
    return SSLRun(module, folder, fold, seed, tuple(options.items()))


def _ssl_options(training: SSLTraining, epochs: int, request: SSLRequest) -> dict[str, Any]:
    """Options of method, views, batch and warm-up, and of the weights to begin with."""
    options = {"batch_size": request.shared["batch_size"], **dict(training.options)}
    if training.kind == "imagenet":
        options |= {"method": "simclr", "augment": "two_views"}
        options |= {"initial_weights": "pretrained", "pretrained_file": request.pretrained_file}
    if options["augment"].endswith(".yaml"):
        options["augment"] = _from_here(CONFIGS / options["augment"])
    warmup = read_preset(options["method"], options["batch_size"]).get("warmup_epochs", 1.0)
    options["warmup_epochs"] = min(float(warmup), round(_LONGEST_WARMUP * epochs, 3))
    return options


def _from_here(file: Path) -> str:
    """The file as the command names it, from the current folder where it lies below that: alike in every clone."""
    return os.path.relpath(file) if file.resolve().is_relative_to(Path.cwd()) else str(file)


def _as_name(option: str, value: Any) -> str:
    """The part of a folder's name that an option makes."""
    if option in ("method", "augment", "pretrained_file"):
        return Path(str(value)).name.removesuffix(".yaml")
    text = str(value).replace("=", "-").replace(",", "-")
    return text if option == "method_options" else f"{option}-{text}"
