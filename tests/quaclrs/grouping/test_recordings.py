"""Clips of one recording are grouped by their sound, whatever was done to them, and unrelated clips are not."""

from __future__ import annotations

import io
import os
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import scipy.fft
import scipy.signal
import soundfile
import soxr

from quaclrs.errors import QuaclrsError
from quaclrs.grouping import Grouping, GroupingConfig, group_recordings

RATE = 22050


def recording(seed: int, seconds: float = 3.0) -> np.ndarray:
    """Noise with a random slow envelope through a random resonance: broadband, and unlike that of any other seed."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(round(seconds * RATE))
    low, high = np.sort(rng.uniform(80, 1900, 2)) + np.array([0, 200])
    band = scipy.signal.butter(2, [low, high], "bandpass", fs=RATE, output="sos")
    envelope = np.interp(np.arange(len(noise)), np.linspace(0, len(noise), 20), rng.uniform(0.2, 1, 20))
    sound = (scipy.signal.sosfilt(band, noise) + 0.1 * noise) * envelope
    return (0.5 * sound / np.abs(sound).max()).astype(np.float32)


def encoded(waveform: np.ndarray, container: str, subtype: str, level: float) -> tuple[np.ndarray, int]:
    buffer = io.BytesIO()
    soundfile.write(buffer, waveform, RATE, format=container, subtype=subtype, compression_level=level)
    buffer.seek(0)
    return soundfile.read(buffer, dtype="float32")


def steady(frequency: float, seed: int, noise: float = 0.01) -> np.ndarray:
    rng = np.random.default_rng(seed)
    time = np.arange(3 * RATE) / RATE
    tone = np.sin(2 * np.pi * frequency * time + rng.uniform(0, 6)) + noise * rng.standard_normal(len(time))
    return (0.5 * tone).astype(np.float32)


@pytest.mark.parametrize(
    "copy",
    [
        pytest.param(lambda x: (x.copy(), RATE), id="exact"),
        pytest.param(lambda x: (0.003 * x, RATE), id="50 dB quieter"),
        pytest.param(lambda x: (-x, RATE), id="polarity turned"),
        pytest.param(lambda x: (x + np.float32(0.2), RATE), id="with an offset"),
        pytest.param(lambda x: (x[7777:], RATE), id="cut later"),
        pytest.param(lambda x: (np.concatenate([np.zeros(9001, np.float32), x])[: len(x)], RATE), id="delayed"),
        pytest.param(lambda x: (soxr.resample(x[1234:], RATE, 48000), 48000), id="resampled to 48 kHz"),
        pytest.param(lambda x: (soxr.resample(x[1234:], RATE, 8000), 8000), id="resampled to 8 kHz"),
        pytest.param(lambda x: encoded(x[555:], "OGG", "VORBIS", 0.9), id="Ogg Vorbis"),
        pytest.param(lambda x: encoded(x[555:], "MP3", "MPEG_LAYER_III", 0.8), id="MP3"),
    ],
)
def test_a_copy_joins_its_original_and_no_other(copy):
    originals = [recording(seed) for seed in range(6)]
    clips = [(x, RATE) for x in originals] + [copy(x) for x in originals]
    np.testing.assert_array_equal(group_recordings(clips).labels, [*range(6), *range(6)])


def test_overlapping_slices_join_at_their_lag_and_chains_are_one_group():
    whole = recording(1, seconds=7.0)
    starts = [0.0, 2.13, 3.9]  # 0.87 s and 1.23 s shared; the first and the last share nothing
    clips = [(whole[round(s * RATE) : round((s + 3) * RATE)], RATE) for s in starts]
    grouping = group_recordings([(recording(2), RATE), *clips])
    np.testing.assert_array_equal(grouping.labels, [0, 1, 1, 1])
    assert [(i, j) for i, j, _, _ in grouping.pairs] == [(1, 2), (2, 3)]
    for (_, _, correlation, lag), expected in zip(grouping.pairs, [-2.13, -1.77], strict=True):
        assert correlation == pytest.approx(1, abs=0.01)
        assert lag == pytest.approx(expected, abs=2e-4)


def test_slices_that_share_half_a_second_at_their_ends_join_and_less_is_not_promised():
    whole = recording(5, seconds=9.0)
    starts = [0.0, 2.4, 4.9, 7.2]  # 0.6 s, 0.5 s and, as the last lasts 1.8 s, 0.7 s are shared
    clips = [(whole[round(s * RATE) : round((s + 3) * RATE)], RATE) for s in starts]
    grouping = group_recordings([clips[2], (recording(6), RATE), clips[0], clips[3], clips[1]])
    np.testing.assert_array_equal(grouping.labels, [0, 1, 0, 0, 0])
    lags = {(i, j): lag for i, j, _, lag in grouping.pairs}
    assert lags == {
        (0, 3): pytest.approx(-2.3, abs=2e-4),
        (0, 4): pytest.approx(2.5, abs=2e-4),
        (2, 4): pytest.approx(-2.4, abs=2e-4),
    }


def test_a_slice_is_found_inside_a_longer_recording_in_either_order():
    whole = recording(3, seconds=8.0)
    part = whole[round(5.1 * RATE) : round(6.0 * RATE)]
    for clips, expected in (([whole, part], -5.1), ([part, whole], 5.1)):
        ((i, j, _, lag),) = group_recordings([(x, RATE) for x in clips]).pairs
        assert (i, j) == (0, 1)
        assert lag == pytest.approx(expected, abs=2e-4)


def test_a_shift_of_half_an_analysis_sample_does_not_hide_a_high_tone_band():
    # At 4 kHz, half a sample is 0.125 ms: at 1.7 kHz the correlation at whole lags would be cos(1.34) = 0.23.
    band = scipy.signal.butter(4, [1600, 1800], "bandpass", fs=RATE, output="sos")
    sound = scipy.signal.sosfilt(band, np.random.default_rng(0).standard_normal(4 * RATE)).astype(np.float32)
    fine = soxr.resample(sound, RATE, 96000)
    pair = [(fine[:288000], 96000), (fine[9612:297612], 96000)]  # 400.5 analysis samples later
    ((_, _, correlation, lag),) = group_recordings(pair).pairs
    assert correlation > 0.98
    assert lag == pytest.approx(-9612 / 96000, abs=5e-5)


def test_unrelated_noise_of_one_spectrum_stays_apart():
    rng = np.random.default_rng(0)
    for low, high in [(25, 60), (25, 250), (300, 1500)]:  # from rumble to a band as wide as a siren's sweep
        band = scipy.signal.butter(4, [low, high], "bandpass", fs=RATE, output="sos")
        noise = scipy.signal.sosfilt(band, rng.standard_normal((25, 3 * RATE))).astype(np.float32)
        assert len(set(group_recordings((x, RATE) for x in noise).labels)) == 25


def test_steady_tones_of_one_pitch_stay_apart_and_a_copy_of_one_is_found():
    tones = [steady(800, seed) for seed in range(4)] + [steady(800 + 0.3 * seed, seed) for seed in range(4, 8)]
    copies = [(0.2 * tones[0][3001:], RATE), (tones[5].copy(), RATE)]
    grouping = group_recordings([*((x, RATE) for x in tones), *copies])
    np.testing.assert_array_equal(grouping.labels, [0, 1, 2, 3, 4, 5, 6, 7, 0, 5])


def test_sweeps_of_different_speed_stay_apart():
    time = np.arange(3 * RATE) / RATE
    ends = [(500, 1500), (500, 1400), (1500, 500), (300, 1800)]
    linear = [scipy.signal.chirp(time, low, 3, high) for low, high in ends]
    wails = [np.sin(2 * np.pi * np.cumsum(1000 + 400 * np.sin(2 * np.pi * time / p)) / RATE) for p in (2.6, 3, 3.3, 4)]
    grouping = group_recordings((x.astype(np.float32), RATE) for x in [*linear, *wails])
    np.testing.assert_array_equal(grouping.labels, range(8))


def test_silent_clips_and_clicks_are_each_alone():
    clicks = [np.zeros(3 * RATE, dtype=np.float32) for _ in range(2)]
    clicks[0][9000], clicks[1][30000] = 0.9, 0.5
    silent = [np.zeros(3 * RATE, dtype=np.float32), np.zeros(3 * RATE, dtype=np.float32), np.zeros(0, dtype=np.float32)]
    grouping = group_recordings((x, RATE) for x in [*clicks, *silent])
    np.testing.assert_array_equal(grouping.labels, range(5))


def test_clips_shorter_than_a_template_are_compared_whole():
    sound = recording(7)
    clips = [sound, sound[20000:31000], recording(8, 0.5), recording(9, 0.1), recording(9, 0.1), recording(10, 0.1)]
    # 0.5 s of the first; one of its own; a tenth of a second is recognised only when it is exactly the same
    np.testing.assert_array_equal(group_recordings((x, RATE) for x in clips).labels, [0, 0, 1, 2, 2, 3])


def test_groups_are_numbered_in_order_of_first_appearance():
    a, b, c = recording(1), recording(2), recording(3)
    np.testing.assert_array_equal(group_recordings((x, RATE) for x in [c, a, c, b, a]).labels, [0, 1, 0, 2, 1])
    empty = group_recordings([])
    assert empty.labels.shape == (0,)
    assert empty.pairs == []


def test_mistakes_name_the_clip_or_the_parameter():
    good = (recording(1), RATE)
    with pytest.raises(QuaclrsError, match=r"clip 1 .* \(100, 2\)"):
        group_recordings([good, (np.zeros((100, 2), dtype=np.float32), RATE)])
    with pytest.raises(QuaclrsError, match="clip 0"):
        group_recordings([(np.array([0.0, np.nan], dtype=np.float32), RATE)])
    with pytest.raises(QuaclrsError, match="threshold"):
        GroupingConfig(threshold=1.5)
    with pytest.raises(QuaclrsError, match="shortest_template"):
        GroupingConfig(shortest_template=1.0)


# Real clips


@cache
def siren_clips(class_name: str) -> tuple[list[str], list[tuple[np.ndarray, int]]]:
    shared = Path(os.environ.get("QUACLRS_SHARED_DATA", Path(__file__).parents[4] / "shared" / "data"))
    paths = sorted((shared / "sireNNet" / class_name).glob("*.ogg"))
    if not paths:
        pytest.skip(f"NO REAL CLIPS in {shared / 'sireNNet' / class_name}: set QUACLRS_SHARED_DATA to the data folder")
    clips = []
    for path in paths:
        waveform, rate = soundfile.read(path, dtype="float32", always_2d=True)
        clips.append((waveform.mean(axis=1), rate))
    return [path.stem for path in paths], clips


@cache
def grouping_of(class_name: str) -> Grouping:
    return group_recordings(siren_clips(class_name)[1])


def highest_correlations(clips: list[tuple[np.ndarray, int]]) -> np.ndarray:
    """Highest normalised cross-correlation of every pair, (clips, clips), by direct correlation of 0.75 s templates."""
    window = 3000
    low = [soxr.resample(waveform, rate, 4000) for waveform, rate in clips]
    size = max(map(len, low))
    stacked = np.stack([np.pad(x, (0, size - len(x))) for x in low])
    sums = np.pad(np.cumsum(stacked.astype(np.float64) ** 2, axis=1), ((0, 0), (1, 0)))
    inside = np.arange(size - window + 1) <= np.array([[len(x) - window] for x in low])
    norms = np.where(inside, np.sqrt(np.maximum(sums[:, window:] - sums[:, :-window], 1e-9)), np.inf)
    norms = norms.astype(np.float32)
    length = scipy.fft.next_fast_len(size, real=True)
    spectra = scipy.fft.rfft(stacked, length)
    highest = np.eye(len(low))
    for i, x in enumerate(low):
        for start in range(0, len(x) - window + 1, window // 2):
            template = x[start : start + window]
            template = scipy.fft.rfft(template / max(float(np.linalg.norm(template)), 1e-9), length)
            for first in range(0, len(low), 16):  # so many that they stay in the cache
                rows = slice(first, first + 16)
                found = scipy.fft.irfft(spectra[rows] * template.conj(), length)[:, : norms.shape[1]]
                highest[i, rows] = np.maximum(highest[i, rows], (np.abs(found) / norms[rows]).max(axis=1))
    return np.maximum(highest, highest.T)


def correlation_at_lag(first: tuple[np.ndarray, int], second: tuple[np.ndarray, int], lag: float) -> float:
    """Correlation at 16 kHz of all that two clips share if the second plays at t + lag what the first plays at t."""
    x, y = (soxr.resample(waveform, rate, 16000) for waveform, rate in (first, second))
    near = round(lag * 16000)
    found = []
    for shift in range(near - 4, near + 5):
        x_part, y_part = x[max(-shift, 0) :], y[max(shift, 0) :]
        shared = min(len(x_part), len(y_part))
        x_part, y_part = x_part[:shared], y_part[:shared]
        found.append(abs(float(x_part @ y_part)) / float(np.linalg.norm(x_part) * np.linalg.norm(y_part)))
    return max(found)


def assert_same_groups(clips: list[tuple[np.ndarray, int]], grouping: Grouping, highest: np.ndarray) -> None:
    """Of the pairs above 0.9, 97 % are in one group; the pairs that made a group correlate well above chance."""
    together = grouping.labels[:, None] == grouping.labels
    above = np.triu(highest > 0.9, 1)
    assert together[above].sum() >= 0.97 * above.sum()
    # Direct correlation knows whole lags only, which costs it a little where the copy is off by half a sample, and
    # templates that are longer than what some slices share.
    assert all(
        highest[i, j] > 0.8 or correlation_at_lag(clips[i], clips[j], lag) > 0.8 for i, j, _, lag in grouping.pairs
    )


@pytest.mark.parametrize(("class_name", "fewest", "most"), [("ambulance", 116, 126), ("traffic", 43, 47)])
def test_real_near_duplicates_are_as_many_as_known(class_name, fewest, most):
    assert fewest <= grouping_of(class_name).labels.max() + 1 <= most


def test_real_firetruck_clips_hold_hardly_a_duplicate():
    _, clips = siren_clips("firetruck")
    assert grouping_of("firetruck").labels.max() + 1 >= len(clips) - 3


@pytest.mark.parametrize("class_name", ["ambulance", "traffic"])
def test_a_subset_of_real_clips_is_grouped_as_direct_correlation_says(class_name):
    _, clips = siren_clips(class_name)
    subset = [clips[i] for i in np.random.default_rng(0).choice(len(clips), 32, replace=False)]
    highest = highest_correlations(subset)
    assert np.triu(highest > 0.9, 1).any()
    assert_same_groups(subset, group_recordings(subset), highest)


@pytest.mark.parametrize(
    "class_name",
    [
        pytest.param("police", marks=pytest.mark.slow),
        *(pytest.param(name, marks=pytest.mark.weekly) for name in ("ambulance", "firetruck", "traffic")),
    ],
)
def test_all_real_clips_are_grouped_as_direct_correlation_says(class_name):
    _, clips = siren_clips(class_name)
    assert_same_groups(clips, grouping_of(class_name), highest_correlations(clips))


def test_real_police_recordings_do_not_merge():
    names, _ = siren_clips("police")
    recordings = np.array([re.sub(r"_\d+$", "", name) for name in names])
    labels = grouping_of("police").labels
    assert len(set(recordings)) == 11
    for label in set(labels):
        assert len(set(recordings[labels == label])) == 1


def test_real_clips_of_two_classes_do_not_merge():
    counts = {name: siren_clips(name)[1][:40] for name in ("ambulance", "firetruck", "traffic")}
    grouping = group_recordings(clip for clips in counts.values() for clip in clips)
    assert all(i // 40 == j // 40 for i, j, _, _ in grouping.pairs)
