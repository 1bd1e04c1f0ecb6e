"""Decoding, mixing, resampling and encoding, against soundfile, the Fourier transform and numpy."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quaclrs.audio import AudioError, encode_flac, load_audio, read_recording

RATE = 48_000


def tone(frequency: float, rate: int, seconds: float = 1.0, level: float = 0.5) -> np.ndarray:
    return level * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def test_every_encoding_that_occurs_decodes_with_the_length_rate_and_channels_its_header_states(
    shared_data: Path,
) -> None:
    files = sorted((shared_data / "formats").glob("*.wav"))
    assert len(files) == 18
    for file in files:
        header = soundfile.info(file)
        recording = read_recording(file)
        assert recording.waveform.dtype == np.float32, file.name
        assert recording.waveform.shape == (header.channels, header.frames), file.name
        assert recording.sampling_rate == header.samplerate, file.name
        assert recording.duration == pytest.approx(header.duration), file.name
        assert 0 < np.abs(recording.waveform).max() <= 1.5, file.name  # 24-bit and 8-bit alike are scaled to full scale


def test_every_encoding_that_occurs_is_resampled_to_its_own_length_in_seconds(shared_data: Path) -> None:
    files = sorted((shared_data / "formats").glob("*.wav"))
    assert files
    for file in files:
        header = soundfile.info(file)
        waveform = load_audio(file, RATE)
        assert waveform.dtype == np.float32, file.name
        assert waveform.ndim == 1, file.name
        assert abs(len(waveform) - header.frames * RATE / header.samplerate) <= 1, file.name
        assert np.isfinite(waveform).all(), file.name


def test_stereo_becomes_the_mean_of_its_channels(tmp_path: Path) -> None:
    left, right = tone(300, RATE, 0.1), tone(700, RATE, 0.1, level=0.2)
    soundfile.write(tmp_path / "stereo.wav", np.stack([left, right], axis=1), RATE, subtype="FLOAT")

    np.testing.assert_allclose(load_audio(tmp_path / "stereo.wav", RATE), (left + right) / 2, atol=1e-6)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000, 96_000, 192_000])
def test_a_tone_keeps_its_frequency_and_level_at_any_sampling_rate(rate: int, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "tone.wav", tone(1_000, rate), rate, subtype="PCM_24")

    waveform = load_audio(tmp_path / "tone.wav", RATE)

    assert abs(len(waveform) - RATE) <= 1
    middle = waveform[12_000:36_000]  # away from the ends, and 500 whole periods: 1 kHz is bin 500 exactly
    window = np.hanning(len(middle) + 1)[:-1]
    level = 2 * np.abs(np.fft.rfft(middle * window)) / window.sum()
    assert level.argmax() * RATE / len(middle) == 1_000
    assert level.max() == pytest.approx(0.5, rel=1e-3)
    level[495:506] = 0
    assert level.max() < 1e-4  # nothing else: no image, no alias


@pytest.mark.parametrize("frames", [1, 2, 3, 5])
def test_a_recording_of_a_few_samples_never_vanishes_in_resampling(frames: int, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "click.wav", np.full(frames, 0.25), 192_000, subtype="FLOAT")

    waveform = load_audio(tmp_path / "click.wav", 8_000)

    assert waveform.size >= 1
    assert np.isfinite(waveform).all()


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3", "aiff"])
def test_bytes_and_path_of_one_file_decode_alike(ending: str, tmp_path: Path) -> None:
    file = tmp_path / f"tone.{ending}"
    soundfile.write(file, tone(1_000, 44_100), 44_100)

    expected, _ = soundfile.read(file, dtype="float32")
    for source in (file, str(file), file.read_bytes()):
        np.testing.assert_array_equal(read_recording(source).waveform[0], expected)


def test_an_unreadable_file_is_one_line_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "nothing.wav").write_bytes(b"")
    (tmp_path / "headless.raw").write_bytes(bytes(range(256)))
    soundfile.write(tmp_path / "header.wav", np.zeros(0), RATE)
    (tmp_path / "folder.wav").mkdir()
    reason = {
        "absent.wav": "does not exist",
        "folder.wav": "folder",
        "nothing.wav": "0 bytes",
        "headless.raw": "cannot be decoded",
        "header.wav": "no samples",
    }
    for name, words in reason.items():
        with pytest.raises(AudioError) as error:
            load_audio(tmp_path / name, RATE)
        assert isinstance(error.value, ValueError)
        assert str(tmp_path / name) in str(error.value), name
        assert words in str(error.value), name
        assert "\n" not in str(error.value), name


def test_unreadable_bytes_are_named_as_the_caller_names_them() -> None:
    for content in (b"", b"these are notes, not sound"):
        with pytest.raises(AudioError, match="clip 7 of fold 3"):
            read_recording(content, name="clip 7 of fold 3")
        with pytest.raises(AudioError, match="the file in memory"):
            read_recording(content)


def test_flac_holds_a_waveform_to_within_16_bit_rounding() -> None:
    waveform = np.random.default_rng(0).uniform(-1, 1, 20_000).astype(np.float32)

    encoded = encode_flac(waveform, 44_100)

    header = soundfile.info(io.BytesIO(encoded))
    assert (header.format, header.subtype, header.samplerate, header.channels) == ("FLAC", "PCM_16", 44_100, 1)
    decoded, _ = soundfile.read(io.BytesIO(encoded), dtype="float32")
    # Half a step of rounding, and full scale is 32767 of 32768 steps.
    np.testing.assert_allclose(decoded, waveform, atol=1.5 / 32_768)


@pytest.mark.parametrize("peak", [1.01, 3.0, 50.0])
def test_a_waveform_over_full_scale_is_scaled_down_and_not_clipped(peak: float) -> None:
    waveform = tone(440, RATE, 0.2, level=peak)

    decoded, _ = soundfile.read(io.BytesIO(encode_flac(waveform, RATE)), dtype="float32")

    np.testing.assert_allclose(decoded, waveform / np.abs(waveform).max(), atol=1.5 / 32_768)


def test_the_middle_of_a_long_file_is_read_alone_and_is_that_of_the_whole(tmp_path: Path) -> None:
    sound = np.random.default_rng(0).normal(0, 0.1, (30 * RATE + 1, 2)).astype(np.float32)
    soundfile.write(tmp_path / "long.wav", sound, RATE, subtype="FLOAT")

    recording = read_recording(tmp_path / "long.wav", longest=5.0)

    assert recording.waveform.shape == (2, 5 * RATE + 1)  # one sample more keeps the middle where it is
    start = (len(sound) - recording.waveform.shape[1]) // 2
    np.testing.assert_array_equal(recording.waveform.T, sound[start : start + recording.waveform.shape[1]])
    assert read_recording(tmp_path / "long.wav", longest=60.0).waveform.shape == (2, len(sound))


def test_the_middle_of_a_file_that_cannot_be_searched_is_found_by_reading_it(tmp_path: Path) -> None:
    rate = 8_000
    sound = (0.3 * np.sin(2 * np.pi * 200 * np.arange(20 * rate) / rate)).astype(np.float32)
    sound[: 8 * rate] = sound[12 * rate :] = 0  # the middle 4 s hold the tone
    soundfile.write(tmp_path / "phone.wav", sound, rate, subtype="GSM610")

    recording = read_recording(tmp_path / "phone.wav", longest=4.0)

    assert recording.duration == pytest.approx(4.0, abs=0.05)
    assert np.sqrt(np.mean(recording.waveform**2)) == pytest.approx(0.3 / np.sqrt(2), rel=0.1)


def test_any_kind_of_bytes_is_the_file(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "tone.wav", tone(300, RATE, 0.1), RATE)
    content = (tmp_path / "tone.wav").read_bytes()
    for kind in (bytes, bytearray, memoryview):
        np.testing.assert_array_equal(load_audio(kind(content), RATE), load_audio(tmp_path / "tone.wav", RATE))
