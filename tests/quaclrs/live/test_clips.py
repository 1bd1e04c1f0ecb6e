"""Clips of chosen labels, against slices of the stream."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest
import soundfile
from listener_of_loudness import RATE, ListenerOfLoudness, square_wave

from quaclrs.live import Listener, ListeningOptions
from quaclrs.live.clips import ClipRecorder
from quaclrs.live.listening import LiveLabel

NOW = datetime(2023, 4, 15, 6, 30)


def record(sound: np.ndarray, folder, **options) -> None:
    listener = Listener(ListenerOfLoudness(), RATE, ListeningOptions(window=1.0))
    clips = ClipRecorder(folder, RATE, **options)
    for first in range(0, len(sound), 800):
        block = sound[first : first + 800]
        clips.hear(block)
        for answer in listener(block):
            clips.answer(answer, NOW)
    clips.close()


def test_a_clip_holds_the_sound_with_a_second_before_and_after(tmp_path):
    sound = square_wave((6.0, 0.05), (6.0, 0.5), (6.0, 0.05)) * np.random.default_rng(0).uniform(0.5, 1, 18 * RATE)
    record(sound.astype(np.float32), tmp_path, labels=["loud"])
    (file,) = tmp_path.iterdir()
    assert file.name == "20230415_063000_loud.wav"
    clip, rate = soundfile.read(file)
    assert rate == RATE
    # It takes over at 7 s and began at 6.5 s; quiet takes over at 13 s and began at 12 s.
    np.testing.assert_allclose(clip, sound[round(5.5 * RATE) : 13 * RATE], atol=1 / 32768)


def test_a_sound_at_the_edges_of_the_stream_and_a_second_one_have_clips_of_their_own(tmp_path):
    record(square_wave((3.0, 0.5), (5.0, 0.05), (3.0, 0.5)), tmp_path, labels=["loud"])
    lengths = sorted(soundfile.info(file).duration for file in tmp_path.iterdir())
    assert lengths == pytest.approx([3 - 0.5 + 1, 3 + 0.5 + 1], abs=0.51)
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == ["20230415_063000_loud.wav", "20230415_063000_loud_2.wav"]


def test_a_sound_that_does_not_end_is_cut_into_clips_that_follow_each_other(tmp_path):
    sound = (square_wave((25.0, 0.5)) * np.linspace(0.5, 1, 25 * RATE)).astype(np.float32)
    record(sound, tmp_path, labels=["loud"], longest=10.0)
    names = [f"20230415_063000_loud{number}.wav" for number in ("", "_2", "_3")]
    parts = [soundfile.read(tmp_path / name)[0] for name in names]
    np.testing.assert_allclose(np.concatenate(parts), sound, atol=1 / 32768)


def test_other_sounds_are_not_kept(tmp_path):
    record(square_wave((3.0, 0.5), (3.0, 0.05)), tmp_path, labels=["siren"])
    assert list(tmp_path.iterdir()) == []


def test_a_label_that_no_file_can_be_called_has_clips_too(tmp_path):
    clips = ClipRecorder(tmp_path, RATE)
    clips.hear(np.full(RATE, 0.1, dtype=np.float32))
    clips.answer(LiveLabel(1.0, "car/truck: far?", 0.9, -20.0, begins=0.0), NOW)
    clips.close()
    assert [file.name for file in tmp_path.iterdir()] == ["20230415_063000_car_truck_ far_.wav"]
