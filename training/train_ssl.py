"""Self-supervised training on one fold: `accelerate launch -m training.train_ssl --method M --dataset DIR ...`.

The loop has the shape of `train_supervised`: data, network, optimisers, epochs with validation, then the test fold once
(paper, sections 4.3, 4.4 and 5.2).
"""

from __future__ import annotations

import copy
import math
import sys
import time
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import send_to_device

from quaclrs.errors import QuaclrsError, report_user_errors
from quaclrs.models import LogMelSpectrogram, QuaclrsFeatureExtractor
from quaclrs.ssl import UNLABELLED, LogMelEncoder, describe_collapse

from .clips.sampling import EpochSampler
from .clips.splits import load_splits
from .runs.checkpoints import Termination, broadcast_buffers
from .runs.optimization import Schedule, optimizer_of
from .runs.options import parse_config
from .runs.session import Epochs, build_accelerator, open_run, refuse_other_run, resume_run
from .runs.trackers import finish_trackers
from .ssl.config import SSLConfig
from .ssl.evaluation import HeldOutEvaluation, StoredLogMels
from .ssl.model import build_encoder, build_network, build_views
from .ssl.results import describe_result, print_ssl_result, test_encoders, write_ssl_results
from .ssl.step import SSLLearner
from .supervised.model import build_log_mel_config


def train_ssl(config: SSLConfig) -> dict[str, Any]:
    """Pre-train, watch the validation fold, test the last encoder once, and write the run folder.

    Returns:
        The contents of `metrics.json`: figures of the test fold, all fractions in [0, 1].

    Raises:
        QuaclrsError: wrong options, data set or weights (nothing is written before all of them are known to be right);
            or training diverged.
        SystemExit: SIGTERM came; a checkpoint was written first.
    """
    started = time.perf_counter()
    accelerator, run = build_accelerator(config)

    # Data and network.
    log_mel = build_log_mel_config(config)
    feature_extractor = QuaclrsFeatureExtractor(log_mel=log_mel.to_dict())
    views = build_views(config, log_mel)
    policies = {"views": [view.policy.to_dict() for view in views.of_policies]}
    refuse_other_run(accelerator, run, config, policies)
    with accelerator.main_process_first():  # the others find what it decoded and cached
        splits = load_splits(config, feature_extractor, views.of_policies, unlabelled=UNLABELLED)
    if len(splits.train) < config.batch_size * accelerator.num_processes:
        raise QuaclrsError(f"--batch-size is {config.batch_size}, but there are {len(splits.train)} clips; lower it")
    encoder = build_encoder(config, log_mel)
    before = LogMelEncoder(copy.deepcopy(encoder))
    share_statistics = accelerator.num_processes > 1 and accelerator.device.type == "cuda"
    network: Any = build_network(config, encoder, len(splits.class_names), share_statistics)
    if config.augment_on == "device":
        views.to(accelerator.device)
    sampler = EpochSampler(splits.train.labels, config.seed)
    fixed = send_to_device(next(iter(splits.train.loader(config.batch_size, sampler=sampler))), accelerator.device)
    fixed_views = views(fixed, config.seed, epoch=0)
    if torch.equal(fixed_views[0], fixed_views[1]):
        raise QuaclrsError(f"--augment {config.augment} gives two equal views; choose a policy that draws")
    accelerator.print(splits.description)
    open_run(accelerator, run, config, policies)

    # Optimisers and schedule.
    train_loader: Any = splits.train.loader(config.batch_size, config.num_workers, sampler)
    assert config.weight_decay is not None
    optimizer = optimizer_of(config, network.method.parameter_groups(config.weight_decay))
    probe_optimizer = torch.optim.AdamW(network.probe.parameters(), lr=config.probe_learning_rate)
    network, optimizer, probe_optimizer, train_loader = accelerator.prepare(
        network, optimizer, probe_optimizer, train_loader
    )
    schedule = Schedule(config, optimizer, batches=len(train_loader))  # of batches shared out among processes
    accelerator.register_for_checkpointing(schedule)
    learner = SSLLearner(config, accelerator, network, optimizer, probe_optimizer, schedule, views)
    front_end = LogMelSpectrogram(log_mel)
    evaluate = HeldOutEvaluation(accelerator, splits, front_end, config.neighbours, config.num_workers)

    # Epochs; row 0 is the encoder before training.
    history, unfinished = resume_run(accelerator, run, config)
    epochs = Epochs(accelerator, run, config, learner, train_loader, sampler, splits.train.transform, unfinished)
    if not history:
        loss = learner.loss_of(fixed_views, fixed["labels"])
        row = {"epoch": 0, "train_loss": loss, **evaluate(learner.unwrapped, fixed_views[:2])}
        history.append({**row, "seconds": time.perf_counter() - started})
        accelerator.print(f"epoch 0: {describe_row(row)}")
    with Termination() as termination:
        for epoch in range(len(history), config.epochs + 1):
            epoch_started = time.perf_counter()
            progress = epochs.train(epoch, history, termination)
            means = progress.means()
            train_seconds = time.perf_counter() - epoch_started
            broadcast_buffers(accelerator, learner.unwrapped)
            labelled = means.pop("labelled")
            row = {
                "epoch": epoch,
                "train_loss": means.pop("loss"),
                "train_accuracy": means.pop("correct") / labelled if labelled else None,
                **evaluate(learner.unwrapped, fixed_views[:2]),
                **means,
                "learning_rate": schedule.learning_rate,
                "train_seconds": train_seconds,
                "clips_per_second": progress.clips_per_second,
                "data_wait": progress.waiting_share,
            }
            method = learner.unwrapped.method
            row["warning"] = describe_collapse(row, history[0], method.explain_collapse(means), method.collapse_cause)
            if not math.isfinite(row["embedding_std"]):
                raise QuaclrsError(f"epoch {epoch} {row['warning']}")
            row["seconds"] = time.perf_counter() - epoch_started
            history.append(row)
            accelerator.print(f"epoch {epoch}: {describe_row(row)}; {row['seconds']:.0f} s")
            if row["warning"] and row["warning"] != history[-2].get("warning"):
                accelerator.print(f"warning: {row['warning']}")
            epochs.finish(epoch, history, termination)

    # The test fold is looked at once, with the last encoder, and with the one that training began with.
    test = StoredLogMels(accelerator, splits.test, front_end, config.num_workers)
    trained, untrained = (
        {"train": evaluate.train.embed(e), "test": test.embed(e)}
        for e in (learner.unwrapped.method.encoder, before.to(accelerator.device))
    )
    metrics: dict[str, Any] = {}
    if accelerator.is_main_process:
        probabilities = test_encoders(splits, trained, untrained, config.neighbours)
        metrics = describe_result(config, splits, probabilities, history, accelerator)
        metrics["seconds"] = time.perf_counter() - started
        write_ssl_results(
            run, config, splits, history, metrics, probabilities, trained["test"], encoder.cpu(), feature_extractor
        )
    finish_trackers(accelerator)
    accelerator.wait_for_everyone()
    return metrics


def describe_row(row: dict[str, Any]) -> str:
    """What one looks at after an epoch."""
    return (
        f"loss {row['train_loss']:.3f}; validation k-NN {row['knn_accuracy']:.3f}, probe {row['probe_accuracy']:.3f}; "
        f"embedding std {row['embedding_std']:.2f}, rank {row['effective_rank']:.0f}"
    )


@report_user_errors
def main(arguments: list[str] | None = None) -> int:
    config = parse_config(SSLConfig, arguments)
    metrics = train_ssl(config)
    if PartialState().is_main_process:
        print_ssl_result(config, metrics)
    PartialState().destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main())
