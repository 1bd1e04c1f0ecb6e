"""Supervised training on one fold: `accelerate launch -m training.train_supervised --dataset DIR --test-fold K ...`.

The loop below reads from top to bottom: data, model, optimiser, epochs with validation, then the test fold once.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import torch
from accelerate import Accelerator, DataLoaderConfiguration, PartialState
from accelerate.utils import set_seed
from safetensors.torch import load_model, save_model
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers import get_scheduler

from quaclrs.augment import AugmentedLogMel, load_policies, with_background
from quaclrs.errors import QuaclrsError, report_user_errors
from quaclrs.evaluation.metrics import classification_metrics
from quaclrs.evaluation.plots import confusion_matrix_figure, save_figure, training_curves_figure
from quaclrs.folds import PAPER_PROTOCOL_WARNING
from quaclrs.models import (
    BackboneError,
    LogMelConfig,
    LogMelSpectrogram,
    QuaclrsConfig,
    QuaclrsFeatureExtractor,
    QuaclrsForAudioClassification,
)

from .checkpoints import load_last_checkpoint, save_checkpoint
from .config import SupervisedConfig, parse_config
from .losses import classification_loss
from .model_card import write_model_card
from .run_folder import RunFolder, describe_environment
from .splits import Splits, inverse_frequency_weights, load_splits


def train(config: SupervisedConfig) -> dict[str, Any]:
    """Train, keep the epoch that is best on the validation fold, test it once, and write the run folder.

    Returns:
        The contents of `metrics.json`: figures of the test fold, all fractions in [0, 1].

    Raises:
        QuaclrsError: wrong options, data set or weights. Nothing is written before all of them are known to be right.
    """
    assert config.image_size is not None and config.learning_rate is not None  # settled by the config itself
    started = time.perf_counter()
    accelerator = Accelerator(
        dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True, data_seed=config.seed)
    )
    set_seed(config.seed)
    run, resume = RunFolder(config.output_dir), config.resume == "auto"
    run.refuse_existing(resume, config.overwrite)

    # Data and model.
    log_mel = LogMelConfig(image_size=config.image_size, pad_mode=config.pad_mode)
    feature_extractor = QuaclrsFeatureExtractor(log_mel=log_mel.to_dict())
    augmentation = build_augmentation(config, log_mel)
    policy = None if augmentation is None else augmentation.policy.to_dict()
    if resume:
        run.refuse_other_policy(policy)
    with accelerator.main_process_first():  # the others find what it decoded and cached
        splits = load_splits(config, feature_extractor, augmentation)
    model = build_model(config, splits.class_names, log_mel)
    if augmentation is not None and config.augment_on == "device":
        augmentation.to(accelerator.device)
    accelerator.print(splits.description)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        environment = describe_environment(
            accelerator.num_processes, accelerator.mixed_precision, accelerator.device.type
        )
        run.open(config, environment, resume)
        if policy is not None:
            run.write_yaml("policy.yaml", policy)
    accelerator.wait_for_everyone()

    # Loss and optimiser. Rare classes weigh more (paper, section 4.6).
    train_loader = splits.train.loader(config.batch_size, config.num_workers, shuffle=True)
    validation_loader = splits.validation.loader(config.batch_size, config.num_workers)
    test_loader = splits.test.loader(config.batch_size, config.num_workers)
    weights = inverse_frequency_weights(splits.train.labels, len(splits.class_names)).to(accelerator.device)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=config.learning_rate, weight_decay=config.weight_decay)
    model, optimizer, train_loader, validation_loader, test_loader = accelerator.prepare(
        model, optimizer, train_loader, validation_loader, test_loader
    )
    # The schedule counts optimiser steps of the whole group, so it is made after the loader was shared out.
    scheduler = get_scheduler(
        config.lr_scheduler,
        optimizer,
        num_warmup_steps=round(config.warmup_epochs * len(train_loader)),
        num_training_steps=config.epochs * len(train_loader),
    )
    accelerator.register_for_checkpointing(scheduler)
    history: list[dict[str, Any]] = []
    if resume and (state := load_last_checkpoint(accelerator, run.checkpoints)):
        history = state["history"]
        accelerator.print(f"resuming after epoch {len(history)}")

    # Epochs.
    best_weights = run.checkpoints / "best.safetensors"
    for epoch in range(len(history) + 1, config.epochs + 1):
        epoch_started = time.perf_counter()
        train_loader.set_epoch(epoch)
        splits.train.transform.set_epoch(epoch)
        model.train()
        if config.mode == "linear_probe":
            accelerator.unwrap_model(model).quaclrs.eval()  # a frozen encoder's BatchNorm must not drift with the clips
        loss_sum = torch.zeros((), device=accelerator.device)
        correct = torch.zeros((), device=accelerator.device)
        seen = 0
        progress = tqdm(
            train_loader, desc=f"epoch {epoch}/{config.epochs}", unit="step", disable=not accelerator.is_main_process
        )
        for batch in progress:
            if augmentation is not None and config.augment_on == "device":
                batch = augmentation.augment_batch(batch, config.seed, epoch)
            with accelerator.autocast():
                logits = model(batch.get("input_values"), batch.get("input_features")).logits
            loss = classification_loss(logits.float(), batch, weights)
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
            scheduler.step()
            # Sums stay on the device: reading them here would make it wait at every step.
            loss_sum += loss.detach() * len(logits)
            correct += (logits.detach().argmax(-1) == batch["labels"]).sum()
            seen += len(logits)
        totals = accelerator.reduce(torch.stack([loss_sum, correct]), reduction="sum") / (
            seen * accelerator.num_processes
        )
        labels, validation_logits = predict(accelerator, model, validation_loader)
        row = {
            "epoch": epoch,
            "train_loss": totals[0].item(),
            "train_accuracy": totals[1].item(),
            "validation_loss": cross_entropy(validation_logits, labels, weights.cpu()).item(),
            "validation_accuracy": (validation_logits.argmax(-1) == labels).float().mean().item(),
            "learning_rate": scheduler.get_last_lr()[0],
            "seconds": time.perf_counter() - epoch_started,
        }
        history.append(row)
        accelerator.print(
            f"epoch {epoch}: loss {row['train_loss']:.3f}, accuracy {row['train_accuracy']:.3f}; "
            f"validation loss {row['validation_loss']:.3f}, accuracy {row['validation_accuracy']:.3f}; "
            f"{row['seconds']:.0f} s"
        )
        if accelerator.is_main_process:
            run.write_history(history)
            if best_epoch(history) == epoch:
                partial = best_weights.with_suffix(".partial")
                save_model(accelerator.unwrap_model(model), str(partial))
                partial.replace(best_weights)
        save_checkpoint(accelerator, run.checkpoints, epoch, {"history": history})

    # The test fold is looked at once, with the epoch that validation chose.
    load_model(accelerator.unwrap_model(model), str(best_weights))
    labels, logits = predict(accelerator, model, test_loader)
    if not torch.equal(labels, torch.as_tensor(splits.test.labels)):
        raise RuntimeError("test clips came back in another order than they were read in")
    probabilities = logits.double().softmax(-1).numpy()
    metrics = {
        **classification_metrics(splits.test.labels, probabilities, splits.class_names, splits.test.sources),
        **describe_run(config, splits, history),
        "num_processes": accelerator.num_processes,
        "seconds": time.perf_counter() - started,
    }
    if accelerator.is_main_process:
        names = splits.class_names
        run.write_predictions(
            splits.test.clip_ids, splits.test.folds, [names[i] for i in splits.test.labels], probabilities, names
        )
        title = f"{config.backbone}, {config.mode}, test fold {config.test_fold} ({config.protocol})"
        save_figure(
            confusion_matrix_figure(metrics["confusion_matrix"], names, title), run.plots / "confusion_matrix.png"
        )
        save_figure(training_curves_figure(history, title), run.plots / "training_curves.png")
        accelerator.unwrap_model(model).save_pretrained(run.model)
        feature_extractor.save_pretrained(run.model)
        write_model_card(run.model, config, metrics)
        run.write_json("metrics.json", metrics)
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return metrics


def build_augmentation(config: SupervisedConfig, log_mel: LogMelConfig) -> AugmentedLogMel | None:
    """The policy of `--augment`; None where nothing is augmented."""
    if config.augment_on == "none":
        return None
    policy, second = load_policies(config.augment, views=2)
    if second != policy:
        raise QuaclrsError(f"--augment {config.augment} holds views that differ, for self-supervision; choose another")
    if config.background_noise is not None and "background_noise" not in policy.augmentations:
        raise QuaclrsError(f"--background-noise has no use with --augment {config.augment}; choose street or your own")
    policy = with_background(policy, config.background_noise)
    if policy.is_identity:
        return None
    return AugmentedLogMel(policy, LogMelSpectrogram(log_mel))


def build_model(config: SupervisedConfig, names: list[str], log_mel: LogMelConfig) -> QuaclrsForAudioClassification:
    """The classifier with the weights and the frozen parts that `mode` asks for."""
    try:
        model = QuaclrsForAudioClassification(
            QuaclrsConfig(
                backbone=config.backbone,
                log_mel=log_mel.to_dict(),
                id2label=dict(enumerate(names)),
                label2id={name: i for i, name in enumerate(names)},
            )
        )
        if config.mode != "scratch":
            model.quaclrs.backbone.load_weights(config.pretrained_file)
    except BackboneError as error:
        raise QuaclrsError(f"{error} (--pretrained-file, --mode scratch)") from error
    if config.mode == "linear_probe":
        model.quaclrs.requires_grad_(False)
    return model


@torch.no_grad()
def predict(accelerator: Accelerator, model: torch.nn.Module, loader: DataLoader) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels (clips,) and float32 logits (clips, classes) of every clip in the loader's order, gathered on the CPU."""
    model.eval()
    labels, logits = [], []
    for batch in loader:
        with accelerator.autocast():
            output = model(input_values=batch["input_values"]).logits
        # `gather_for_metrics` drops the clips that fill up the last batch when processes share it unevenly.
        batch_labels, batch_logits = accelerator.gather_for_metrics((batch["labels"], output.float()))
        labels.append(batch_labels.cpu())
        logits.append(batch_logits.cpu())
    return torch.cat(labels), torch.cat(logits)


def best_epoch(history: list[dict[str, Any]]) -> int:
    """The epoch of the highest validation accuracy; of several, the one of the lowest validation loss."""
    return max(history, key=lambda row: (row["validation_accuracy"], -row["validation_loss"]))["epoch"]


def describe_run(config: SupervisedConfig, splits: Splits, history: list[dict[str, Any]]) -> dict[str, Any]:
    """What a figure must not be read without: protocol, folds, sizes, model, and what makes it optimistic."""
    best = best_epoch(history)
    warnings = [PAPER_PROTOCOL_WARNING] if config.protocol == "paper" else []
    if splits.synthetic:
        warnings.append("the clips are synthetic: these figures prove plumbing, not accuracy")
    return {
        "protocol": config.protocol,
        "test_fold": splits.plan.test_fold,
        "validation_fold": splits.plan.validation_fold,
        "complete_folds": list(splits.plan.complete_folds),
        "clips_train": len(splits.train),
        "clips_validation": len(splits.validation),
        "synthetic": splits.synthetic,
        "warnings": warnings,
        "backbone": config.backbone,
        "mode": config.mode,
        "image_size": config.image_size,
        "pad_mode": config.pad_mode,
        "augment": "none" if config.augment_on == "none" else config.augment,
        "epochs": config.epochs,
        "best_epoch": best,
        "validation_accuracy": history[best - 1]["validation_accuracy"],
        "seed": config.seed,
    }


@report_user_errors
def main(arguments: list[str] | None = None) -> int:
    config = parse_config(SupervisedConfig, arguments)
    metrics = train(config)
    if PartialState().is_main_process:
        print_result(config, metrics)
    return 0


def print_result(config: SupervisedConfig, metrics: dict[str, Any]) -> None:
    """The figures of the test fold, and where the run lies."""

    def share(value: float | None) -> str:
        return "none" if value is None else f"{value:.1%}"

    print(
        f"test fold {metrics['test_fold']} ({metrics['protocol']}, {metrics['clips']} clips): "
        f"accuracy {share(metrics['accuracy'])}, macro F1 {share(metrics['macro_f1'])}; "
        f"UrbanSound8K's classes {share(metrics['accuracy_urbansound8k'])}, "
        f"new classes {share(metrics['accuracy_sirennet'])}"
    )
    for warning in metrics["warnings"]:
        print(f"warning: {warning}")
    print(f"run: {config.output_dir}, model: {RunFolder(config.output_dir).model}")


if __name__ == "__main__":
    sys.exit(main())
