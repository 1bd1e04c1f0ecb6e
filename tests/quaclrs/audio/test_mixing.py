"""Channels to one: the mean, the louder of channels that cancel, or the one that is asked for."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.signal import butter, sosfilt

from quaclrs.audio import AudioError, AudioWarning, Recording
from quaclrs.models.waveforms import WaveformError, channel_number, mono_at

RATE = 16_000


def noise(seed: int, seconds: float = 4.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * RATE)).astype(np.float32)


def mono(*channels: np.ndarray, channel=None) -> np.ndarray:
    return Recording(np.stack(channels).astype(np.float32), RATE, "street.wav").mono(RATE, channel)


def other_sign_in_a_band(sound: np.ndarray) -> np.ndarray:
    """The sound with opposite sign from 1 to 2 kHz, by a filter that shifts no phase."""
    spectrum = np.fft.rfft(sound)
    frequency = np.fft.rfftfreq(len(sound), 1 / RATE)
    spectrum[(frequency >= 1000) & (frequency < 2000)] *= -1
    return np.fft.irfft(spectrum, len(sound))


def other_sign_for_a_second(sound: np.ndarray) -> np.ndarray:
    return np.concatenate([sound[:RATE], -sound[RATE : 2 * RATE + 2048], sound[2 * RATE + 2048 :]])


@pytest.mark.parametrize(
    "other",
    [
        lambda sound: -sound,
        lambda sound: -0.9 * sound,
        lambda sound: -sound + 0.01 * noise(9),
        lambda sound: -np.round(sound * 32768) / 32768,
        other_sign_in_a_band,
        other_sign_for_a_second,
    ],
    ids=["exactly", "quieter", "with noise", "rounded", "in a band", "for a second"],
)
def test_of_channels_that_cancel_the_louder_is_heard_with_a_warning(other) -> None:
    sound = noise(0)
    louder = 1.1 * sound
    with pytest.warns(AudioWarning, match=r"street\.wav: its channels cancel .* channel 2, the louder") as warning:
        heard = mono(other(sound), louder)
    np.testing.assert_array_equal(heard, louder.astype(np.float32))
    assert len(warning) == 1 and "\n" not in str(warning[0].message)


@pytest.mark.parametrize(
    "other",
    [
        lambda sound: sound,
        lambda sound: 0.01 * sound,
        lambda sound: 0 * sound,
        lambda sound: noise(1),
        lambda sound: -0.5 * sound,  # only its level changes
        lambda sound: np.roll(sound, 30),
        lambda sound: sosfilt(butter(2, 3000, "low", fs=RATE, output="sos"), sound),
    ],
    ids=["equal", "faint", "absent", "unlike", "half inverted", "late", "muffled"],
)
def test_channels_that_do_not_cancel_become_their_mean_bit_for_bit(other) -> None:
    channels = np.stack([noise(0), other(noise(0))]).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(mono(*channels), channels.mean(axis=0, dtype=np.float32))


def test_silence_and_rounding_do_not_cancel() -> None:
    faint = np.where(noise(0) > 0, 1, -1) * 2.0**-16
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not mono(0 * faint, 0 * faint).any()
        mono(faint, -faint)


def test_stereo_recordings_as_they_occur_become_their_mean_bit_for_bit(shared_data) -> None:
    from quaclrs.audio import read_recording

    files = sorted((shared_data / "formats").glob("*.wav"))
    files += sorted((shared_data / "sireNNet" / "ambulance").glob("*.ogg"))[::12]
    recordings = [read_recording(file) for file in files]
    stereo = [recording for recording in recordings if len(recording.waveform) == 2]
    assert len(stereo) > 20
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for recording in stereo:
            wanted = recording.waveform.mean(axis=0, dtype=np.float32)
            np.testing.assert_array_equal(recording.mono(recording.sampling_rate), wanted)


@pytest.mark.parametrize(
    ("channel", "place"), [(1, 0), ("1", 0), ("left", 0), (2, 1), ("right", 1), ("3", 2), ("mean", None)]
)
def test_a_channel_that_is_asked_for_is_heard_whether_or_not_channels_cancel(channel, place) -> None:
    channels = np.stack([noise(0), -noise(0), noise(2)])
    wanted = channels.mean(axis=0, dtype=np.float32) if place is None else channels[place]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(mono(*channels, channel=channel), wanted)
        np.testing.assert_array_equal(mono_at(channels, RATE, RATE, channel), wanted)


def test_a_mono_recording_is_both_sides_and_has_no_second_channel() -> None:
    np.testing.assert_array_equal(mono(noise(0), channel="right"), noise(0))
    with pytest.raises(AudioError, match=r"street\.wav: channel 2 does not exist among 1"):
        mono(noise(0), channel=2)


@pytest.mark.parametrize("channel", [0, -1, "0", "side", 1.5, "²"])
def test_what_names_no_channel_is_refused(channel) -> None:
    with pytest.raises(WaveformError, match="neither a number from 1 nor left, right or mean"):
        channel_number(channel, 2)


@pytest.mark.parametrize("rate", [1, 50, 8_000, 192_000, 2_000_000_000])
@pytest.mark.parametrize("samples", [1, 100, 2048, 5000])
def test_any_rate_and_length_is_mixed(rate: int, samples: int) -> None:
    channels = np.stack([noise(0)[:samples], noise(1)[:samples]])
    heard = Recording(channels, rate).mono(rate)
    assert heard.shape == (samples,) and np.isfinite(heard).all()
