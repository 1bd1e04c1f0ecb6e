"""The result of a supervised run: its metrics, and the files that are written of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from quaclrs.evaluation.figures.confusion_matrix import confusion_matrix_figure
from quaclrs.evaluation.figures.style import save_figure
from quaclrs.evaluation.figures.training_curves import training_curves_figure
from quaclrs.evaluation.open_set import describe_open_set, open_set_figures, without_other
from quaclrs.evaluation.reports.tables import percent
from quaclrs.evaluation.result_files import OPEN_SET, PREDICTIONS, write_predictions
from quaclrs.evaluation.run_metrics import RunMetrics
from quaclrs.folds import fold_column
from quaclrs.models import QuaclrsFeatureExtractor, QuaclrsForAudioClassification

from ..clips.background import kind_of
from ..clips.splits import Splits
from ..runs.card import CardContext
from ..runs.folder import RunFolder
from ..runs.metrics import SHORTCUT_CONTROL, describe_run, few_of, figures, shortcut_control
from ..runs.session import Session
from .card import write_model_card
from .config import SupervisedConfig
from .evaluation import CUT_CONTROL, kept_epoch


def measure(
    config: SupervisedConfig,
    session: Session,
    splits: Splits,
    probabilities: dict[str, np.ndarray],
    model: QuaclrsForAudioClassification,
    trained: nn.Module,
) -> RunMetrics:
    """The metrics of a run, all epochs done.

    Args:
        config, session, splits: of the run.
        probabilities: (clips, classes) of the splits `test`, `test_cut` and, where there is one, `background`.
        model: the whole classifier.
        trained: the network that learned, whose trainable parameters are counted.
    """
    names, best = splits.known_names, kept_epoch(config.keep_epoch, session.history)
    test, cut = (without_other(probabilities[name], len(names)) for name in ("test", "test_cut"))
    run = describe_run(session, splits, epochs=len(session.history))
    run["augment"] = "copies" if config.fill_per_fold else "none" if config.augment_on == "none" else config.augment
    return RunMetrics(
        **run,
        figures=figures(splits.test, test, names),
        controls={
            SHORTCUT_CONTROL: shortcut_control(splits, config.seed, config.refit),
            CUT_CONTROL: few_of(figures(splits.test, cut, names)),
        },
        open_set=None if splits.background is None else measure_open_set(splits, probabilities, config.duration),
        mode=config.mode,
        initial_weights=describe_initial_weights(config),
        complete_folds=list(splits.plan.complete_folds),
        duration=config.duration,
        pad_mode=config.pad_mode,
        best_epoch=best,
        validation_accuracy=session.history[best - 1].get("validation_accuracy"),
        clips_refit=len(splits.train) + len(splits.validation) if config.refit else None,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        trained_parameters=sum(p.numel() for p in trained.parameters() if p.requires_grad),
    )


def measure_open_set(splits: Splits, probabilities: dict[str, np.ndarray], seconds: float) -> dict[str, Any]:
    """`open_set_figures` of the test clips and the background of kinds that did not train."""
    assert splits.background is not None
    held_out = (splits.test, splits.background)
    kinds = [kind_of(clip_id) for split in held_out for clip_id in split.clip_ids]
    labels = np.concatenate([split.labels for split in held_out])
    scores = np.concatenate([probabilities["test"], probabilities["background"]])
    return open_set_figures(labels, scores, splits.class_names, kinds, seconds)


def describe_initial_weights(config: SupervisedConfig) -> str:
    """`random init`, `pretrained` or `init from RUN`: what the network began with, whatever the mode is called."""
    if config.init_from:
        return f"init from {config.init_from}"
    return "random init" if config.initial_weights == "random" else "pretrained"


def write_results(
    session: Session,
    config: SupervisedConfig,
    splits: Splits,
    metrics: RunMetrics,
    probabilities: dict[str, np.ndarray],
    model: QuaclrsForAudioClassification,
    feature_extractor: QuaclrsFeatureExtractor,
) -> None:
    """Write predictions, plots, the model with its card, and `metrics.json` last: a run that has it is finished."""
    run, names, rows = session.folder, splits.known_names, splits.test.rows
    folds = rows[fold_column(config.protocol)][:]
    known = without_other(probabilities["test"], len(names))
    write_predictions(run.path / PREDICTIONS, rows["clip_id"][:], folds, splits.test.labels, known, names)
    if splits.background is not None:
        both, labels = (splits.test, splits.background), [splits.test.labels, splits.background.labels]
        clip_ids = [clip_id for split in both for clip_id in split.clip_ids]
        scores = np.concatenate([probabilities["test"], probabilities["background"]])
        folds = [*folds, *[config.test_fold] * len(splits.background)]
        write_predictions(run.path / OPEN_SET, clip_ids, folds, np.concatenate(labels), scores, splits.class_names)
    title = f"{config.backbone}, {config.mode}, test fold {config.test_fold} ({config.protocol})"
    matrix = confusion_matrix_figure(metrics.figures["confusion_matrix"], names, title)
    save_figure(matrix, run.plots / "confusion_matrix.png")
    save_figure(training_curves_figure(session.history, title), run.plots / "training_curves.png")
    with run.model_written() as folder:
        model.save_pretrained(folder)
        feature_extractor.save_pretrained(folder)
        write_model_card(folder, config, metrics, CardContext(run=run.path))
    metrics.write(run.path)


def print_result(config: SupervisedConfig, metrics: RunMetrics) -> None:
    """Print the figures of the test fold, the controls beside them, and the run's folder."""
    found = metrics.figures
    print(
        f"test fold {metrics.test_fold} ({metrics.protocol}, {metrics.tested_clips} clips): "
        f"accuracy {percent(found['accuracy'])}, macro F1 {percent(found['macro_f1'])}; "
        f"UrbanSound8K's classes {percent(found['accuracy_urbansound8k'])}, "
        f"new classes {percent(found['accuracy_sirennet'])}"
    )
    if metrics.open_set:
        print(describe_open_set(metrics.open_set))
    for name, control in metrics.controls.items():
        print(
            f"control: {name}: accuracy {percent(control['accuracy'])}, "
            f"new classes {percent(control['accuracy_sirennet'])}"
        )
    for warning in metrics.warnings:
        print(f"warning: {warning}")
    print(f"run: {config.output_dir}, model: {RunFolder(config.output_dir).model}")
