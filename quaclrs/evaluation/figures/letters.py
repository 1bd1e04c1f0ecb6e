"""Fonts for letters that matplotlib's own lacks, as labels in Chinese, Japanese or Korean have."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, fontManager, get_font
from matplotlib.text import Text

from quaclrs.errors import QuaclrsWarning

#: Letters that a warning names at most.
_NAMED = 12


@contextmanager
def all_letters(figure: Figure) -> Iterator[None]:
    """Draw the figure in this block with installed fonts that have its letters.

    One `QuaclrsWarning` names the letters that none has, in place of a warning of matplotlib for each.
    """
    texts = _texts_of(figure)
    lacking = {letter for text in texts for letter in _lacking(findfont(text.get_fontproperties()), text.get_text())}
    if not lacking:
        yield
        return
    fonts, nowhere = _fonts_with(lacking)
    for text in texts:
        text.set_fontfamily([*text.get_fontfamily(), *fonts])
    if nowhere:
        named = "".join(sorted(nowhere)[:_NAMED]) + (" …" if len(nowhere) > _NAMED else "")
        told = f"no installed font has the letters {named}; pictures show boxes in their place: install one that does"
        warnings.warn(told, QuaclrsWarning, stacklevel=3)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+", UserWarning)
        yield


def _texts_of(figure: Figure) -> list[Text]:
    for axis in figure.findobj(Axis):
        axis.get_ticklabels(which="both")  # which are made when they are asked for
    return [found for found in figure.findobj(Text) if isinstance(found, Text)]


def _lacking(font: str, letters: str) -> set[str]:
    """Letters, ASCII apart, that are not in a font's file; all where it cannot be opened."""
    wanted = {letter for letter in letters if not letter.isascii() and letter.isprintable()}
    if not wanted:
        return wanted
    try:
        opened = get_font(font)
    except (OSError, RuntimeError):
        return wanted
    return {letter for letter in wanted if not opened.get_char_index(ord(letter))}


def _fonts_with(letters: set[str]) -> tuple[list[str], set[str]]:
    """Names of installed fonts that have some of the letters, and the letters that none has."""
    names: list[str] = []
    left = set(letters)
    for entry in fontManager.ttflist:
        if not left or entry.name.startswith("Last Resort"):  # which has a box for every letter
            continue
        if (without := _lacking(entry.fname, "".join(left))) != left:
            names.append(entry.name)
            left = without
    return names, left
