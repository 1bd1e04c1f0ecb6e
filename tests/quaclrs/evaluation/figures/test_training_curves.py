"""Training curves hold the history they were given, and nothing in them is cut off."""

from __future__ import annotations

import numpy as np
import pytest

from quaclrs.errors import QuaclrsError
from quaclrs.evaluation.figures.training_curves import training_curves_figure

HISTORY = [
    {"epoch": 1, "train_loss": 2.0, "validation_loss": 1.8, "train_accuracy": 0.30, "validation_accuracy": 0.40},
    {"epoch": 2, "train_loss": 1.0, "validation_loss": 1.2, "train_accuracy": 0.70, "validation_accuracy": 0.75},
    {"epoch": 3, "train_loss": 0.5, "validation_loss": 1.1, "train_accuracy": 0.90, "validation_accuracy": 0.72},
]


def test_curves_hold_the_history_and_mark_the_epoch_of_best_validation_accuracy() -> None:
    loss, accuracy = training_curves_figure(HISTORY, "a run").axes
    for axes, quantity in ((loss, "loss"), (accuracy, "accuracy")):
        lines = {line.get_label(): line for line in axes.lines}
        for split in ("train", "validation"):
            np.testing.assert_array_equal(lines[split].get_xdata(), [1, 2, 3])
            np.testing.assert_array_equal(lines[split].get_ydata(), [row[f"{split}_{quantity}"] for row in HISTORY])
        assert axes.get_xlabel() == "epoch"
        assert axes.get_ylabel().startswith(quantity)
        (label,) = [name for name in lines if str(name).startswith("best epoch 2")]
        np.testing.assert_array_equal(lines[label].get_xdata(), [2, 2])
    assert "75.0%" in str([line.get_label() for line in accuracy.lines])
    assert "1.200" in str([line.get_label() for line in loss.lines])


def test_without_validation_accuracy_the_lowest_validation_loss_is_best() -> None:
    history = [{"epoch": row["epoch"], "validation_loss": row["validation_loss"]} for row in HISTORY]
    (loss,) = training_curves_figure(history, "a run").axes
    assert [str(line.get_label()) for line in loss.lines if "best" in str(line.get_label())] == ["best epoch 3 (1.100)"]


def test_a_quantity_that_was_not_recorded_gets_no_panel_and_no_epoch_is_called_best() -> None:
    history = [{"epoch": row["epoch"], "train_loss": row["train_loss"]} for row in HISTORY]
    (loss,) = training_curves_figure(history, "self-supervised").axes
    assert [line.get_label() for line in loss.lines] == ["train"]


@pytest.mark.parametrize("gap", [None, float("nan"), float("inf"), ""])
def test_a_value_missing_in_one_epoch_leaves_a_point_out(gap: object) -> None:
    history = [HISTORY[0], HISTORY[1] | {"validation_accuracy": gap}, HISTORY[2]]
    accuracy = training_curves_figure(history, "a run").axes[1]
    (validation,) = [line for line in accuracy.lines if line.get_label() == "validation"]
    np.testing.assert_array_equal(validation.get_xdata(), [1, 3])
    np.testing.assert_array_equal(validation.get_ydata(), [0.40, 0.72])


@pytest.mark.parametrize("epochs", [1, 3, 200])
def test_curves_of_any_length_have_whole_epochs_on_the_axis_and_nothing_cut_off(epochs: int) -> None:
    history = [HISTORY[min(i, 2)] | {"epoch": i + 1} for i in range(epochs)]
    figure = training_curves_figure(history, "efficientnet_b0, strict folds, test fold 3")
    figure.canvas.draw()
    assert len(figure.axes) == 2
    for axes in figure.axes:
        ticks = [tick for tick in axes.get_xticks() if axes.get_xlim()[0] <= tick <= axes.get_xlim()[1]]
        assert ticks and all(tick == round(tick) for tick in ticks)
        box, frame = axes.get_tightbbox(), figure.bbox
        assert frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1


def test_a_history_without_anything_to_draw_is_refused_in_one_line() -> None:
    for history, message in (([], "no rows"), ([{"epoch": 1}], "neither a loss nor an accuracy")):
        with pytest.raises(QuaclrsError, match=message) as caught:
            training_curves_figure(history, "")
        assert "\n" not in str(caught.value)
