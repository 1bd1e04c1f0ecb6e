"""`classification_metrics` as a metric of the `evaluate` library: batch by batch, in one process or several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

# `evaluate.load` takes the first metric class it finds in this file, so `Metric` itself is not imported by name.
import datasets
import evaluate
import numpy as np

from quaclrs.errors import QuaclrsError
from quaclrs.evaluation.metrics import classification_metrics
from quaclrs.labels import CLASS_NAMES

_DESCRIPTION = """\
Accuracy, balanced accuracy, precision, recall, F1 and one-vs-rest ROC AUC of class probabilities, overall, per class
and per source. Macro averages run over the classes that have clips.
"""

_INPUTS_DESCRIPTION = """
Args:
    predictions: one list of class probabilities a clip, as many as there are classes.
    references: the clips' true classes, integers from 0.
    sources: with the configuration `by_source` only: the data set each clip comes from, such as `urbansound8k`.
    class_names: the classes' names in the order of the probabilities; by default the 13 of UrbanSound13.
Returns:
    accuracy, balanced_accuracy, macro_ and weighted_ precision, recall, f1 and roc_auc, clips, classes_with_support,
    per_class (name -> precision, recall, f1, roc_auc, support), confusion_matrix (row = true class), and with sources
    accuracy_, balanced_accuracy_ and macro_f1_ of each one.
"""

_CITATION = """\
@article{scikit-learn,
    title={Scikit-learn: Machine Learning in {P}ython},
    author={Pedregosa, F. and Varoquaux, G. and Gramfort, A. and Michel, V. and Thirion, B. and Grisel, O. and
            Blondel, M. and Prettenhofer, P. and Weiss, R. and Dubourg, V. and Vanderplas, J. and Passos, A. and
            Cournapeau, D. and Brucher, M. and Perrot, M. and Duchesnay, E.},
    journal={Journal of Machine Learning Research},
    volume={12},
    pages={2825--2830},
    year={2011}
}
"""


class UrbanSoundClassification(evaluate.Metric):
    """Figures of a test split; see `quaclrs.evaluation.metrics.classification_metrics` for each of them.

    Args:
        config_name: `default`, or `by_source` for figures of each source as well, which every clip must then name.
        **options: of `evaluate.Metric`: in several processes `num_process`, `process_id` and an `experiment_id` that
            they share. Each adds its own clips, none of them twice; `compute` gives the figures in process 0 and None
            in the others. Every process must add a batch, an empty one if it has no clips.

    Raises:
        QuaclrsError: another configuration; and `compute`, where the inputs do not fit each other.
    """

    def _info(self) -> evaluate.MetricInfo:
        columns: dict[str, Any] = {
            # 64 bits, for rounding would make ties of probabilities near 1
            "predictions": datasets.Sequence(datasets.Value("float64")),
            "references": datasets.Value("int64"),
        }
        if self.config_name == "by_source":
            columns["sources"] = datasets.Value("string")
        elif self.config_name != "default":
            raise QuaclrsError(f"unknown configuration {self.config_name!r}; choose default or by_source")
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS_DESCRIPTION,
            features=datasets.Features(columns),
            reference_urls=["https://scikit-learn.org/stable/modules/model_evaluation.html"],
        )

    def _compute(
        self,
        predictions: Sequence[Sequence[float]],
        references: Sequence[int],
        sources: Sequence[str] | None = None,
        class_names: Sequence[str] | None = None,
    ) -> dict[str, Any]:
        names = CLASS_NAMES if class_names is None else class_names
        if wrong := {len(row) for row in predictions} - {len(names)}:
            raise QuaclrsError(
                f"predictions must hold a probability for each of the {len(names)} classes in every clip, not"
                f" {min(wrong)}; for classes other than UrbanSound13's call compute(class_names=[...])"
            )
        return classification_metrics(np.asarray(references), np.asarray(predictions), names, sources)
