"""Supervised training on one fold: `accelerate launch -m training.train_supervised --dataset DIR --test-fold K ...`.

The loop below reads from top to bottom: data, model, optimiser, epochs with validation, then the test fold once
(paper, section 4.6).
"""

from __future__ import annotations

import sys
import time
from typing import Any

from accelerate import Accelerator, PartialState
from safetensors.torch import load_model, save_model
from torch import nn
from torch.nn.functional import cross_entropy

from quaclrs.errors import report_user_errors
from quaclrs.models import QuaclrsFeatureExtractor, QuaclrsForAudioClassification

from .clips.embeddings import EmbeddingClassifier, assemble, embed_split
from .clips.sampling import EpochSampler
from .clips.splits import Split, Splits, load_splits
from .clips.stored import log_mels_of, store
from .runs.checkpoints import Termination, broadcast_buffers
from .runs.optimization import Schedule, average_of, build_optimizer
from .runs.options import parse_config
from .runs.session import Epochs, build_accelerator, open_run, refuse_other_run, resume_run
from .runs.trackers import finish_trackers
from .supervised.config import SupervisedConfig
from .supervised.losses import class_weights
from .supervised.model import build_augmentation, build_log_mel_config, build_model
from .supervised.results import (
    CUT_CONTROL,
    SHORTCUT_CONTROL,
    best_epoch,
    control_figures,
    describe_run,
    figures,
    predict,
    print_result,
    probabilities_of,
    shortcut_control,
    write_results,
)
from .supervised.step import Learner


def train(config: SupervisedConfig) -> dict[str, Any]:
    """Train, keep the epoch that is best on the validation fold, test it once, and write the run folder.

    Returns:
        The contents of `metrics.json`: figures of the test fold, all fractions in [0, 1].

    Raises:
        QuaclrsError: wrong options, data set or weights. Nothing is written before all of them are known to be right.
        SystemExit: SIGTERM came; a checkpoint was written first.
    """
    started = time.perf_counter()
    accelerator, run = build_accelerator(config)

    # Data and model.
    log_mel = build_log_mel_config(config)
    feature_extractor = QuaclrsFeatureExtractor(log_mel=log_mel.to_dict())
    augmentation = build_augmentation(config, log_mel)
    policy = None if augmentation is None else augmentation.policy.to_dict()
    refuse_other_run(accelerator, run, config, policy)
    with accelerator.main_process_first():  # the others find what it decoded and cached
        splits = load_splits(config, feature_extractor, [] if augmentation is None else [augmentation])
    model = build_model(config, splits.class_names, log_mel)
    if augmentation is not None and config.augment_on == "device":
        augmentation.to(accelerator.device)
    accelerator.print(splits.description)
    open_run(accelerator, run, config, policy)
    # `network` is what is trained: the model, or for a linear probe a classifier on embeddings made once.
    test_cut = splits.test.cut_at_random(config.seed)
    network: nn.Module = model
    if config.mode == "linear_probe" and augmentation is None:
        network = embed_splits(accelerator, config, model, splits, test_cut)
    else:
        log_mels = log_mels_of(splits.validation, model.quaclrs.log_mel, config.num_workers)
        store(splits.validation, "input_features", log_mels)

    # Loss, optimiser and schedule.
    sampler = EpochSampler(splits.train.labels, config.seed, config.balanced_sampler)
    workers = 0 if isinstance(network, EmbeddingClassifier) else config.num_workers
    train_loader: Any = splits.train.loader(config.batch_size, workers, sampler)
    held_out = [splits.validation.loader(config.batch_size)]
    held_out += [split.loader(config.batch_size, workers) for split in (splits.test, test_cut)]
    assert config.class_weights is not None
    weights = class_weights(splits.train.labels, len(splits.class_names), config.class_weights).to(accelerator.device)
    optimizer = build_optimizer(config, network)
    averaged = average_of(network.to(accelerator.device), config.ema_decay) if config.ema_decay else None
    network, optimizer, train_loader, *held_out = accelerator.prepare(network, optimizer, train_loader, *held_out)
    validation_loader, test_loader, cut_loader = held_out
    schedule = Schedule(config, optimizer, batches=len(train_loader))  # of batches shared out among processes
    accelerator.register_for_checkpointing(schedule, *([averaged] if averaged is not None else []))
    tested = averaged.module if averaged is not None else accelerator.unwrap_model(network)
    on_device = augmentation if config.augment_on == "device" else None
    learner = Learner(config, accelerator, network, optimizer, schedule, weights, on_device, averaged)

    history, unfinished = resume_run(accelerator, run, config)
    # Epochs.
    epochs = Epochs(accelerator, run, config, learner, train_loader, sampler, splits.train.transform, unfinished)
    best_weights = run.checkpoints / "best.safetensors"
    with Termination() as termination:
        for epoch in range(len(history) + 1, config.epochs + 1):
            if config.patience and history and len(history) - best_epoch(history) >= config.patience:
                accelerator.print(f"no better validation accuracy for {config.patience} epochs: stopping early")
                break
            epoch_started = time.perf_counter()
            progress = epochs.train(epoch, history, termination)
            means = progress.means()
            train_loss, train_accuracy = means["loss"], means["correct"]
            train_seconds = time.perf_counter() - epoch_started
            broadcast_buffers(accelerator, tested)
            labels, validation_logits = predict(accelerator, tested, validation_loader)
            validation_accuracy = (validation_logits.argmax(-1) == labels).float().mean().item()
            row = {
                "epoch": epoch,
                "train_loss": train_loss,
                "train_accuracy": train_accuracy,
                "validation_loss": cross_entropy(validation_logits, labels, weights.cpu()).item(),
                "validation_accuracy": validation_accuracy,
                "learning_rate": schedule.learning_rate,
                "seconds": time.perf_counter() - epoch_started,
                "train_seconds": train_seconds,
                "clips_per_second": progress.clips_per_second,
                "data_wait": progress.waiting_share,
            }
            schedule.after_epoch(validation_accuracy)
            history.append(row)
            accelerator.print(
                f"epoch {epoch}: loss {train_loss:.3f}, accuracy {train_accuracy:.3f}; "
                f"validation loss {row['validation_loss']:.3f}, accuracy {validation_accuracy:.3f}; "
                f"{row['seconds']:.0f} s, {row['clips_per_second']:.0f} clips/s, {row['data_wait']:.0%} data wait"
            )
            if accelerator.is_main_process and best_epoch(history) == epoch:
                partial = best_weights.with_suffix(".partial")
                save_model(tested, str(partial))
                partial.replace(best_weights)
            epochs.finish(epoch, history, termination)

    # The test fold is looked at once, with the epoch that validation chose.
    load_model(tested, str(best_weights))
    probabilities = probabilities_of(accelerator, tested, splits.test, test_loader)
    cut_probabilities = probabilities_of(accelerator, tested, test_cut, cut_loader)
    trained = [parameter.numel() for parameter in network.parameters() if parameter.requires_grad]
    finished = assemble(model, tested)
    metrics = {
        **figures(splits.test, probabilities, splits.class_names),
        **describe_run(config, splits, history, accelerator),
        "parameters": sum(parameter.numel() for parameter in finished.parameters()),
        "trained_parameters": sum(trained),
        "controls": {
            SHORTCUT_CONTROL: shortcut_control(splits, config.seed),
            CUT_CONTROL: control_figures(test_cut, cut_probabilities, splits.class_names),
        },
        "seconds": time.perf_counter() - started,
    }
    if accelerator.is_main_process:
        write_results(run, config, splits, history, metrics, probabilities, finished, feature_extractor)
    finish_trackers(accelerator)
    accelerator.wait_for_everyone()
    return metrics


def embed_splits(
    accelerator: Accelerator,
    config: SupervisedConfig,
    model: QuaclrsForAudioClassification,
    splits: Splits,
    test_cut: Split,
) -> EmbeddingClassifier:
    """Make every split one of embeddings by the frozen encoder, and the classifier for them."""
    encoder = model.quaclrs.to(accelerator.device)
    for split, cut in ((splits.train, False), (splits.validation, False), (splits.test, False), (test_cut, True)):
        embed_split(accelerator, encoder, splits, split, config, cut)
    return EmbeddingClassifier(model.classifier, splits.train.dataset.values)


@report_user_errors
def main(arguments: list[str] | None = None) -> int:
    config = parse_config(SupervisedConfig, arguments)
    metrics = train(config)
    if PartialState().is_main_process:
        print_result(config, metrics)
    PartialState().destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main())
