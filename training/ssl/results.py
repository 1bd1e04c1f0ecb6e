"""The result of a self-supervised run: what its frozen encoder is worth, beside its worth before training."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from quaclrs.evaluation.figures.confusion_matrix import confusion_matrix_figure
from quaclrs.evaluation.figures.embedding_map import embedding_map_figure
from quaclrs.evaluation.figures.style import save_figure
from quaclrs.evaluation.figures.training_curves import training_curves_figure
from quaclrs.evaluation.paired import paired_difference
from quaclrs.evaluation.reports.tables import percent
from quaclrs.evaluation.result_files import write_predictions
from quaclrs.evaluation.run_metrics import KNN, LINEAR, RANDOM_KNN, RANDOM_LINEAR, RunMetrics
from quaclrs.folds import fold_column
from quaclrs.models import QuaclrsFeatureExtractor, QuaclrsModel

from ..clips.splits import Splits
from ..runs.card import CardContext
from ..runs.folder import RunFolder
from ..runs.heard import as_metadata
from ..runs.metrics import SHORTCUT_CONTROL, describe_run, few_of, figures, shortcut_control
from ..runs.session import Session
from .card import write_encoder_card
from .config import SSLConfig

#: Files of the predictions of each evaluation. A linear probe is a logistic regression on embeddings.
PREDICTIONS = {
    LINEAR: "predictions.csv",
    KNN: "predictions_knn.csv",
    RANDOM_KNN: "predictions_random_knn.csv",
    RANDOM_LINEAR: "predictions_random_linear.csv",
}


def measure(config: SSLConfig, session: Session, splits: Splits, probabilities: dict[str, np.ndarray]) -> RunMetrics:
    """The metrics of a run, all epochs done: its test, and baselines without which an SSL figure says nothing.

    Args:
        config, session, splits: of the run.
        probabilities: (clips, classes) of the test clips, by evaluation.
    """
    names, test, history = splits.class_names, splits.test, session.history
    recordings, known = test.rows["recording_id"][:], splits.train.labelled
    majority = np.bincount(splits.train.labels[known], minlength=len(names)).argmax()
    evaluations = {name: figures(test, of_name, names) for name, of_name in probabilities.items()}
    run = describe_run(session, splits, epochs=history[-1]["epoch"])
    run["warnings"] += [f"epoch {row['epoch']}: {row['warning']}" for row in history[-1:] if row.get("warning")]

    def gains(balanced: bool) -> dict[str, Any]:
        return {
            name: paired_difference(test.labels, probabilities[name], probabilities[other], recordings, balanced)
            for name, other in ((KNN, RANDOM_KNN), (LINEAR, RANDOM_LINEAR))
        }

    return RunMetrics(
        **run,
        controls={
            "chance": {"accuracy": 1 / len(names)},
            "majority": {"accuracy": float(np.mean(test.labels == majority))},
            SHORTCUT_CONTROL: shortcut_control(splits, config.seed),
            "encoder before training, k-NN": few_of(evaluations[RANDOM_KNN]),
            "encoder before training, linear": few_of(evaluations[RANDOM_LINEAR]),
        },
        method=config.method,
        batch_size=config.batch_size,
        clips_labelled=int(known.sum()),
        clips_test=len(test),
        class_names=names,
        evaluations=evaluations,
        gains=gains(balanced=False),
        balanced_gains=gains(balanced=True),
        history={name: [row.get(name) for row in history] for name in ("knn_accuracy", "probe_accuracy")},
    )


def write_results(
    session: Session,
    config: SSLConfig,
    splits: Splits,
    metrics: RunMetrics,
    probabilities: dict[str, np.ndarray],
    test_embeddings: torch.Tensor,
    encoder: QuaclrsModel,
    feature_extractor: QuaclrsFeatureExtractor,
) -> None:
    """Write predictions, plots, the encoder for `from_pretrained` and for timm, and `metrics.json` last."""
    run, names, test = session.folder, splits.class_names, splits.test
    clip_ids, folds = test.rows["clip_id"][:], test.rows[fold_column(config.protocol)][:]
    for name, file in PREDICTIONS.items():
        write_predictions(run.path / file, clip_ids, folds, test.labels, probabilities[name], names)
    title = f"{config.method}, {config.backbone}, test fold {config.test_fold} ({config.protocol})"
    matrix = metrics.of(LINEAR)["confusion_matrix"]
    save_figure(confusion_matrix_figure(matrix, names, f"{title}, linear probe"), run.plots / "confusion_matrix.png")
    curves = [{**row, "validation_accuracy": row["knn_accuracy"], "train_accuracy": None} for row in session.history]
    save_figure(training_curves_figure(curves, f"{title}\nk-NN"), run.plots / "training_curves.png")
    save_figure(
        embedding_map_figure(test_embeddings.numpy(), test.labels, names, f"{title}, t-SNE of the test clips"),
        run.plots / "embedding_map.png",
    )
    backbone = {name: tensor.contiguous() for name, tensor in encoder.backbone.network.state_dict().items()}
    # One entry alone: safetensors writes several in any order, and two equal runs would differ in their bytes.
    metadata = as_metadata(encoder.config.training_data)
    with run.model_written() as folder:
        encoder.save_pretrained(folder)
        feature_extractor.save_pretrained(folder)
        save_file(backbone, folder / "timm_backbone.safetensors", metadata=metadata)
        write_encoder_card(folder, config, metrics, CardContext(run=run.path))
    metrics.write(run.path)


def print_result(config: SSLConfig, metrics: RunMetrics) -> None:
    """Print the figures of the test fold with what they must be read beside."""
    print(f"test fold {metrics.test_fold} ({metrics.protocol}, {metrics.tested_clips} clips):")
    assert metrics.gains is not None and metrics.balanced_gains is not None
    for name, label in ((KNN, "k-NN"), (LINEAR, "linear")):
        for kind, gains in (("accuracy", metrics.gains), ("balanced accuracy", metrics.balanced_gains)):
            gain = gains[name]
            low, high = gain["interval"]
            print(
                f"  {label}: {kind} {percent(gain['accuracy'])}, before training {percent(gain['other'])}: "
                f"{gain['difference'] * 100:+.1f} points ({low * 100:+.1f} to {high * 100:+.1f})"
            )
    for name, control in metrics.controls.items():
        print(f"  control: {name}: {percent(control['accuracy'])}")
    for warning in metrics.warnings:
        print(f"warning: {warning}")
    print(f"run: {config.output_dir}, model: {RunFolder(config.output_dir).model}")
