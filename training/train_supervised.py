"""Supervised training on one fold: `accelerate launch -m training.train_supervised --dataset DIR --test-fold K ...`.

`fit` reads from top to bottom: data, model, epochs with validation, offsets, a second training where one is asked for;
`train` then tests once (paper, section 4.6).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from accelerate import PartialState
from torch import nn

from quaclrs.errors import report_user_errors
from quaclrs.evaluation.run_metrics import RunMetrics
from quaclrs.files import name_unwritable
from quaclrs.models import QuaclrsFeatureExtractor

from .clips.augmentation import build_augmentation, build_log_mel_configs
from .clips.splits import Splits, load_splits
from .runs.checkpoints import broadcast_buffers
from .runs.heard import heard_after
from .runs.options import parse_run
from .runs.session import Session
from .runs.state import TrainingState
from .supervised.config import SupervisedConfig
from .supervised.dry_run import dry_run
from .supervised.evaluation import (
    add_offsets,
    best_epoch,
    describe_epoch,
    find_offsets,
    is_patience_over,
    probabilities_of,
    validate,
)
from .supervised.learner import Learner
from .supervised.model import build_model
from .supervised.results import measure, print_result, write_results
from .supervised.trainable import Trainable, classifier_on_clips, probe_on_embeddings


def train(config: SupervisedConfig) -> RunMetrics:
    """Train, keep one epoch, by default the best on the validation fold, test it once, and write the run folder.

    With `refit` a second training, from the start and with the validation clips, is what is tested. A stop in it costs
    no more than itself.

    Raises:
        QuaclrsError: wrong options, data set or weights. Nothing is written before all of them are known to be right.
        SystemExit: SIGTERM or Ctrl-C came; a checkpoint was written first.
    """
    with Session.begin(config) as session:
        fitted = fit(session, config)
        splits, loaders = fitted.splits, fitted.loaders
        # The test fold is looked at once, with the epoch that is kept.
        probabilities = {
            name: probabilities_of(session.accelerator, fitted.network, split, loaders[name])
            for name, split in fitted.trainable.held_out.items()
            if name != "validation"
        }
        model = fitted.trainable.whole(fitted.network)
        metrics = measure(config, session, splits, probabilities, model, fitted.trainable.network)
        metrics.train_seconds += fitted.refit_seconds
        if fitted.offsets is not None:
            metrics.class_offsets = dict(zip(splits.known_names, fitted.offsets.tolist(), strict=True))
        if session.accelerator.is_main_process:
            with name_unwritable(session.folder.path):
                write_results(session, config, splits, metrics, probabilities, model, fitted.feature_extractor)
        session.close()
        return metrics


@dataclass
class Fitted:
    """A training that is done.

    Attributes:
        network: with its final weights.
        loaders: of the held-out splits, by name.
        offsets: (classes,) what the validation clips added to the logits; None where nothing was.
        refit_seconds: of the second training; 0 where there was one.
    """

    trainable: Trainable
    network: nn.Module
    splits: Splits
    loaders: dict[str, Any]
    feature_extractor: QuaclrsFeatureExtractor
    offsets: np.ndarray | None
    refit_seconds: float


def fit(session: Session, config: SupervisedConfig, hold_out: bool = True) -> Fitted:
    """Train all epochs. The weights are those of the epoch that `--keep-epoch` asks for, or of a second training.

    Args:
        session: of the run, just begun.
        config: of the run.
        hold_out: whether validation and test clips are kept from training; otherwise every clip trains, and the last
            epoch's weights are taken.
    """
    accelerator = session.accelerator
    # Data and model.
    log_mels = build_log_mel_configs(config)
    log_mel = log_mels[0]
    feature_extractor = QuaclrsFeatureExtractor(log_mel=log_mel.to_dict())
    augmentation = build_augmentation(config, log_mel)
    session.claim(None if augmentation is None else augmentation.policy.to_dict())
    with accelerator.main_process_first():  # the others find what it decoded and cached
        views = [] if augmentation is None else [augmentation]
        splits = load_splits(config, feature_extractor, views, keep_back=hold_out, background=config.background_folder)
    heard = heard_after(config, splits, hold_out, config.refit)
    model = build_model(config, splits.class_names, log_mels)
    model.config.training_data = heard
    accelerator.print(splits.description if hold_out else f"all {len(splits.train)} clips train")
    session.open()
    if config.is_on_embeddings:
        trainable = probe_on_embeddings(config, model, splits, hold_out, accelerator)
    else:
        trainable = classifier_on_clips(config, model, splits, hold_out, augmentation)

    def begin_learning(trainable: Trainable) -> Learner:
        classes, transform = len(splits.class_names), splits.train.transform
        return Learner.of(config, accelerator, trainable, classes, transform, augmentation)

    learner = begin_learning(trainable)
    tested = learner.tested
    keeps_best = hold_out and config.keep_epoch == "best"
    best = tested if keeps_best else None
    state = TrainingState(accelerator, learner.modules, {"optimizer": learner.optimizer}, learner.schedule, best)

    # Epochs.
    session.resume(state)
    with session.termination:
        for epoch in session.epochs():
            if hold_out and is_patience_over(config.patience, session.history):
                accelerator.print(f"no better validation accuracy for {config.patience} epochs: stopping early")
                break
            progress = session.train(epoch, learner.step, learner.clips)
            means = progress.means()
            loss = means["loss"] / means["loss_weight"]
            row = {"epoch": epoch, "train_loss": loss, "train_accuracy": means["correct"]}
            row |= {"learning_rate": learner.schedule.learning_rate, **progress.speed()}
            if hold_out and (epoch % config.validate_every == 0 or epoch == config.epochs):
                broadcast_buffers(accelerator, tested)
                row |= validate(accelerator, tested, learner.loaders["validation"], learner.class_weights)
                learner.schedule.after_epoch(row["validation_accuracy"])
            session.record(row)
            accelerator.print(describe_epoch(session.history[-1]))
            if keeps_best and best_epoch(session.history) in (0, epoch):  # 0 before the first look
                state.keep_best()
            session.save()
    if keeps_best:
        state.restore_best()
    offsets, seconds = None, 0.0
    if hold_out and config.class_offsets:
        recordings, loader = trainable.held_out["validation"].recordings, learner.loaders["validation"]
        offsets = find_offsets(accelerator, tested, recordings, loader, len(splits.known_names))
    if hold_out and config.refit:
        assert trainable.with_validation is not None
        trainable = trainable.with_validation()
        accelerator.print(f"once more from the start, with the {len(splits.validation)} validation clips too")
        accelerator.free_memory()  # the first optimiser is not to be asked whether it skipped a step
        learner = begin_learning(trainable)
        seconds = learner.learn()
    if offsets is not None:
        add_offsets(learner.tested, offsets)
    return Fitted(trainable, learner.tested, splits, learner.loaders, feature_extractor, offsets, seconds)


@report_user_errors
def main(arguments: list[str] | None = None) -> int:
    config, dry = parse_run(SupervisedConfig, arguments)
    if dry:
        if PartialState().is_main_process:
            print(dry_run(config))
        return 0
    metrics = train(config)
    if PartialState().is_main_process:
        print_result(config, metrics)
    PartialState().destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main())
