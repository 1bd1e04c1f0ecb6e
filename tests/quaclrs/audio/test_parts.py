"""Seconds of a file alone are those of the whole file, however long it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from quaclrs.audio import read_mono, read_part


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3"])
def test_a_part_is_that_of_the_whole_and_ends_with_the_file(ending: str, tmp_path: Path) -> None:
    file = tmp_path / f"sound.{ending}"
    soundfile.write(file, np.random.default_rng(0).normal(0, 0.1, (90_000, 2)), 22_050)
    whole = soundfile.read(file, dtype="float32")[0].mean(axis=1)

    for start, end in ((0.0, 1.0), (1.3, 2.9), (3.5, 60.0), (60.0, 61.0)):
        part = read_part(file, start, end)
        expected = whole[round(start * 22_050) : round(end * 22_050)]
        assert part.waveform.shape == (1, len(expected))
        # An MP3's frames overlap, so a decoder that begins amid them is off by a little at first.
        np.testing.assert_allclose(part.waveform[0], expected, atol=1e-6 if ending != "mp3" else 1e-3)


def test_a_part_is_heard_of_a_file_that_is_too_long_to_be_held(tmp_path: Path, monkeypatch) -> None:
    sound = np.random.default_rng(0).normal(0, 0.1, 40_000)
    soundfile.write(tmp_path / "long.wav", sound, 8000, subtype="FLOAT")
    monkeypatch.setattr("quaclrs.audio.recording.MOST_SAMPLES", 10_000)

    with pytest.raises(ValueError, match=r"long\.wav"):
        read_mono(tmp_path / "long.wav")
    np.testing.assert_allclose(read_part(tmp_path / "long.wav", 3, 4).waveform[0], sound[24_000:32_000], atol=1e-6)
