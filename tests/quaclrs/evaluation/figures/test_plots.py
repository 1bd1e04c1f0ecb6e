"""Figures show the numbers they were given, and nothing in them is cut off or overlaps."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.text import Text

from quaclrs.errors import QuaclrsError
from quaclrs.evaluation.figures.plots import confusion_matrix_figure, save_figure, training_curves_figure
from quaclrs.labels import CLASS_NAMES

HISTORY = [
    {"epoch": 1, "train_loss": 2.0, "validation_loss": 1.8, "train_accuracy": 0.30, "validation_accuracy": 0.40},
    {"epoch": 2, "train_loss": 1.0, "validation_loss": 1.2, "train_accuracy": 0.70, "validation_accuracy": 0.75},
    {"epoch": 3, "train_loss": 0.5, "validation_loss": 1.1, "train_accuracy": 0.90, "validation_accuracy": 0.72},
]


def crowded_matrix() -> np.ndarray:
    """(13, 13) counts of up to four digits in every cell but the last row's: the fullest figure there can be."""
    matrix = np.random.default_rng(0).integers(100, 999, size=(13, 13)) + 4000 * np.eye(13, dtype=int)
    matrix[-1] = 0
    return matrix


def shown_texts(figure: Figure) -> list[Text]:
    return [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]


def cell_texts(figure: Figure) -> dict[tuple[int, int], Text]:
    """(row, column) -> the text drawn in that cell of a confusion matrix."""
    return {(int(t.get_position()[1]), int(t.get_position()[0])): t for t in figure.axes[0].texts}


def contrast(first: np.ndarray, second: np.ndarray) -> float:
    """WCAG 2 contrast ratio of two sRGB colours, from its definition."""
    luminances = []
    for colour in (first, second):
        channels = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
        luminances.append(0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2])
    return (max(luminances) + 0.05) / (min(luminances) + 0.05)


def test_cells_show_counts_as_text_and_shares_of_the_true_class_as_colour() -> None:
    figure = confusion_matrix_figure([[6, 2, 0], [1, 3, 0], [0, 0, 0]], ["dog_bark", "gun_shot", "traffic"], "fold 3")
    axes = figure.axes[0]
    assert {cell: text.get_text() for cell, text in cell_texts(figure).items()} == {
        (0, 0): "6",
        (0, 1): "2",
        (1, 0): "1",
        (1, 1): "3",
    }
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.75, 0.25, 0], [0.25, 0.75, 0], [0, 0, 0]])
    assert axes.images[0].get_clim() == (0, 1)  # the same colour means the same share in every figure
    assert [t.get_text() for t in axes.get_yticklabels()] == ["dog bark (8)", "gun shot (4)", "traffic (0)"]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["dog bark", "gun shot", "traffic"]
    assert "fold 3" in [t.get_text() for t in shown_texts(figure)]


def test_every_count_stands_out_from_its_cell_whatever_the_share() -> None:
    # Row r holds r % and (100 - r) %: the two columns pass through every share from 0 to 1.
    counts = np.stack([np.arange(101), 100 - np.arange(101)], axis=1)
    square = np.zeros((101, 101), dtype=int)
    square[:, :2] = counts
    figure = confusion_matrix_figure(square, [str(i) for i in range(101)], "")
    image = figure.axes[0].images[0]
    for (row, column), text in cell_texts(figure).items():
        background = image.cmap(image.norm(square[row, column] / 100))
        assert contrast(to_rgb(text.get_color()), background) > 4.5  # WCAG 2 level AA


def test_nothing_is_cut_off_or_overlaps_in_a_full_matrix_of_13_classes() -> None:
    figure = confusion_matrix_figure(crowded_matrix(), CLASS_NAMES, "efficientnet_b0, strict folds, test fold 3")
    figure.canvas.draw()
    texts = shown_texts(figure)
    assert len(texts) > 12 * 13 + 2 * 13
    frame = figure.bbox
    boxes = {text: text.get_window_extent() for text in texts}
    for text, box in boxes.items():
        assert frame.x0 <= box.x0 and box.x1 <= frame.x1, text.get_text()
        assert frame.y0 <= box.y0 and box.y1 <= frame.y1, text.get_text()
    upright = [text for text in texts if text.get_rotation() in (0, 90)]  # the box of slanted text is not its ink
    for first, second in itertools.combinations(upright, 2):
        assert not boxes[first].overlaps(boxes[second]), (first.get_text(), second.get_text())


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
    for axes in figure.axes:
        ticks = [tick for tick in axes.get_xticks() if axes.get_xlim()[0] <= tick <= axes.get_xlim()[1]]
        assert ticks and all(tick == round(tick) for tick in ticks)
        box, frame = axes.get_tightbbox(), figure.bbox
        assert frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1


def test_a_saved_figure_has_150_dots_an_inch_and_leaves_nothing_else_behind(tmp_path: Path) -> None:
    figure = confusion_matrix_figure(crowded_matrix(), CLASS_NAMES, "fold 3")
    path = save_figure(figure, tmp_path / "plots" / "confusion_matrix.png")
    assert os.listdir(tmp_path / "plots") == ["confusion_matrix.png"]
    height, width = imread(path).shape[:2]
    # The paper is trimmed to its ink, so the size is near the figure's and not exactly it.
    assert width == pytest.approx(150 * figure.get_figwidth(), rel=0.15)
    assert height == pytest.approx(150 * figure.get_figheight(), rel=0.25)


def test_a_write_that_fails_leaves_the_earlier_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = training_curves_figure(HISTORY, "a run")
    path = save_figure(figure, tmp_path / "curves.png")
    earlier = path.read_bytes()

    def disk_full(target: Path, **options: object) -> None:
        Path(target).write_bytes(b"half a figure")
        raise OSError("no space left on device")

    monkeypatch.setattr(figure, "savefig", disk_full)
    with pytest.raises(OSError, match="no space"):
        save_figure(figure, path)
    assert path.read_bytes() == earlier
    assert os.listdir(tmp_path) == ["curves.png"]


def test_what_cannot_be_drawn_is_refused_in_one_line(tmp_path: Path) -> None:
    figure = training_curves_figure(HISTORY, "a run")
    for mistake, message in (
        (lambda: confusion_matrix_figure([[1, 2]], ["a", "b"], ""), r"\(2, 2\)"),
        (lambda: confusion_matrix_figure([[1, 2], [3, 4]], ["a"], ""), r"not \(2, 2\)"),
        (lambda: training_curves_figure([], ""), "no rows"),
        (lambda: training_curves_figure([{"epoch": 1}], ""), "neither a loss nor an accuracy"),
        (lambda: save_figure(figure, tmp_path / "curves.wav"), "curves.wav"),
    ):
        with pytest.raises(QuaclrsError, match=message) as caught:
            mistake()
        assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_drawing_never_touches_pyplot() -> None:
    code = (
        "import sys; from quaclrs.evaluation.figures.plots import training_curves_figure as draw;"
        "draw([{'epoch': 1, 'train_loss': 1.0}], 't').canvas.draw(); print('matplotlib.pyplot' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert result.stdout.strip() == "False"
