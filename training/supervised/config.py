"""Options of supervised training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from quaclrs.errors import QuaclrsError
from quaclrs.models import find_backbone
from quaclrs.models.configuration_checks import MOST_STAGES, POOLINGS

from ..clips.background import BackgroundFolder
from ..runs.config import TrainingConfig
from ..runs.options import option
from .config_checks import check_options

Mode = Literal["scratch", "finetune", "linear_probe"]
MODES = ("scratch", "finetune", "linear_probe")

#: Learning rate where none is given: a pretrained network is moved gently.
LEARNING_RATE_OF_MODE = {"scratch": 1e-3, "finetune": 1e-4, "linear_probe": 1e-3}


@dataclass
class SupervisedConfig(TrainingConfig):
    """Supervised training on one fold (paper, section 4.6)."""

    module: ClassVar[str] = "training.train_supervised"

    mode: Mode = option(
        "scratch",
        "scratch: random weights; finetune: pretrained weights, all trained; linear_probe: pretrained, only the head",
        MODES,
    )
    initial_weights: Literal["auto", "pretrained", "random"] = option(
        "auto",
        "pretrained or random, to compare the two under one mode; auto: random for scratch, else pretrained",
        ("auto", "pretrained", "random"),
    )
    pooling: Literal["mean", "mean_max"] = option(
        "mean", "mean: features as the network pools them; mean_max: their maxima beside them", POOLINGS
    )
    patch_overlap: float = option(
        0.0, "share of a patch that the next holds too, for backbones of patches (yamnet)", at_least=0, at_most=0.9
    )
    earlier_stages: str = option(
        "", "stages before a network's last that the head hears too; of A+B with commas: 0,2; none where empty"
    )
    stage_scale: float = option(
        1.0, "factor of the standardised features of earlier stages beside those of the last", above=0, at_most=100
    )
    encoder_scales: str = option(
        "", "factors of the standardised embeddings of A+B, with commas: 0.5,1 trusts A less; all alike where empty"
    )
    background: str | None = option(
        None, "folder of sounds that are none of the classes, a folder a kind: the class `other` is trained on them"
    )
    background_without: str = option("", "kinds to leave out of it, with commas: those that sound like a class")
    background_mixtures: int = option(
        2, "copies of each training clip under background at 0 to 20 dB, with linear_probe", at_least=0, at_most=100
    )
    tag_weight: float = option(
        0.0,
        "weight of YAMNet's own classifier beside ours, whose kinds of sound speak for a class or for `other`; 0: none",
        at_least=0,
        at_most=10,
    )
    tags: str | None = option(
        None, "YAML file of the kinds that speak for each class; the one for UrbanSound13's classes where absent"
    )
    freeze_stages: int = option(0, "stages of the backbone, from the input, that are not trained", at_least=0)
    layer_decay: float = option(1.0, "factor of the rate from each layer to the one below it", above=0, at_most=1)
    dropout: float | None = option(
        None, "share of features dropped before the classifier; the network's own where absent", at_least=0, below=1
    )
    drop_path: float | None = option(
        None,
        "share of residuals dropped, rising from block to block to this (stochastic depth); the network's own where "
        "absent",
        at_least=0,
        below=1,
    )
    ema_decay: float = option(
        0.0,
        "keep an exponential moving average of the weights, test that; it is shorter in the first steps; 0 for none",
        at_least=0,
        below=1,
    )
    class_weights: Literal["none", "inverse", "effective"] | None = option(
        None,
        "none; inverse: of class frequency (paper, section 4.6); effective: of the effective number of clips; "
        "inverse, and none with a balanced sampler, where absent",
        ("none", "inverse", "effective"),
    )
    balanced_sampler: bool = option(
        False,
        "draw clips, with replacement, so that every class is as frequent, and in a class a recording by a power of "
        "its clips",
    )
    recording_power: float = option(
        0.5,
        "that power: 0 draws every recording as often, 0.5 by the root of its clips, 1 every clip as often",
        at_least=0,
        at_most=1,
    )
    label_smoothing: float = option(0.0, "share of the target spread over all classes", at_least=0, below=1)
    validate_every: int = option(
        1, "epochs from one look at the validation clips to the next; the last epoch is always looked at", above=0
    )
    keep_epoch: Literal["best", "last"] = option(
        "best",
        "best: keep the epoch that is best on the validation clips; last: the last, as a release trains it",
        ("best", "last"),
    )
    class_offsets: bool = option(
        False,
        "in the end add to the logit of each class what makes the validation clips likeliest (bias-corrected "
        "temperature scaling)",
    )
    refit: bool = option(
        False,
        "in the end train a probe once more, with the validation clips too, as a release does, and test that one; "
        "offsets stay those of the first",
    )
    patience: int = option(
        0, "end after this many epochs without a better validation accuracy (early stopping); 0: never", at_least=0
    )

    @property
    def background_folder(self) -> BackgroundFolder | None:
        """Sounds of the class `other`, if there are any."""
        without = tuple(filter(None, self.background_without.split(",")))
        return BackgroundFolder(self.background, without) if self.background else None

    @property
    def factors_of_encoders(self) -> list[float]:
        """`encoder_scales` as numbers; empty where there are none.

        Raises:
            QuaclrsError: they are not one positive number an encoder.
        """
        try:
            factors = [float(factor) for factor in filter(None, self.encoder_scales.split(","))]
        except ValueError:
            factors = [math.nan]
        if factors and (len(factors) != len(self.backbone_names) or not all(0 < f < math.inf for f in factors)):
            raise QuaclrsError(
                f"--encoder-scales {self.encoder_scales}: give a number above 0 for each encoder of {self.backbone}"
            )
        return factors

    @property
    def stages_of_encoders(self) -> list[int]:
        """`earlier_stages` as a number for each encoder; zeros where there are none.

        Raises:
            QuaclrsError: they are not one number an encoder.
        """
        given = self.earlier_stages.split(",") if self.earlier_stages else ["0"] * len(self.backbone_names)
        numbers = [int(number) if number.strip().isdecimal() else MOST_STAGES + 1 for number in given]
        if len(numbers) != len(self.backbone_names) or max(numbers) > MOST_STAGES:
            raise QuaclrsError(
                f"--earlier-stages {self.earlier_stages}: give a number from 0 to {MOST_STAGES} for each encoder of "
                f"{self.backbone}"
            )
        return numbers

    @property
    def is_on_embeddings(self) -> bool:
        """A probe without augmentation: each clip is embedded once, and the head alone is trained on that."""
        return self.mode == "linear_probe" and self.augment_on == "none"

    def __post_init__(self) -> None:
        self.earlier_stages = str(self.earlier_stages)  # YAML reads 2 as a number
        super().__post_init__()
        if self.augment_on is None:
            if self.mode == "linear_probe" and self.augment != SupervisedConfig.augment:
                raise QuaclrsError(
                    f"--augment {self.augment} has no use with a probe on embeddings; pass --augment-on device too"
                )
            self.augment_on = "none" if self.mode == "linear_probe" or self.fill_per_fold else "device"
        if self.class_weights is None:
            self.class_weights = "none" if self.balanced_sampler else "inverse"
        self.learning_rate = self.learning_rate or LEARNING_RATE_OF_MODE[self.mode]
        check_options(self)
        if self.mode != "linear_probe":
            spec = find_backbone(self.backbone)
            self.dropout = spec.dropout if self.dropout is None else self.dropout
            self.drop_path = spec.drop_path_rate if self.drop_path is None else self.drop_path
        if self.initial_weights == "auto":
            self.initial_weights = "random" if self.mode == "scratch" else "pretrained"
