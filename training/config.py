"""Options of a training run: one dataclass that is the command line, the YAML file and what is saved beside the run."""

from __future__ import annotations

import argparse
import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar

import yaml
from transformers import HfArgumentParser, SchedulerType

from quaclrs.errors import QuaclrsError
from quaclrs.folds import PROTOCOLS, Protocol
from quaclrs.models import PAD_MODES, BackboneError, find_backbone

Mode = Literal["scratch", "finetune", "linear_probe"]
MODES = ("scratch", "finetune", "linear_probe")
AUGMENT_ON = ("device", "worker", "none")

#: Adam's learning rate where none is given: a pretrained network is moved gently.
LEARNING_RATE_OF_MODE = {"scratch": 1e-3, "finetune": 1e-4, "linear_probe": 1e-3}


def option(default: Any, text: str) -> Any:
    """A dataclass field with the help text of its command-line option."""
    return field(default=default, metadata={"help": text})


@dataclass
class SupervisedConfig:
    """Supervised training on one fold (paper, section 4.6)."""

    dataset: str = option("", "folder that the builder wrote, or a Hub repository")
    test_fold: int = option(0, "fold to test on; the complete fold before it validates")
    output_dir: str = option("", "new folder for the run")
    backbone: str = option("resnet18", "one of the paper's seven or any timm architecture")
    mode: Mode = option(
        "scratch",
        "scratch: random weights; finetune: pretrained weights, all trained; linear_probe: pretrained, only the head",
    )
    pretrained_file: str | None = option(None, "local pretrained weights for finetune and linear_probe, not the Hub's")
    epochs: int = option(20, "passes over the training clips")
    batch_size: int = option(32, "clips a step and process")
    learning_rate: float | None = option(None, "peak rate of Adam; 1e-3, and 1e-4 for finetune, where absent")
    lr_scheduler: str = option("cosine", "a schedule of transformers: cosine, linear, constant, …")
    warmup_epochs: float = option(1.0, "epochs over which the learning rate rises from 0")
    weight_decay: float = option(0.0, "L2 penalty of Adam")
    image_size: int | None = option(None, "height and width of the picture in pixels; the backbone's own where absent")
    augment: str = option("default", "policy of training: a name, one of the paper's variants, or a .yaml file")
    augment_on: Literal["device", "worker", "none"] | None = option(
        None, "device, worker (DataLoader processes) or none; device, and none for linear_probe and paper, where absent"
    )
    background_noise: str | None = option(None, "folder of recordings for a policy with background_noise")
    pad_mode: Literal["zeros", "repeat"] = option("zeros", "what fills up short clips: silence, or the clip again")
    decode_once: bool = option(False, "keep decoded clips on disk (96 kB a second) and skip decoding in every epoch")
    protocol: Protocol = option("strict", "strict: no recording in two splits; paper: as the paper dealt, optimistic")
    max_clips_per_class: int | None = option(None, "keep at most this many training clips a class, drawn by seed")
    seed: int = option(0, "of weights, clip order and every draw")
    num_workers: int = option(0, "processes that decode clips; results do not depend on it")
    resume: Literal["no", "auto"] = option("no", "auto: go on from the run's last complete epoch, if there is one")
    overwrite: bool = option(False, "replace a run that is in output_dir already")

    def __post_init__(self) -> None:
        # What was left open is settled here, so that the saved config says what was run.
        if self.augment_on is None:
            self.augment_on = "none" if self.mode == "linear_probe" or self.protocol == "paper" else "device"
        for name in ("dataset", "test_fold", "output_dir"):
            if not getattr(self, name):
                raise QuaclrsError(f"--{name.replace('_', '-')} is missing; pass it or set {name} in --config FILE")
        for name, choices in {
            "mode": MODES,
            "protocol": PROTOCOLS,
            "resume": ("no", "auto"),
            "augment_on": AUGMENT_ON,
            "pad_mode": PAD_MODES,
            "lr_scheduler": tuple(kind.value for kind in SchedulerType),
        }.items():
            if getattr(self, name) not in choices:
                raise QuaclrsError(
                    f"--{name.replace('_', '-')} is {getattr(self, name)!r}; choose {', '.join(choices)}"
                )
        for name in ("augment", "background_noise"):
            value = getattr(self, name)
            if not isinstance(value, str) and not (name == "background_noise" and value is None):
                raise QuaclrsError(f"--{name.replace('_', '-')} is {value!r}; it must be a name or a path")
        for name in ("epochs", "batch_size", "learning_rate", "image_size", "max_clips_per_class"):
            if getattr(self, name) is not None and not getattr(self, name) > 0:
                raise QuaclrsError(f"--{name.replace('_', '-')} is {getattr(self, name)}; it must be above 0")
        for name in ("num_workers", "warmup_epochs", "weight_decay"):
            if getattr(self, name) < 0:
                raise QuaclrsError(f"--{name.replace('_', '-')} is {getattr(self, name)}; it must not be negative")
        if self.pretrained_file and self.mode == "scratch":
            raise QuaclrsError("--pretrained-file has no use with --mode scratch; choose finetune or linear_probe")
        try:
            spec = find_backbone(self.backbone)
        except BackboneError as error:
            raise QuaclrsError(f"--backbone: {error}") from error
        self.image_size = self.image_size or spec.image_size
        self.learning_rate = self.learning_rate or LEARNING_RATE_OF_MODE[self.mode]


Config = TypeVar("Config", bound=SupervisedConfig)


class _ConfigParser(HfArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise QuaclrsError(f"{message} (see --help)")


def parse_config(config_class: type[Config], arguments: list[str] | None = None) -> Config:
    """Read options from the command line and, below them, from the YAML file that `--config` names.

    Raises:
        QuaclrsError: an unknown option or key, a value of the wrong type, or a file that is no YAML mapping.
    """
    parser = _ConfigParser(config_class, description=config_class.__doc__)  # type: ignore[arg-type]
    parser.add_argument("--config", metavar="FILE", help="YAML file of options; the command line wins over it")
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--config")
    file = first.parse_known_args(arguments)[0].config
    if file:
        parser.set_defaults(**_read_yaml(Path(file), {f.name for f in dataclasses.fields(config_class)}))
    options = vars(parser.parse_args(arguments))
    options.pop("config")
    return config_class(**options)


def _read_yaml(file: Path, known: set[str]) -> dict[str, Any]:
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise QuaclrsError(f"--config {file} cannot be read as YAML ({str(error).splitlines()[0]})") from error
    if not isinstance(values, dict):
        raise QuaclrsError(f"--config {file} must hold one `option: value` a line")
    unknown = sorted(set(values) - known)
    if unknown:
        raise QuaclrsError(f"--config {file}: unknown option {', '.join(unknown)}; see --help for the names")
    return values
