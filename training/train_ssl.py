"""Self-supervised training on one fold: `accelerate launch -m training.train_ssl --method M --dataset DIR ...`.

`fit` has the shape of `train_supervised`'s: data, network, optimisers, epochs with validation; `train_ssl` then tests
once (paper, sections 4.3, 4.4 and 5.2).
"""

from __future__ import annotations

import copy
import math
import sys
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import send_to_device

from quaclrs.errors import QuaclrsError, report_user_errors
from quaclrs.evaluation.run_metrics import RunMetrics
from quaclrs.files import name_unwritable
from quaclrs.models import LogMelSpectrogram, QuaclrsFeatureExtractor, QuaclrsModel
from quaclrs.ssl import UNLABELLED, LogMelEncoder

from .clips.augmentation import build_log_mel_config
from .clips.splits import Splits, load_splits
from .runs.checkpoints import broadcast_buffers
from .runs.compilation import compile_backbones
from .runs.heard import heard_after
from .runs.optimization import Schedule, optimizer_of
from .runs.options import parse_run
from .runs.sampling import EpochSampler
from .runs.session import Session, TrainingClips
from .runs.state import TrainingState
from .ssl.config import SSLConfig
from .ssl.dry_run import dry_run
from .ssl.evaluation import HeldOutEvaluation, describe_epoch, name_means, probe_encoders
from .ssl.model import build_encoder, build_network, build_views
from .ssl.results import measure, print_result, write_results
from .ssl.step import SSLStep


def train_ssl(config: SSLConfig) -> RunMetrics:
    """Pre-train, watch the validation fold, test the last encoder once, and write the run folder.

    Raises:
        QuaclrsError: wrong options, data set or weights (nothing is written before all of them are known to be right);
            or training diverged.
        SystemExit: SIGTERM or Ctrl-C came; a checkpoint was written first.
    """
    with Session.begin(config) as session:
        fitted = fit(session, config)
        # The test fold is looked at once, with the last encoder, and with the one that training began with.
        splits, evaluate = fitted.splits, fitted.evaluate
        test = evaluate.store(splits.test)
        trained, before = (
            {"train": evaluate.train.embed(encoder), "test": test.embed(encoder)}
            for encoder in (LogMelEncoder(fitted.encoder), LogMelEncoder(fitted.before.to(session.accelerator.device)))
        )
        probabilities = probe_encoders(splits, trained, before, config.neighbours)
        metrics = measure(config, session, splits, probabilities)
        if session.accelerator.is_main_process:
            encoder, extractor = fitted.encoder.cpu(), fitted.feature_extractor
            with name_unwritable(session.folder.path):
                write_results(session, config, splits, metrics, probabilities, trained["test"], encoder, extractor)
        session.close()
        return metrics


@dataclass
class Fitted:
    """A pre-training that is done.

    Attributes:
        encoder, before: after the last epoch, and as training began with it.
        evaluate: holds the log-mels of the training clips.
    """

    encoder: QuaclrsModel
    before: QuaclrsModel
    splits: Splits
    evaluate: HeldOutEvaluation
    feature_extractor: QuaclrsFeatureExtractor


def fit(session: Session, config: SSLConfig) -> Fitted:
    """Pre-train all epochs. Row 0 of the history is the encoder before training."""
    accelerator = session.accelerator
    # Data and network.
    log_mel = build_log_mel_config(config)
    feature_extractor = QuaclrsFeatureExtractor(log_mel=log_mel.to_dict())
    views = build_views(config, log_mel)
    session.claim({"views": [view.policy.to_dict() for view in views.of_policies]})
    with accelerator.main_process_first():  # the others find what it decoded and cached
        splits = load_splits(config, feature_extractor, views.of_policies, unlabelled=UNLABELLED)
    if len(splits.train) < config.batch_size * accelerator.num_processes:
        raise QuaclrsError(f"--batch-size is {config.batch_size}, but there are {len(splits.train)} clips; lower it")
    heard = heard_after(config, splits)
    encoder = build_encoder(config, log_mel)
    encoder.config.training_data = heard
    before = copy.deepcopy(encoder)
    share_statistics = accelerator.num_processes > 1 and accelerator.device.type == "cuda"
    network: Any = build_network(config, encoder, len(splits.class_names), share_statistics)
    if config.augment_on == "device":
        views.to(accelerator.device)
    sampler = EpochSampler(splits.train.labels, config.seed)
    fixed = send_to_device(next(iter(splits.train.loader(config.batch_size, sampler=sampler))), accelerator.device)
    fixed_views = views(fixed, config.seed, epoch=0)  # the same after every epoch, to compare
    if torch.equal(fixed_views[0], fixed_views[1]):
        raise QuaclrsError(f"--augment {config.augment} gives two equal views; choose a policy that draws")
    accelerator.print(splits.description)
    session.open()

    # Optimisers and schedule.
    compile_backbones(network, config.compile)
    loader: Any = splits.train.loader(config.batch_size, config.num_workers, sampler)
    optimizer: Any = optimizer_of(config, network.method.parameter_groups(config.weight_decay))
    probe_optimizer: Any = torch.optim.AdamW(network.probe.parameters(), lr=config.probe_learning_rate)
    network, optimizer, probe_optimizer, loader = accelerator.prepare(network, optimizer, probe_optimizer, loader)
    schedule = Schedule(config, optimizer, batches=len(loader))  # of batches shared out among processes
    batches, labelled = len(loader), splits.train.labelled
    optimizers = (optimizer, probe_optimizer)
    step = SSLStep(config, accelerator, network, *optimizers, schedule, views, batches, sampler, labelled)
    clips = TrainingClips(loader, sampler, splits.train.transform)
    of_networks = {"optimizer": optimizer, "probe_optimizer": probe_optimizer}
    state = TrainingState(accelerator, {"model": step.unwrapped}, of_networks, schedule)
    evaluate = HeldOutEvaluation(accelerator, splits, LogMelSpectrogram(log_mel), config.neighbours, config.num_workers)

    # Epochs.
    session.resume(state)
    if not session.history:
        loss = step.loss_of(fixed_views, fixed["labels"])
        session.record({"epoch": 0, "train_loss": loss, **evaluate(step.unwrapped, fixed_views[:2])})
        accelerator.print(describe_epoch(session.history[0]))
    with session.termination:
        for epoch in session.epochs():
            progress = session.train(epoch, step, clips)
            row: dict[str, Any] = {"epoch": epoch, **name_means(progress.means())}
            row |= {"learning_rate": schedule.learning_rate, **progress.speed()}
            broadcast_buffers(accelerator, step.unwrapped)
            row |= evaluate(step.unwrapped, fixed_views[:2])
            row["warning"] = step.explain_collapse(row, before=session.history[0])
            if not math.isfinite(row["embedding_std"]):
                raise QuaclrsError(f"epoch {epoch} {row['warning']}")
            session.record(row)
            accelerator.print(describe_epoch(session.history[-1]))
            if row["warning"] and row["warning"] != session.history[-2].get("warning"):
                accelerator.print(f"warning: {row['warning']}")
            session.save()
    return Fitted(encoder, before, splits, evaluate, feature_extractor)


@report_user_errors
def main(arguments: list[str] | None = None) -> int:
    config, dry = parse_run(SSLConfig, arguments)
    if dry:
        if PartialState().is_main_process:
            print(dry_run(config))
        return 0
    metrics = train_ssl(config)
    if PartialState().is_main_process:
        print_result(config, metrics)
    PartialState().destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main())
