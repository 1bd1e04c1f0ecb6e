"""Classification metrics of a test split, overall, per class and per source, as one JSON-serialisable dictionary.

A test fold may lack clips of some class. Macro averages therefore run over the classes *with test support*: a class
nobody could have recognised neither lifts nor lowers a score, and `classes_with_support` says how many were averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from quaclrs.errors import QuaclrsError
from quaclrs.labels import SIRENNET, URBANSOUND8K

#: Sources whose keys every result with sources holds, so that folds without clips of one still line up in a table.
STANDARD_SOURCES: tuple[str, ...] = (URBANSOUND8K, SIRENNET)


#: What reports call the figures of `classification_metrics` that they show.
FIGURE_NAMES = {
    "accuracy": "accuracy",
    "balanced accuracy": "balanced_accuracy",
    "macro F1": "macro_f1",
    "macro ROC AUC": "macro_roc_auc",
    "accuracy, UrbanSound8K's classes": "accuracy_urbansound8k",
    "accuracy, new classes": "accuracy_sirennet",
}


def classification_metrics(
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
    sources: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Score class probabilities against true labels; the predicted class is the most probable one.

    Args:
        labels: (clips,) integers in [0, classes), the true classes.
        probabilities: (clips, classes) floats. The predicted class is a row's largest entry; the area under the ROC
            curve ranks the clips by one column, so give probabilities rather than scores of any scale.
        class_names: the classes' names in the order of the columns, all different.
        sources: (clips,) the data set each clip comes from, `"urbansound8k"`, `"sirennet"` or any other name.

    Returns:
        Python floats in [0, 1], integers and lists, ready for `json.dump`:

        - `accuracy`, `balanced_accuracy` (mean recall of the classes with support, the same number as `macro_recall`)
        - `macro_precision`, `macro_recall`, `macro_f1`: unweighted means over the classes with support
        - `weighted_precision`, `weighted_recall`, `weighted_f1`: means weighted by support
        - `macro_roc_auc`, `weighted_roc_auc`: means of the area under the ROC curve of one class against the rest,
          over the classes with clips and with clips of other classes, the latter weighted by support; None where no
          class is so
        - `clips`, `classes_with_support`: counts
        - `per_class`: name -> `precision`, `recall`, `f1`, `roc_auc`, `support`; 0 where a fraction has no denominator,
          and a `roc_auc` of None where the class has no clips or all of them
        - `confusion_matrix`: classes x classes counts, row = true class, column = predicted class
        - with `sources`, for each one present `accuracy_<source>`, `balanced_accuracy_<source>` and
          `macro_f1_<source>`: on the clips of that source, where a prediction may still be any class. These keys of a
          standard source without clips are None.

    Raises:
        QuaclrsError: no clips, shapes that do not fit each other, labels out of range or scores that are not finite.
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support  # takes a second

    labels, probabilities = np.asarray(labels), np.asarray(probabilities)
    check_predictions(labels, probabilities, class_names, sources)
    predicted = probabilities.argmax(axis=1)
    classes = np.arange(len(class_names))
    precision, recall, f1, support = precision_recall_fscore_support(labels, predicted, labels=classes, zero_division=0)
    supported = support > 0
    roc_auc = [_one_vs_rest_roc_auc(labels == index, scores) for index, scores in enumerate(probabilities.T)]

    metrics: dict[str, Any] = {
        "accuracy": float(np.mean(labels == predicted)),
        "balanced_accuracy": float(recall[supported].mean()),
    }
    for name, values in (("precision", precision), ("recall", recall), ("f1", f1)):
        metrics[f"macro_{name}"] = float(values[supported].mean())
        metrics[f"weighted_{name}"] = float(np.average(values, weights=support))
    areas = {index: area for index, area in enumerate(roc_auc) if area is not None}
    for average, weights in (("macro", None), ("weighted", support[list(areas)])):
        mean = float(np.average(list(areas.values()), weights=weights)) if areas else None
        metrics[f"{average}_roc_auc"] = mean
    metrics["clips"] = len(labels)
    metrics["classes_with_support"] = int(supported.sum())
    if sources is not None:
        metrics |= _metrics_by_source(labels, predicted, np.asarray(sources, dtype=str), classes)
    metrics["per_class"] = {
        name: {
            "precision": float(precision[index]),
            "recall": float(recall[index]),
            "f1": float(f1[index]),
            "roc_auc": roc_auc[index],
            "support": int(support[index]),
        }
        for index, name in enumerate(class_names)
    }
    metrics["confusion_matrix"] = confusion_matrix(labels, predicted, labels=classes).tolist()
    return metrics


def _one_vs_rest_roc_auc(positive: np.ndarray, scores: np.ndarray) -> float | None:
    """Share of pairs of a clip of the class and another clip in which the former scores higher, a tie being half."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(positive, scores)) if 0 < positive.sum() < len(positive) else None


def _metrics_by_source(
    labels: np.ndarray, predicted: np.ndarray, sources: np.ndarray, classes: np.ndarray
) -> dict[str, float | None]:
    from sklearn.metrics import precision_recall_fscore_support

    metrics: dict[str, float | None] = {}
    for source in STANDARD_SOURCES:
        metrics |= dict.fromkeys((f"accuracy_{source}", f"balanced_accuracy_{source}", f"macro_f1_{source}"))
    for source in np.unique(sources).tolist():
        true, guess = labels[sources == source], predicted[sources == source]
        _, recall, f1, support = precision_recall_fscore_support(true, guess, labels=classes, zero_division=0)
        metrics[f"accuracy_{source}"] = float(np.mean(true == guess))
        metrics[f"balanced_accuracy_{source}"] = float(recall[support > 0].mean())
        metrics[f"macro_f1_{source}"] = float(f1[support > 0].mean())
    return metrics


def check_predictions(
    labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str], sources: Sequence[str] | None = None
) -> None:
    """Raise a `QuaclrsError` where the arguments of `classification_metrics` are not as it describes them."""
    if labels.ndim != 1 or len(labels) == 0:
        raise QuaclrsError(f"labels must be one integer a clip and at least one clip, not of shape {labels.shape}")
    if not np.issubdtype(labels.dtype, np.integer):
        raise QuaclrsError(f"labels must be integers (class indices), not {labels.dtype}")
    expected = (len(labels), len(class_names))
    if probabilities.shape != expected:
        raise QuaclrsError(f"probabilities must be of shape (clips, classes) = {expected}, not {probabilities.shape}")
    if len(set(class_names)) != len(class_names):
        raise QuaclrsError("class_names holds a name twice; give every column a name of its own")
    if labels.min() < 0 or labels.max() >= len(class_names):
        raise QuaclrsError(
            f"labels must lie in 0..{len(class_names) - 1} for {len(class_names)} class names,"
            f" not in {labels.min()}..{labels.max()}"
        )
    if not np.isfinite(probabilities).all():
        raise QuaclrsError("probabilities hold NaN or infinite values: the model's output is broken, nothing to score")
    if sources is not None and len(sources) != len(labels):
        raise QuaclrsError(f"sources must name one source a clip: {len(sources)} sources for {len(labels)} clips")
