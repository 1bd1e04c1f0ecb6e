"""Saved figures are whole, sharp enough for print, and drawn without pyplot."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from quaclrs.errors import QuaclrsError
from quaclrs.evaluation.figures.confusion_matrix import confusion_matrix_figure
from quaclrs.evaluation.figures.style import empty_figure, save_figure
from quaclrs.labels import CLASS_NAMES


def test_a_saved_figure_has_150_dots_an_inch_and_leaves_nothing_else_behind(tmp_path: Path) -> None:
    figure = confusion_matrix_figure(np.eye(13, dtype=int), CLASS_NAMES, "fold 3")
    path = save_figure(figure, tmp_path / "plots" / "confusion_matrix.png")
    assert os.listdir(tmp_path / "plots") == ["confusion_matrix.png"]
    height, width = imread(path).shape[:2]
    # The paper is trimmed to its ink, so the size is near the figure's and not exactly it.
    assert width == pytest.approx(150 * figure.get_figwidth(), rel=0.15)
    assert height == pytest.approx(150 * figure.get_figheight(), rel=0.25)


def test_a_write_that_fails_leaves_the_earlier_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = empty_figure(4, 3)
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


def test_drawing_never_touches_pyplot() -> None:
    code = (
        "import sys; from quaclrs.evaluation.figures.training_curves import training_curves_figure as draw;"
        "draw([{'epoch': 1, 'train_loss': 1.0}], 't').canvas.draw(); print('matplotlib.pyplot' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert result.stdout.strip() == "False"


def test_a_suffix_that_no_figure_has_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(QuaclrsError, match=r"curves\.wav") as caught:
        save_figure(empty_figure(4, 3), tmp_path / "curves.wav")
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == []
