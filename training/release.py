"""Train a recipe on every clip, and make of it the model that comes with the package.

`python -m training.release --config training/configs/default_model.yaml --dataset DIR --cross-validation CV …`. A
recipe is chosen by cross-validation; then nothing is kept back, so nothing is left to choose an epoch or to test with:
the last epoch is taken. The card's figures and the temperature of the scores are those of the cross-validation, whose
predictions are of clips that their networks had not heard.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import yaml
from scipy.optimize import minimize_scalar
from torch import nn

from quaclrs.errors import QuaclrsError, report_user_errors
from quaclrs.evaluation.result_files import read_predictions
from quaclrs.models import QuaclrsFeatureExtractor, QuaclrsForAudioClassification

from .clips.embeddings import EmbeddingClassifier, assemble, embed_split
from .clips.sampling import EpochSampler
from .clips.splits import load_splits
from .runs.checkpoints import Termination
from .runs.optimization import Schedule, average_of, build_optimizer
from .runs.options import command_line, option, parse_config
from .runs.session import Epochs, build_accelerator, open_run, refuse_other_run, resume_run
from .supervised.card import LICENCE, CardContext, without_local_paths
from .supervised.config import SupervisedConfig
from .supervised.losses import class_weights
from .supervised.model import build_augmentation, build_log_mel_config, build_model
from .supervised.release_card import write_release_card
from .supervised.step import Learner

#: Options of a run that say where and how it ran, not what was learned.
_OF_THE_RUN = {"test_fold", "seed", "output_dir", "dataset", "num_workers", "decode_once", "resume", "overwrite"} | {
    "log_every", "keep_checkpoints", "report_to", "pretrained_file",
}  # fmt: skip


@dataclass
class ReleaseConfig(SupervisedConfig):
    """Supervised training on every clip of the data set, with a recipe that was cross-validated."""

    required: ClassVar[tuple[str, ...]] = ("dataset", "output_dir", "cross_validation")

    cross_validation: str = option("", "folder of a finished training.cross_validate of the same recipe")
    evaluation: str | None = option(None, "what `quaclrs evaluate --noise …` wrote of one of its models, for the card")


def release(config: ReleaseConfig) -> dict[str, Any]:
    """Train, set the temperature and write the model's folder, `model/` of the run, with its card and licence.

    Returns:
        `temperature`, `clips` and the largest change of a weight by storing it in half precision.

    Raises:
        QuaclrsError: wrong options, or the cross-validation is not finished or of another recipe.
        SystemExit: SIGTERM came; a checkpoint was written first.
    """
    summary, labels, probabilities = read_cross_validation(config)
    temperature = fit_temperature(labels, probabilities)
    accelerator, run = build_accelerator(config)
    log_mel = build_log_mel_config(config)
    feature_extractor = QuaclrsFeatureExtractor(log_mel=log_mel.to_dict())
    augmentation = build_augmentation(config, log_mel)
    policy = None if augmentation is None else augmentation.policy.to_dict()
    refuse_other_run(accelerator, run, config, policy)
    views = [] if augmentation is None else [augmentation]
    of_any_fold: Any = dataclasses.replace(config, test_fold=summary["folds"][0])
    with accelerator.main_process_first():
        splits = load_splits(of_any_fold, feature_extractor, views, keep_back=False)
    model = build_model(config, splits.class_names, log_mel)
    if augmentation is not None and config.augment_on == "device":
        augmentation.to(accelerator.device)
    accelerator.print(f"{len(splits.train)} clips of all folds train; temperature {temperature:.2f}")
    open_run(accelerator, run, config, policy)
    network: Any = model
    if config.mode == "linear_probe" and augmentation is None:
        embed_split(accelerator, model.quaclrs.to(accelerator.device), splits, splits.train, config)
        network = EmbeddingClassifier(model.classifier, splits.train.dataset.values)

    sampler = EpochSampler(splits.train.labels, config.seed, config.balanced_sampler)
    workers = 0 if network is not model else config.num_workers
    loader: Any = splits.train.loader(config.batch_size, workers, sampler)
    assert config.class_weights is not None
    weights = class_weights(splits.train.labels, len(splits.class_names), config.class_weights).to(accelerator.device)
    optimizer = build_optimizer(config, network)
    averaged = average_of(network.to(accelerator.device), config.ema_decay) if config.ema_decay else None
    network, optimizer, loader = accelerator.prepare(network, optimizer, loader)
    schedule = Schedule(config, optimizer, batches=len(loader))
    accelerator.register_for_checkpointing(schedule, *([averaged] if averaged is not None else []))
    on_device = augmentation if config.augment_on == "device" else None
    learner = Learner(config, accelerator, network, optimizer, schedule, weights, on_device, averaged)
    history, unfinished = resume_run(accelerator, run, config)
    epochs = Epochs(accelerator, run, config, learner, loader, sampler, splits.train.transform, unfinished)
    with Termination() as termination:
        for epoch in range(len(history) + 1, config.epochs + 1):
            progress = epochs.train(epoch, history, termination)
            means = progress.means()
            history.append({"epoch": epoch, "train_loss": means["loss"], "train_accuracy": means["correct"]})
            accelerator.print(f"epoch {epoch}: loss {means['loss']:.3f}, accuracy {means['correct']:.3f}")
            epochs.finish(epoch, history, termination)

    finished = assemble(model, averaged.module if averaged is not None else accelerator.unwrap_model(network))
    metrics: dict[str, Any] = {"temperature": temperature, "clips": len(splits.train), "synthetic": splits.synthetic}
    if accelerator.is_main_process:
        metrics["rounding"] = save_released(finished.cpu(), feature_extractor, temperature, run.model)
        shutil.copyfile(LICENCE, run.model / "LICENSE")
        evaluated = Path(config.evaluation) if config.evaluation else None
        command = command_line("python -m training.release", without_local_paths(config))
        context = CardContext(run=run.path, evaluation=evaluated)
        write_release_card(run.model, config, Path(config.cross_validation), summary, metrics, command, context)
        run.write_json("metrics.json", metrics)
    accelerator.wait_for_everyone()
    return metrics


def read_cross_validation(config: ReleaseConfig) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """The summary of a cross-validation, and the labels and probabilities of its test clips, all runs together.

    Raises:
        QuaclrsError: it is not finished, or a run of it had other options than the recipe.
    """
    folder = Path(config.cross_validation)
    if not (folder / "summary.json").is_file():
        raise QuaclrsError(f"--cross-validation {folder} is not finished; give the --output-dir of one that is")
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    ours = dataclasses.asdict(config)
    labels, probabilities = [], []
    for run in summary["runs"]:
        path = folder / f"fold-{run['fold']}-seed-{run['seed']}"
        theirs = yaml.safe_load((path / "config.yaml").read_text(encoding="utf-8"))
        for name in sorted((theirs.keys() & ours.keys()) - _OF_THE_RUN):
            if theirs[name] != ours[name]:
                raise QuaclrsError(f"--cross-validation {folder} had {name} {theirs[name]}, not {ours[name]}")
        found = read_predictions(path / "predictions.csv")
        labels.append(found.labels)
        probabilities.append(found.probabilities)
    return summary, np.concatenate(labels), np.concatenate(probabilities)


def fit_temperature(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The temperature that logits are divided by for the lowest cross-entropy (Guo et al., 2017, section 4.2).

    Args:
        labels: (clips,) integers.
        probabilities: (clips, classes) of networks that had not heard these clips.
    """
    logits = np.log(np.clip(probabilities, 1e-12, None))

    def cross_entropy(log_temperature: float) -> float:
        scaled = logits / float(np.exp(log_temperature))
        scaled -= scaled.max(axis=1, keepdims=True)
        return float(np.mean(np.log(np.exp(scaled).sum(axis=1)) - scaled[np.arange(len(labels)), labels]))

    return float(np.exp(minimize_scalar(cross_entropy, bounds=(-3, 3), method="bounded").x))


@torch.no_grad()
def save_released(
    model: QuaclrsForAudioClassification, extractor: QuaclrsFeatureExtractor, temperature: float, folder: Path
) -> float:
    """Save in half precision, with the temperature in the classifier's weights: scores are calibrated whoever runs it.

    BatchNorm's statistics, whose range is wide, stay in float32, and `config.json` says float32: that is what the model
    runs in.

    Returns:
        The largest relative change of a weight's size by rounding.
    """
    classifier: nn.Linear = model.classifier
    classifier.weight.div_(temperature)
    classifier.bias.div_(temperature)
    state, rounding = {}, 0.0
    for name, tensor in model.state_dict().items():
        small = tensor.is_floating_point() and "running_" not in name
        state[name] = (tensor.half() if small else tensor).contiguous()
        if small and float(tensor.abs().max()):
            change = (state[name].float() - tensor).abs().max() / tensor.abs().max()
            rounding = max(rounding, float(change))
    model.save_pretrained(folder, state_dict=state)
    extractor.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "dtype": "float32"}, indent=2) + "\n", encoding="utf-8")
    return rounding


@report_user_errors
def main(arguments: list[str] | None = None) -> int:
    config = parse_config(ReleaseConfig, arguments)
    metrics = release(config)
    print(f"temperature {metrics['temperature']:.2f}; model: {Path(config.output_dir) / 'model'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
