"""The parts of the page, one by one: what fails in one leaves the others whole and says why it is empty."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

RATE = 48_000


@pytest.fixture
def analysis(monkeypatch):
    """The module that works for the page, which the Space imports from its own folder."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "spaces"))
    import analysis

    return analysis


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> str:
    """Two seconds of noise, eight of nothing, two of noise."""
    file = tmp_path_factory.mktemp("panels") / "silent_middle.wav"
    noise = np.random.default_rng(0).normal(0, 0.1, 2 * RATE)
    soundfile.write(file, np.concatenate([noise, np.zeros(8 * RATE), noise]), RATE)
    return str(file)


PARTS = {"heard": "label_sound", "sound": "draw_sound", "explanation": "draw_explanation", "moments": "list_moments"}


def test_silence_that_cannot_be_explained_leaves_answer_picture_and_timeline(analysis, sound):
    page = analysis.analyse_sound(analysis.OWN_MODEL, sound, None)
    assert page.explanation.content is None
    assert page.explanation.why_empty.startswith("from 4.0 to 8.0 s, its middle, the sound is silent")
    heard = page.heard.content
    assert (heard.seconds, heard.duration) == (8, 12) and heard.ranking()[0]["label"] != "silence"
    assert len(page.sound.content.axes) == 3
    assert "in the middle of 12 s" in page.sound.content.axes[1].get_xlabel()
    assert {"silence"} < {moment.segment.label for moment in page.moments.content}


@pytest.mark.parametrize("failing", PARTS)
def test_whatever_fails_in_one_part_is_one_line_there_and_nothing_elsewhere(failing, analysis, monkeypatch):
    def fail(*_):
        raise RuntimeError("secret of the server\nand more")

    monkeypatch.setattr(analysis, "check_sound", lambda file: 0.0)
    monkeypatch.setattr(analysis, "read_middle", lambda model, file: None)
    for part, function in PARTS.items():
        monkeypatch.setattr(analysis, function, fail if part == failing else lambda *_, part=part: part)
    page = analysis.analyse_sound(analysis.OWN_MODEL, "street.wav", None)
    assert {part: getattr(page, part).content for part in PARTS} == {**{p: p for p in PARTS}, failing: None}
    said = {part: getattr(page, part).why_empty for part in PARTS}
    assert said == {**dict.fromkeys(PARTS, ""), failing: "this part failed; the others do not depend on it"}


def test_words_stand_where_a_picture_would(analysis):
    (text,) = analysis.draw_words("nothing to explain").texts
    assert text.get_text() == "nothing to explain"
