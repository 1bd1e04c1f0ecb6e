"""The confusion matrix shows the numbers it was given, and nothing in it is cut off or overlaps."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from quaclrs.errors import QuaclrsError
from quaclrs.evaluation.figures.confusion_matrix import confusion_matrix_figure
from quaclrs.labels import CLASS_NAMES


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


def test_a_matrix_that_does_not_fit_the_classes_is_refused_in_one_line() -> None:
    for matrix, names, message in (([[1, 2]], ["a", "b"], r"\(2, 2\)"), ([[1, 2], [3, 4]], ["a"], r"not \(2, 2\)")):
        with pytest.raises(QuaclrsError, match=message) as caught:
            confusion_matrix_figure(matrix, names, "")
        assert "\n" not in str(caught.value)
