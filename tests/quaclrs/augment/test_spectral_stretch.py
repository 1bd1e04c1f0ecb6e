"""Stretch and shift on the spectrum against librosa on the waveform, on tones and on real clips."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import soundfile
import soxr
import torch
from librosa_log_mel import librosa_log_mel

from quaclrs.augment import AugmentedLogMel, Draws, Policy
from quaclrs.augment.spectral_stretch import Equalizer, shifted_filterbanks
from quaclrs.errors import QuaclrsError
from quaclrs.models import LogMelConfig, LogMelSpectrogram

RATE = 48_000


def log_mel_of(clip: np.ndarray, config: LogMelConfig | None = None, **augmentations) -> np.ndarray:
    policy = Policy({name: dict(options) for name, options in augmentations.items()})
    front_end = AugmentedLogMel(policy, LogMelSpectrogram(config))
    return front_end(torch.from_numpy(clip)[None], [len(clip)], Draws([0]))[0].numpy()


def tone(hertz: float, seconds: float = 4.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def band_of(hertz: float) -> int:
    return int(np.argmin(np.abs(librosa.mel_frequencies(130, fmin=20, fmax=8000)[1:-1] - hertz)))


WAYS = {
    "time_stretch_0.8": ({"time_stretch": {"rate": 0.8}}, lambda y: librosa.effects.time_stretch(y, rate=0.8)),
    "time_stretch_1.2": ({"time_stretch": {"rate": 1.2}}, lambda y: librosa.effects.time_stretch(y, rate=1.2)),
    "pitch_shift_-2": (
        {"pitch_shift": {"semitones": -2}},
        lambda y: librosa.effects.pitch_shift(y, sr=RATE, n_steps=-2),
    ),
    "pitch_shift_2": ({"pitch_shift": {"semitones": 2}}, lambda y: librosa.effects.pitch_shift(y, sr=RATE, n_steps=2)),
}


@pytest.mark.parametrize("name", WAYS)
def test_on_real_clips_the_log_mel_lies_a_median_of_at_most_3_db_from_librosas(shared_data, name):
    augmentations, by_librosa = WAYS[name]
    urban = sorted((shared_data / "UrbanSound8K" / "audio" / "fold2").iterdir())[::60]
    sirens = sorted((shared_data / "sireNNet").glob("*/*.ogg"))[::60]
    differences = []
    for file in [*urban, *sirens]:
        samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
        clip = soxr.resample(samples.mean(1), rate, RATE)
        if len(clip) < 2048:
            continue
        expected, made = librosa_log_mel(by_librosa(clip)), log_mel_of(clip, **augmentations)
        differences.append(80 * np.abs(made - expected)[(made > 0) | (expected > 0)])
    assert len(differences) > 15
    assert np.median(np.concatenate(differences)) <= 3
    assert np.median([np.median(of_clip) for of_clip in differences]) <= 3


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("seconds", [0.5, 3.0, 4.0])
def test_reference_is_librosa_on_the_clip_at_its_true_length(name, seconds):
    augmentations, by_librosa = WAYS[name]
    clip = (0.2 * np.random.default_rng(0).standard_normal(round(seconds * RATE))).astype(np.float32)
    options = {key: {**values, "implementation": "reference"} for key, values in augmentations.items()}
    np.testing.assert_allclose(log_mel_of(clip, **options), librosa_log_mel(by_librosa(clip)), atol=1e-4)


@pytest.mark.parametrize("semitones", [-7, -2, 0.5, 2, 7])
def test_a_shifted_tone_is_loudest_where_its_new_frequency_lies(semitones):
    for hertz in (300, 1000, 3000):
        made = log_mel_of(tone(hertz), pitch_shift={"semitones": semitones})
        assert abs(int(made[:, 100:200].mean(1).argmax()) - band_of(hertz * 2 ** (semitones / 12))) <= 1


def test_what_lies_above_the_highest_band_is_heard_when_it_is_shifted_down():
    made = log_mel_of(tone(8_500), pitch_shift={"semitones": -2})
    assert abs(int(made[:, 100:200].mean(1).argmax()) - band_of(8_500 * 2 ** (-2 / 12))) <= 1


@pytest.mark.parametrize("rate", [0.5, 0.8, 1.2, 2.0])
def test_a_click_moves_to_its_stretched_time(rate):
    clip = np.zeros(2 * RATE, dtype=np.float32)
    clip[RATE] = 1.0  # after one second
    made = log_mel_of(clip, time_stretch={"rate": rate})
    centre = np.average(np.arange(376), weights=made.mean(0))
    start = max(0, round(2 * RATE / rate) - 4 * RATE) / 2
    assert centre == pytest.approx((RATE / rate - start) / 512, abs=1.0)


@pytest.mark.parametrize("rate", [0.8, 1.25])
def test_a_stretched_clip_ends_at_its_new_length_and_silence_follows(rate):
    made = log_mel_of(tone(1000, seconds=2.0), time_stretch={"rate": rate})
    last = np.flatnonzero(made.max(0) > 0)[-1]
    assert last == pytest.approx(2.0 * RATE / rate / 512, abs=3)
    assert not made[:, last + 1 :].any()


def test_a_stretched_clip_that_is_repeated_has_its_new_period():
    clip = np.zeros(RATE, dtype=np.float32)
    clip[RATE // 2] = 1.0  # one click a second
    config = LogMelConfig(pad_mode="repeat")
    made = log_mel_of(clip, config, time_stretch={"rate": 0.8}).mean(0)
    clicks = [i for i in range(1, 375) if made[i] > 0.5 * made.max() and made[i] >= max(made[i - 1], made[i + 1])]
    distances = np.diff(np.array(clicks)[np.diff(clicks, prepend=-10) > 20])
    assert len(distances) >= 2
    assert distances == pytest.approx(RATE / 0.8 / 512, abs=2)


def test_no_stretch_and_no_shift_is_the_front_end_itself():
    clip = (0.2 * np.random.default_rng(1).standard_normal(3 * RATE)).astype(np.float32)
    plain = log_mel_of(clip)
    np.testing.assert_array_equal(log_mel_of(clip, time_stretch={"rate": 1.0}, pitch_shift={"semitones": 0}), plain)
    front_end = LogMelSpectrogram()
    bank = shifted_filterbanks(front_end, np.array([1.0]))[0]
    torch.testing.assert_close(bank[: len(front_end.filterbank)], front_end.filterbank, atol=1e-7, rtol=0)
    assert not bank[len(front_end.filterbank) :].any()


def test_the_equaliser_weighs_power_by_its_decibels_straight_between_knots():
    mel = torch.rand(3, 9, 5) + 1
    equalizer, draws = Equalizer(decibels=(-6, 6), n_knots=3), Draws(range(3), seed=2)
    gains = 10 * (equalizer(mel, draws) / mel).log10()
    knots = torch.from_numpy(draws.uniform("equalizer.decibels", -6, 6, size=(3,))).float()
    torch.testing.assert_close(gains[:, [0, 4, 8], 0], knots, atol=1e-4, rtol=0)
    torch.testing.assert_close(gains[:, 2, 3], (knots[:, 0] + knots[:, 1]) / 2, atol=1e-4, rtol=0)
    assert equalizer.decibels == (-6, 6)


def test_an_unknown_implementation_is_refused():
    with pytest.raises(QuaclrsError, match="time_stretch implementation"):
        log_mel_of(tone(100, 0.1), time_stretch={"implementation": "torchaudio"})
