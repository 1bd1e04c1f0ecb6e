"""Options of supervised training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from quaclrs.errors import QuaclrsError
from quaclrs.models import find_backbone
from quaclrs.models.configuration_checks import POOLINGS

from ..clips.background import BackgroundFolder
from ..runs.config import ALL_RECORDINGS, PLATEAU, TrainingConfig
from ..runs.options import flag_of, option

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

    def __post_init__(self) -> None:
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
        self._refuse_what_would_be_ignored()
        if len(self.backbone_names) > 1 and (
            self.mode != "linear_probe" or self.augment_on != "none" or self.init_from
        ):
            raise QuaclrsError(
                f"--backbone {self.backbone}: several encoders are probed as they are; pass --mode linear_probe, "
                "without augmentation and --init-from"
            )
        if self.mode != "linear_probe":
            spec = find_backbone(self.backbone)
            self.dropout = spec.dropout if self.dropout is None else self.dropout
            self.drop_path = spec.drop_path_rate if self.drop_path is None else self.drop_path
        if self.initial_weights == "auto":
            self.initial_weights = "random" if self.mode == "scratch" else "pretrained"

    def _refuse_what_would_be_ignored(self) -> None:
        on_embeddings = self.mode == "linear_probe" and self.augment_on == "none"
        for name in ("pretrained_file", "init_from"):
            if not getattr(self, name):
                continue
            if self.mode == "scratch":
                raise QuaclrsError(f"{flag_of(name)} has no use with --mode scratch; choose finetune or linear_probe")
            if self.initial_weights == "random":
                raise QuaclrsError(f"{flag_of(name)} has no use with --initial-weights random; leave one out")
        if self.pretrained_file and self.init_from:
            raise QuaclrsError("--pretrained-file and --init-from exclude each other; give one")
        if self.mode == "scratch" and self.initial_weights == "pretrained":
            raise QuaclrsError("--mode scratch begins with random weights; choose finetune for pretrained ones")
        if self.mode == "linear_probe":
            for name, off in (("freeze_stages", 0), ("layer_decay", 1), ("dropout", None), ("drop_path", None)):
                if getattr(self, name) != off:
                    raise QuaclrsError(
                        f"{flag_of(name)} has no use with --mode linear_probe, which trains only the head"
                    )
            if self.compile and self.augment_on == "none":
                raise QuaclrsError("--compile has no use with a probe on embeddings; leave it out")
        if self.factors_of_encoders and self.mode != "linear_probe":
            raise QuaclrsError("--encoder-scales has no use without --mode linear_probe; leave it out")
        tagging = on_embeddings and any(find_backbone(name).tags for name in self.backbone_names)
        if self.tag_weight and not (tagging and self.background):
            raise QuaclrsError(
                "--tag-weight is for --mode linear_probe without augmentation, with --background and yamnet"
            )
        if self.refit and not on_embeddings:
            raise QuaclrsError("--refit is for --mode linear_probe without augmentation; leave it out")
        if self.refit and (self.keep_epoch == "best" or self.patience or self.lr_scheduler == PLATEAU):
            raise QuaclrsError(
                "--refit has no validation clips to go by; pass --keep-epoch last, without --patience and "
                f"--lr-scheduler {PLATEAU}"
            )
        if self.refit and (self.labelled_recordings != ALL_RECORDINGS or self.label_fraction < 1):
            raise QuaclrsError("--refit would learn every validation clip's label; leave it out with few labels")
        if self.refit and self.max_clips_per_class:
            raise QuaclrsError("--refit would learn every validation clip; leave out --max-clips-per-class")
        if self.patch_overlap and not any(find_backbone(name).patch_width for name in self.backbone_names):
            raise QuaclrsError(f"--patch-overlap: {self.backbone} takes no patches, as yamnet does; leave it out")
        mixes = on_embeddings and self.background
        if self.background_mixtures != SupervisedConfig.background_mixtures and not mixes:
            raise QuaclrsError("--background-mixtures has no use without --background and a probe on embeddings")
        if self.recording_power != 0.5 and not self.balanced_sampler:
            raise QuaclrsError("--recording-power has no use without --balanced-sampler; leave it out")
        if self.tags and not self.tag_weight:
            raise QuaclrsError("--tags has no use without --tag-weight; leave it out")
        if self.background_without and not self.background:
            raise QuaclrsError("--background-without has no use without --background; leave it out")
        if self.fill_per_fold and self.background:
            raise QuaclrsError("--background has no use with copies (--protocol paper); pass --fill-per-fold 0")
        if self.fill_per_fold and self.augment_on != "none":
            raise QuaclrsError(
                f"--augment-on {self.augment_on}: under --protocol paper copies are the augmentation; leave it out, or "
                "pass --fill-per-fold 0"
            )
        if self.augment_on == "none":
            for name in ("background_noise", "mixup_alpha"):
                if getattr(self, name):
                    raise QuaclrsError(f"{flag_of(name)} has no use with --augment-on none; choose device or worker")
