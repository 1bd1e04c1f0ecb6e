"""The test of a self-supervised run: what its frozen encoder is worth, beside what it was worth before training."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from safetensors.torch import save_file

from quaclrs.evaluation.figures.embedding_map import embedding_map_figure
from quaclrs.evaluation.figures.plots import confusion_matrix_figure, save_figure, training_curves_figure
from quaclrs.evaluation.paired import paired_difference
from quaclrs.evaluation.probes import knn_probabilities, linear_probe_probabilities
from quaclrs.evaluation.result_files import write_predictions
from quaclrs.folds import fold_column
from quaclrs.models import QuaclrsFeatureExtractor, QuaclrsModel

from ..clips.splits import Splits
from ..runs.folder import RunFolder
from ..supervised.card import CardContext
from ..supervised.results import (
    SHORTCUT_CONTROL,
    data_warnings,
    few_of,
    figures,
    peak_memory,
    shortcut_control,
)
from .card import write_encoder_card
from .config import SSLConfig

#: Rows of the test, and the files of their predictions. A linear probe is a logistic regression on embeddings.
KNN, LINEAR = "knn", "linear"
RANDOM_KNN, RANDOM_LINEAR = "random_knn", "random_linear"
PREDICTIONS = {
    LINEAR: "predictions.csv",
    KNN: "predictions_knn.csv",
    RANDOM_KNN: "predictions_random_knn.csv",
    RANDOM_LINEAR: "predictions_random_linear.csv",
}


def test_encoders(
    splits: Splits, trained: dict[str, torch.Tensor], before: dict[str, torch.Tensor], neighbours: int
) -> dict[str, np.ndarray]:
    """Class probabilities of the test clips by k-NN and by a linear probe, of the encoder now and before training.

    Args:
        splits: of the run.
        trained, before: embeddings (clips, hidden_size) by split, `train` and `test`.
        neighbours: of k-NN.
    """
    known = splits.train.labelled
    labels, classes = splits.train.labels[known], len(splits.class_names)
    probabilities = {}
    for embeddings, knn, linear in ((trained, KNN, LINEAR), (before, RANDOM_KNN, RANDOM_LINEAR)):
        bank, test = embeddings["train"].numpy()[known], embeddings["test"].numpy()
        probabilities[knn] = knn_probabilities(bank, labels, test, classes, min(neighbours, len(bank)))
        probabilities[linear] = linear_probe_probabilities(bank, labels, test, classes)
    return probabilities


def describe_result(
    config: SSLConfig,
    splits: Splits,
    probabilities: dict[str, np.ndarray],
    history: list[dict[str, Any]],
    accelerator: Accelerator,
) -> dict[str, Any]:
    """The contents of `metrics.json`: the test, baselines that an SSL figure says nothing without, and how it went."""
    names, test = splits.class_names, splits.test
    recordings = test.rows["recording_id"][:]
    majority = np.bincount(splits.train.labels[splits.train.labelled], minlength=len(names)).argmax()
    warnings = data_warnings(config, splits)
    warnings += [f"epoch {row['epoch']}: {row['warning']}" for row in history[-1:] if row.get("warning")]
    seconds = sum(row["train_seconds"] for row in history[1:])
    evaluations = {name: figures(test, of_name, names) for name, of_name in probabilities.items()}

    def gains(balanced: bool) -> dict[str, Any]:
        return {
            name: paired_difference(test.labels, probabilities[name], probabilities[other], recordings, balanced)
            for name, other in ((KNN, RANDOM_KNN), (LINEAR, RANDOM_LINEAR))
        }

    return {
        "method": config.method,
        "backbone": config.backbone,
        "protocol": config.protocol,
        "test_fold": splits.plan.test_fold,
        "validation_fold": splits.plan.validation_fold,
        "clips_train": len(splits.train),
        "clips_labelled": int(splits.train.labelled.sum()),
        "clips_validation": len(splits.validation),
        "clips_test": len(test),
        "class_names": names,
        "synthetic": splits.synthetic,
        "warnings": warnings,
        "evaluations": evaluations,
        "gains": gains(balanced=False),
        "balanced_gains": gains(balanced=True),
        "controls": {
            "chance": {"accuracy": 1 / len(names)},
            "majority": {"accuracy": float(np.mean(test.labels == majority))},
            SHORTCUT_CONTROL: shortcut_control(splits, config.seed),
            "encoder before training, k-NN": few_of(evaluations[RANDOM_KNN]),
            "encoder before training, linear": few_of(evaluations[RANDOM_LINEAR]),
        },
        "history": {name: [row.get(name) for row in history] for name in ("knn_accuracy", "probe_accuracy")},
        "image_size": config.image_size,
        "augment": config.augment,
        "epochs": history[-1]["epoch"],
        "batch_size": config.batch_size,
        "seed": config.seed,
        "num_processes": accelerator.num_processes,
        "mixed_precision": accelerator.mixed_precision,
        "device": accelerator.device.type,
        "train_seconds": seconds,
        "train_clips_per_second": (len(history) - 1) * len(splits.train) / max(seconds, 1e-9),
        "peak_memory_bytes": peak_memory(accelerator),
    }


def write_ssl_results(
    run: RunFolder,
    config: SSLConfig,
    splits: Splits,
    history: list[dict[str, Any]],
    metrics: dict[str, Any],
    probabilities: dict[str, np.ndarray],
    test_embeddings: torch.Tensor,
    encoder: QuaclrsModel,
    feature_extractor: QuaclrsFeatureExtractor,
) -> None:
    """Predictions, plots, the encoder for `from_pretrained` and for timm, and `metrics.json` last."""
    names, test = splits.class_names, splits.test
    clip_ids, folds = test.rows["clip_id"][:], test.rows[fold_column(config.protocol)][:]
    for name, file in PREDICTIONS.items():
        write_predictions(run.path / file, clip_ids, folds, test.labels, probabilities[name], names)
    title = f"{config.method}, {config.backbone}, test fold {config.test_fold} ({config.protocol})"
    matrix = metrics["evaluations"][LINEAR]["confusion_matrix"]
    save_figure(confusion_matrix_figure(matrix, names, f"{title}, linear probe"), run.plots / "confusion_matrix.png")
    curves = [{**row, "validation_accuracy": row["knn_accuracy"], "train_accuracy": None} for row in history]
    save_figure(training_curves_figure(curves, f"{title}\nk-NN"), run.plots / "training_curves.png")
    save_figure(
        embedding_map_figure(test_embeddings.numpy(), test.labels, names, f"{title}, t-SNE of the test clips"),
        run.plots / "embedding_map.png",
    )
    encoder.save_pretrained(run.model)
    feature_extractor.save_pretrained(run.model)
    backbone = {name: tensor.contiguous() for name, tensor in encoder.backbone.network.state_dict().items()}
    save_file(backbone, run.model / "timm_backbone.safetensors", metadata={"format": "pt"})
    write_encoder_card(run.model, config, metrics, CardContext(run=run.path))
    run.write_json("metrics.json", metrics)


def print_ssl_result(config: SSLConfig, metrics: dict[str, Any]) -> None:
    """The test fold's figures with what they must be read beside."""
    print(f"test fold {metrics['test_fold']} ({metrics['protocol']}, {metrics['clips_test']} clips):")
    for name, label in ((KNN, "k-NN"), (LINEAR, "linear")):
        for kind, key in (("accuracy", "gains"), ("balanced accuracy", "balanced_gains")):
            gain = metrics[key][name]
            low, high = gain["interval"]
            print(
                f"  {label}: {kind} {gain['accuracy']:.1%}, before training {gain['other']:.1%}: "
                f"{gain['difference'] * 100:+.1f} points ({low * 100:+.1f} to {high * 100:+.1f})"
            )
    for name, control in metrics["controls"].items():
        print(f"  control: {name}: {control['accuracy']:.1%}")
    for warning in metrics["warnings"]:
        print(f"warning: {warning}")
    print(f"run: {config.output_dir}, model: {RunFolder(config.output_dir).model}")
