"""Options of self-supervised training, and the presets that settle what is left open."""

from __future__ import annotations

import dataclasses
import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import yaml

from quaclrs.errors import QuaclrsError
from quaclrs.ssl import METHODS, SSLOptions

from ..runs.config import ALL_RECORDINGS, TrainingConfig, pad_mode_of
from ..runs.options import flag_of, option, read_options_file

PRESETS = Path(__file__).parents[1] / "configs" / "ssl"


@dataclass
class SSLConfig(TrainingConfig):
    """Self-supervised pre-training on one fold (paper, sections 4.3 and 4.4), alone or with some labels."""

    required: ClassVar[tuple[str, ...]] = ("method", "dataset", "test_fold", "output_dir")
    module: ClassVar[str] = "training.train_ssl"

    # Of these, what is absent is taken from the preset of the method for the batch size.
    augment: str | None = option(  # type: ignore[assignment]
        None, "policy, or policies of the two views: a name, one of the paper's variants, or a .yaml file"
    )
    optimizer: Literal["adam", "adamw", "sgd"] | None = option(  # type: ignore[assignment]
        None, "adam, adamw, or sgd with momentum 0.9", ("adam", "adamw", "sgd")
    )
    learning_rate: float | None = option(None, "peak rate", above=0)
    lr_scheduler: str | None = option(  # type: ignore[assignment]
        None, "cosine, linear, polynomial, constant, or step: a tenth at 60 and 80 % of the steps",
        ("cosine", "linear", "polynomial", "constant", "step"),
    )  # fmt: skip
    weight_decay: float | None = option(  # type: ignore[assignment]
        None, "of all weights but norms and biases", at_least=0
    )
    local_views: int | None = option(None, "short views of a clip beside two whole ones (DINO, SwAV)", at_least=0)
    method_options: str | None = option(
        None, "the method's own options, such as temperature=0.2,projection_dim=64; others keep the preset's"
    )

    method: str = option("", f"one of {', '.join(METHODS)}", ("", *METHODS))
    epochs: int = option(100, "passes over the training clips", above=0)
    batch_size: int = option(32, "clips a step and process", above=1)
    local_duration: float = option(1.0, "seconds of a local view", above=0)
    initial_weights: Literal["random", "pretrained"] = option(
        "random", "random, or the backbone's pretrained weights", ("random", "pretrained")
    )
    supervised_weight: float = option(
        0.0, "weight of the cross-entropy of clips with labels (quasi-supervision)", at_least=0
    )
    method_weight: float = option(1.0, "weight of the method's own loss", at_least=0)
    supervised_detach: bool = option(False, "keep the gradient of the cross-entropy from the encoder")
    probe_learning_rate: float = option(1e-3, "rate of the online probe, which AdamW trains", above=0)
    neighbours: int = option(5, "training clips that vote in k-NN", above=0)

    def __post_init__(self) -> None:
        if isinstance(self.method_options, dict):  # as a YAML file may have it
            self.method_options = ",".join(f"{name}={value}" for name, value in self.method_options.items())
        if self.augment_on is None:
            self.augment_on = "device"
        preset = read_preset(self.method, self.batch_size * self.gradient_accumulation_steps)
        given = self.method_options
        if self.init_from:
            self.pad_mode = self.pad_mode or pad_mode_of(self.init_from)
        for name, value in preset.items():
            if getattr(self, name) is None:
                setattr(self, name, value)
        super().__post_init__()
        if len(self.backbone_names) > 1:
            raise QuaclrsError(f"--backbone {self.backbone}: a method trains one encoder; name one backbone")
        options = {**_parse_options(preset.get("method_options") or {}), **_parse_options(given or {})}
        self.method_options = ",".join(f"{name}={value:g}" for name, value in options.items())
        self.build_method_options()
        self._refuse_what_would_be_ignored()

    @property
    def tied_to_epochs(self) -> str:
        return super().tied_to_epochs or (f"--method {self.method}" if METHODS[self.method].follows_progress else "")

    def build_method_options(self) -> SSLOptions:
        """The method's options.

        Raises:
            QuaclrsError: one that the method does not have, or out of its bounds.
        """
        kind = METHODS[self.method].options_type
        whole = {entry.name: isinstance(entry.default, int) for entry in dataclasses.fields(kind)}
        values = _parse_options(self.method_options or {})
        if unknown := sorted(values.keys() - whole.keys()):
            raise QuaclrsError(f"--method-options: {self.method} has no {unknown[0]}; choose {', '.join(whole)}")
        try:
            return kind(**{n: int(v) if whole[n] and v == int(v) else v for n, v in values.items()})
        except QuaclrsError as error:
            raise QuaclrsError(f"--method-options: {error}") from error

    def _refuse_what_would_be_ignored(self) -> None:
        if self.augment_on == "none":
            raise QuaclrsError("--augment-on none leaves nothing to learn from; choose device or worker")
        if self.local_views and not METHODS[self.method].multi_crop:
            raise QuaclrsError(f"--local-views has no use with --method {self.method}; leave it out")
        if self.local_views and self.augment_on == "worker":
            raise QuaclrsError("--local-views are of another length; choose --augment-on device, or --local-views 0")
        if not self.local_views and self.local_duration != SSLConfig.local_duration:
            raise QuaclrsError("--local-duration has no use without --local-views; leave it out")
        if self.local_views and self.local_duration >= self.duration:
            raise QuaclrsError(f"--local-duration is {self.local_duration:g}; it must be below --duration")
        if self.supervised_detach and not self.supervised_weight:
            raise QuaclrsError("--supervised-detach has no use without --supervised-weight; leave it out")
        few = self.labelled_recordings != ALL_RECORDINGS or self.label_fraction < 1
        if self.supervised_weight and self.mixup_alpha:
            raise QuaclrsError("--mixup-alpha mixes sounds of two labels; leave out it or --supervised-weight")
        if self.method_weight == 0 and not self.supervised_weight:
            raise QuaclrsError("--method-weight 0 leaves nothing to learn; set --supervised-weight")
        if self.protocol == "paper" and few:
            raise QuaclrsError("--protocol paper has no recordings to choose labels by; leave out the few labels")
        if self.init_from and self.initial_weights == "pretrained":
            raise QuaclrsError("--init-from and --initial-weights pretrained exclude each other; give one")
        if self.pretrained_file and self.initial_weights == "random":
            raise QuaclrsError("--pretrained-file has no use without --initial-weights pretrained")


def read_preset(method: str, batch_size: int) -> dict[str, Any]:
    """Options of the method's preset, with those for the largest batch not above this one, or else for the smallest."""
    if method not in METHODS:
        asked = "is missing" if not method else f"is {method!r}"
        raise QuaclrsError(f"--method {asked}; choose {', '.join(METHODS)}")
    preset = dict(_read(PRESETS / f"{method}.yaml"))
    of_sizes = preset.pop("batch_sizes")
    return preset | of_sizes[max((size for size in of_sizes if size <= batch_size), default=min(of_sizes))]


_read = functools.cache(read_options_file)


def _parse_options(given: str | dict[str, Any]) -> dict[str, float]:
    if isinstance(given, dict):
        return given
    options = {}
    for part in filter(None, re.split(r"[,\s]+", given)):
        name, separator, value = part.partition("=")
        number = yaml.safe_load(value) if separator else None
        if isinstance(number, str):  # YAML reads 1e-3 as text
            try:
                number = float(number)
            except ValueError:
                number = None
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            raise QuaclrsError(f"{flag_of('method_options')}: {part!r} is not name=number, such as temperature=0.2")
        options[name] = number
    return options
