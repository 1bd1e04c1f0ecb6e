"""Options of supervised training that contradict each other, or that would be ignored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from quaclrs.errors import QuaclrsError
from quaclrs.models import find_backbone

from ..runs.config import ALL_RECORDINGS, PLATEAU
from ..runs.options import flag_of

if TYPE_CHECKING:
    from .config import SupervisedConfig


def check_options(config: SupervisedConfig) -> None:
    """Refuse options that do not go together.

    Raises:
        QuaclrsError: the first of them, with what to do.
    """
    for conflicts in (_first_weights, _probe, _refit, _background, _augmentation, _encoders):
        for conflict in conflicts(config):
            raise QuaclrsError(conflict)


def _first_weights(config: SupervisedConfig) -> Iterator[str]:
    for name in filter(lambda name: getattr(config, name), ("pretrained_file", "init_from")):
        if config.mode == "scratch":
            yield f"{flag_of(name)} has no use with --mode scratch; choose finetune or linear_probe"
        if config.initial_weights == "random":
            yield f"{flag_of(name)} has no use with --initial-weights random; leave one out"
    if config.pretrained_file and config.init_from:
        yield "--pretrained-file and --init-from exclude each other; give one"
    if config.mode == "scratch" and config.initial_weights == "pretrained":
        yield "--mode scratch begins with random weights; choose finetune for pretrained ones"


def _probe(config: SupervisedConfig) -> Iterator[str]:
    if config.mode != "linear_probe":
        return
    for name, off in (("freeze_stages", 0), ("layer_decay", 1), ("dropout", None), ("drop_path", None)):
        if getattr(config, name) != off:
            yield f"{flag_of(name)} has no use with --mode linear_probe, which trains only the head"
    if config.compile and config.is_on_embeddings:
        yield "--compile has no use with a probe on embeddings; leave it out"


def _refit(config: SupervisedConfig) -> Iterator[str]:
    if not config.refit:
        return
    if not config.is_on_embeddings:
        yield "--refit is for --mode linear_probe without augmentation; leave it out"
    if config.keep_epoch == "best" or config.patience or config.lr_scheduler == PLATEAU:
        yield (
            "--refit has no validation clips to go by; pass --keep-epoch last, without --patience and "
            f"--lr-scheduler {PLATEAU}"
        )
    if config.labelled_recordings != ALL_RECORDINGS or config.label_fraction < 1:
        yield "--refit would learn every validation clip's label; leave it out with few labels"
    if config.max_clips_per_class:
        yield "--refit would learn every validation clip; leave out --max-clips-per-class"


def _background(config: SupervisedConfig) -> Iterator[str]:
    probes_tags = config.is_on_embeddings and any(find_backbone(name).tags for name in config.backbone_names)
    if config.tag_weight and not (probes_tags and config.background):
        yield "--tag-weight is for --mode linear_probe without augmentation, with --background and yamnet"
    if config.tags and not config.tag_weight:
        yield "--tags has no use without --tag-weight; leave it out"
    mixes = config.is_on_embeddings and config.background
    if config.background_mixtures != type(config).background_mixtures and not mixes:
        yield "--background-mixtures has no use without --background and a probe on embeddings"
    if config.background_without and not config.background:
        yield "--background-without has no use without --background; leave it out"
    if config.fill_per_fold and config.background:
        yield "--background has no use with copies (--protocol paper); pass --fill-per-fold 0"


def _augmentation(config: SupervisedConfig) -> Iterator[str]:
    if config.recording_power != type(config).recording_power and not config.balanced_sampler:
        yield "--recording-power has no use without --balanced-sampler; leave it out"
    if config.fill_per_fold and config.augment_on != "none":
        yield (
            f"--augment-on {config.augment_on}: under --protocol paper copies are the augmentation; leave it out, or "
            "pass --fill-per-fold 0"
        )
    for name in ("background_noise", "mixup_alpha"):
        if getattr(config, name) and config.augment_on == "none":
            yield f"{flag_of(name)} has no use with --augment-on none; choose device or worker"


def _encoders(config: SupervisedConfig) -> Iterator[str]:
    config.stages_of_encoders  # noqa: B018 (a wrong number is an error now)
    if config.factors_of_encoders and config.mode != "linear_probe":
        yield "--encoder-scales has no use without --mode linear_probe; leave it out"
    if config.stage_scale != 1 and not (config.is_on_embeddings and any(config.stages_of_encoders)):
        yield "--stage-scale has no use without --earlier-stages and a probe on embeddings; leave it out"
    if config.patch_overlap and not any(find_backbone(name).patch_width for name in config.backbone_names):
        yield f"--patch-overlap: {config.backbone} takes no patches, as yamnet does; leave it out"
    if len(config.backbone_names) > 1 and (not config.is_on_embeddings or config.init_from):
        yield (
            f"--backbone {config.backbone}: several encoders are probed as they are; pass --mode linear_probe, "
            "without augmentation and --init-from"
        )
