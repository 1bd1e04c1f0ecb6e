"""Labels whose letters matplotlib's own font lacks."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from matplotlib.text import Text

from quaclrs.errors import QuaclrsWarning
from quaclrs.evaluation.figures import letters
from quaclrs.evaluation.figures.confusion_matrix import confusion_matrix_figure
from quaclrs.evaluation.figures.style import empty_figure, save_figure

FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"


def font(file: str, name: str) -> SimpleNamespace:
    return SimpleNamespace(fname=str(FONTS / file), name=name)


def installed(monkeypatch: pytest.MonkeyPatch, *fonts: SimpleNamespace) -> None:
    monkeypatch.setattr(letters, "fontManager", SimpleNamespace(ttflist=list(fonts)))


def test_letters_that_no_font_has_are_named_in_one_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, font("DejaVuSans.ttf", "DejaVu Sans"))
    figure = confusion_matrix_figure(np.eye(2, dtype=int), ["狗叫", "drill"], "fold 3")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        save_figure(figure, tmp_path / "matrix.png")
    assert [warning.category for warning in told] == [QuaclrsWarning]
    assert str(told[0].message).startswith("no installed font has the letters 叫狗; ")


def test_letters_are_drawn_by_an_installed_font_that_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, font("cmr10.ttf", "cmr10"), font("STIXGeneral.ttf", "STIXGeneral"))
    figure = empty_figure(2, 2)
    title = figure.suptitle("\U0001d504")  # a Fraktur A, of STIX and not of DejaVu Sans
    assert letters._lacking(str(FONTS / "DejaVuSans.ttf"), title.get_text())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_figure(figure, tmp_path / "title.png")
    assert title.get_fontfamily()[-1] == "STIXGeneral"


def test_other_labels_keep_their_font(tmp_path: Path) -> None:
    figure = confusion_matrix_figure(np.eye(2, dtype=int), ["Straßenmusik", "сирена"], "fold 3")
    before = {text: text.get_fontfamily() for text in figure.findobj(Text)}
    save_figure(figure, tmp_path / "matrix.png")
    assert {text: text.get_fontfamily() for text in before} == before
