"""Recordings that are damaged in part: what is there is heard, as in the undamaged sound, and what is lost is said."""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quaclrs.audio import AudioError, AudioWarning, open_sound, read_recording
from quaclrs.inference.windows import read_windows

RATE, SECONDS = 16_000, 20


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    """A chirp under noise, 16-bit steps: no two stretches of it are alike."""
    seconds = np.arange(SECONDS * RATE) / RATE
    chirp = 0.3 * np.sin(2 * np.pi * (200 + 40 * seconds) * seconds)
    noise = np.random.default_rng(0).normal(0, 0.05, len(seconds))
    return (np.round((chirp + noise) * 32768) / 32768).astype(np.float32)


def encoded(sound: np.ndarray, form: str, **settings) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, sound, RATE, format=form, **settings)
    return buffer.getvalue()


def streamed_flac(content: bytes) -> bytes:
    """FLAC without its length, as programs write it into a pipe: STREAMINFO has 36 bits of total samples, 0 unknown."""
    return content[:21] + bytes([content[21] & 0xF0]) + bytes(4) + content[26:]


def lost_seconds(warning) -> float:
    """The seconds that a warning names."""
    (text,) = [str(found.message) for found in warning]
    assert "\n" not in text
    return float(text.split(" s of what")[0].split()[-1])


def test_a_flac_that_is_cut_short_is_heard_up_to_the_cut(sound: np.ndarray, tmp_path: Path) -> None:
    content = encoded(sound, "FLAC")
    (tmp_path / "cut.flac").write_bytes(content[: len(content) * 6 // 10])

    with pytest.warns(AudioWarning, match=r"cut\.flac is damaged or cut short") as warning:
        heard = read_recording(tmp_path / "cut.flac").waveform[0]

    assert len(heard) > 0.57 * len(sound)
    np.testing.assert_array_equal(heard, sound[: len(heard)])
    assert lost_seconds(warning) == pytest.approx(SECONDS - len(heard) / RATE, abs=0.01)


def test_the_middle_of_a_file_that_is_cut_before_it_is_that_of_what_is_there(sound: np.ndarray) -> None:
    content = encoded(sound, "FLAC")
    with pytest.warns(AudioWarning, match="cut short"):
        whole = read_recording(content[: len(content) // 3]).waveform[0]
    with pytest.warns(AudioWarning, match="cut short"):
        heard = read_recording(content[: len(content) // 3], longest=4.0).waveform[0]

    surplus = (len(whole) - 4 * RATE) // 2
    np.testing.assert_array_equal(heard, whole[surplus : len(whole) - surplus])


@pytest.mark.parametrize("junk", [bytes(3000), np.random.default_rng(1).bytes(3000)], ids=["zeros", "noise"])
def test_silence_stands_for_a_hole_in_a_flac_and_times_after_it_stay(sound: np.ndarray, junk: bytes) -> None:
    content = bytearray(encoded(sound, "FLAC"))
    start = len(content) * 4 // 10
    content[start : start + len(junk)] = junk

    with pytest.warns(AudioWarning, match="damaged") as warning:
        heard = read_recording(bytes(content), name="street").waveform[0]

    assert len(heard) == len(sound)
    differing = np.flatnonzero(heard != sound)
    assert 0.1 < lost_seconds(warning) < 1.5
    assert (differing.max() - differing.min()) / RATE <= lost_seconds(warning) + 0.01
    assert not heard[differing].any()


@pytest.mark.parametrize("junk", [bytes(3000), np.random.default_rng(1).bytes(3000)], ids=["zeros", "noise"])
def test_an_mp3_goes_on_after_a_hole(sound: np.ndarray, junk: bytes, capfd) -> None:
    content = bytearray(encoded(sound, "MP3"))
    start = len(content) * 4 // 10
    content[start : start + len(junk)] = junk
    intact = read_recording(encoded(sound, "MP3")).waveform[0]

    with pytest.warns(AudioWarning, match="damaged") as warning:
        heard = read_recording(bytes(content)).waveform[0]

    assert len(heard) > 0.85 * len(sound)
    assert lost_seconds(warning) == pytest.approx((len(sound) - len(heard)) / RATE, abs=0.01)
    np.testing.assert_allclose(heard[: 6 * RATE], intact[: 6 * RATE], atol=1e-4)
    late = intact[15 * RATE : 15 * RATE + 2000]
    found = np.correlate(heard[12 * RATE : 16 * RATE], late, "valid").argmax() + 12 * RATE
    np.testing.assert_allclose(heard[found : found + len(late)], late, atol=1e-4)
    assert capfd.readouterr().err == ""  # libmpg123 writes into the process's own stderr


@pytest.mark.parametrize("longest", [4.0, float("inf")])
def test_a_flac_of_unknown_length_is_decoded_to_its_end_without_a_warning(sound: np.ndarray, longest: float) -> None:
    content = encoded(sound, "FLAC")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        heard = read_recording(streamed_flac(content), longest=longest).waveform
        wanted = read_recording(content, longest=longest).waveform
    np.testing.assert_array_equal(heard, wanted)


def test_a_flac_of_unknown_length_that_is_cut_short_is_heard_up_to_the_cut(sound: np.ndarray) -> None:
    content = streamed_flac(encoded(sound, "FLAC"))
    with pytest.warns(AudioWarning, match="a part of unknown length"):
        heard = read_recording(content[: len(content) // 2]).waveform[0]
    assert len(heard) > 0.45 * len(sound)
    np.testing.assert_array_equal(heard, sound[: len(heard)])


@pytest.mark.parametrize(("size", "warns"), [(0, True), (0xFFFFFFFF, False), (0x7FFFFFFF, False)])
def test_a_wav_whose_recorder_did_not_finish_its_header_is_heard(size: int, warns: bool, sound: np.ndarray) -> None:
    content = encoded(sound, "WAV")
    place = content.index(b"data") + 4
    content = content[:place] + struct.pack("<I", size) + content[place + 4 :]

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        heard = read_recording(content, name="recorder 7").waveform[0]
        windows = list(read_windows(content, RATE, 4.0, 4.0, name="recorder 7"))

    np.testing.assert_array_equal(heard, sound)
    np.testing.assert_array_equal(np.concatenate([window.waveform for window in windows]), sound)
    assert {str(warning.message) for warning in caught} == (
        {"recorder 7 was not finished: its header says that it holds no samples; all that is there, 20.00 s, is heard"}
        if warns
        else set()
    )


#: Format -> where the size of its samples lies, seen from a word, and how many bytes it has.
SIZES = {"WAV": (b"data", 4, 4), "WAVEX": (b"data", 4, 4), "RF64": (b"ds64", 16, 8), "AU": (b".snd", 8, 4),
         "CAF": (b"data", 4, 8)}  # fmt: skip


@pytest.mark.parametrize("form", SIZES)
def test_a_header_that_states_no_samples_does_not_hide_those_that_are_there(form: str, sound: np.ndarray) -> None:
    content = encoded(sound, form)
    word, offset, width = SIZES[form]
    place = content.index(word) + offset
    content = content[:place] + bytes(width) + content[place + width :]
    with pytest.warns(AudioWarning, match=r"says that it holds no samples; all that is there, 20\.00 s"):
        heard = read_recording(content).waveform[0]
    np.testing.assert_array_equal(heard, sound)


@pytest.mark.parametrize("form", ["WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF"])
def test_samples_that_a_header_names_and_the_file_lacks_are_counted(form: str, sound: np.ndarray) -> None:
    content = encoded(sound, form, subtype="PCM_16")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(read_recording(content).waveform[0], sound)
    with pytest.warns(AudioWarning, match="cut short") as warning:
        heard = read_recording(content[: -5 * RATE * 2]).waveform[0]
    np.testing.assert_array_equal(heard, sound[: len(heard)])
    assert lost_seconds(warning) == pytest.approx(SECONDS - len(heard) / RATE, abs=0.01)


def test_a_header_from_the_first_seconds_of_a_recording_does_not_hide_the_others(sound: np.ndarray) -> None:
    content = encoded(sound, "WAV", subtype="PCM_16")
    place = content.index(b"data") + 4
    content = content[:place] + struct.pack("<I", 2 * RATE) + content[place + 4 :]
    with pytest.warns(AudioWarning, match=r"says that it holds 1\.00 s; all that is there, 20\.00 s, is heard"):
        np.testing.assert_array_equal(read_recording(content).waveform[0], sound)


@pytest.mark.parametrize("bytes_of_samples", [3, 4])
def test_long_tags_behind_the_samples_of_a_wav_are_not_heard(bytes_of_samples: int) -> None:
    tags = struct.pack("<4sI", b"LIST", 4000) + b"INFO" + bytes(3996)
    content = encoded(np.zeros(bytes_of_samples, np.float32), "WAV", subtype="PCM_U8")
    for end in {len(content), content.index(b"data") + 8 + bytes_of_samples}:  # some writers leave the place odd
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert read_recording(content[:end] + tags).waveform.shape == (1, bytes_of_samples)


def test_a_wav_without_samples_but_with_tags_behind_them_is_empty() -> None:
    content = encoded(np.zeros(0, np.float32), "WAV")
    content += struct.pack("<4sI", b"LIST", 12) + b"INFOISFT\0\0\0\0"
    with pytest.raises(AudioError, match="holds no samples") as error:
        read_recording(content)
    assert "remove" not in str(error.value)


def test_a_timeline_reads_past_damage_as_a_whole_reading_does(sound: np.ndarray) -> None:
    content = encoded(sound, "FLAC")
    content = content[: len(content) * 6 // 10]
    with pytest.warns(AudioWarning, match="cut short"):
        windows = list(read_windows(content, RATE, 1.0, 1.0))
    with pytest.warns(AudioWarning, match="cut short"):
        heard = read_recording(content).waveform[0]
    joined = np.concatenate([window.waveform for window in windows])
    assert abs(len(joined) - len(heard)) < 64  # what libsndfile decodes at once near damage
    np.testing.assert_array_equal(*(found[: min(len(joined), len(heard))] for found in (joined, heard)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30, -3e38])
def test_silence_stands_for_a_sample_that_is_none(bad: float, sound: np.ndarray) -> None:
    broken = sound.copy()
    broken[7 * RATE] = bad
    content = encoded(broken, "WAV", subtype="FLOAT")
    broken[7 * RATE] = 0

    with pytest.warns(AudioWarning, match=r"street holds 1 sample \(under 0\.01 s\)"):
        heard = read_recording(content, name="street").waveform[0]
    np.testing.assert_array_equal(heard, broken)
    with pytest.warns(AudioWarning, match="1 sample"):
        windows = list(read_windows(content, RATE, 4.0, 4.0))
    np.testing.assert_array_equal(np.concatenate([window.waveform for window in windows]), broken)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e20, 3e38])
def test_a_file_without_a_usable_sample_is_refused(bad: float, sound: np.ndarray) -> None:
    samples = sound * np.float32(bad) if np.isfinite(bad) else np.full(RATE, bad, np.float32)
    content = encoded(samples, "WAV", subtype="FLOAT")
    for read in (read_recording, lambda file, name: list(read_windows(file, RATE, 4.0, 1.0, name))):
        with pytest.raises(AudioError, match=r"street holds (nothing but NaN|samples beyond 1e)"):
            read(content, name="street")


def test_a_channel_of_nan_leaves_the_other(sound: np.ndarray) -> None:
    content = encoded(np.stack([np.full_like(sound, np.nan), sound], axis=1), "WAV", subtype="FLOAT")
    with pytest.warns(AudioWarning, match=r"320,000 samples \(20\.00 s\)"):
        heard = read_recording(content).waveform
    np.testing.assert_array_equal(heard[1], sound)
    assert not heard[0].any()


def test_the_loudest_samples_that_are_taken_have_spectra_that_float32_holds(sound: np.ndarray) -> None:
    content = encoded(sound * np.float32(9e14 / np.abs(sound).max()), "WAV", subtype="FLOAT")
    loud = read_recording(content).waveform[0]
    spectrum = np.fft.rfft(loud[:2048] * np.ones(2048, np.float32))
    assert np.isfinite((np.abs(spectrum) ** 2).astype(np.float32)).all()


def test_a_segment_of_a_flac_whose_header_counts_all_segments_is_whole(sound: np.ndarray) -> None:
    content, start = encoded(sound, "FLAC"), 4
    last = False
    while not last:  # metadata blocks: a flag in the first bit, 24 bits of size
        last, size = content[start] >> 7 == 1, int.from_bytes(content[start + 1 : start + 4], "big")
        start += 4 + size
    block = int.from_bytes(content[8:10], "big")
    # The header of frame 60: as that of the first, but for its number.
    segment = content[:start] + content[content.index(content[start : start + 4] + bytes([60]), start) :]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(read_recording(segment).waveform[0], sound[60 * block :])
    with pytest.warns(AudioWarning, match="cut short") as warning:
        heard = read_recording(segment[:-20_000]).waveform[0]
    assert lost_seconds(warning) == pytest.approx((len(sound) - 60 * block - len(heard)) / RATE, abs=0.01)


def test_bounded_memory_holds_a_block_at_a_time(sound: np.ndarray) -> None:
    with open_sound(encoded(sound, "WAV")) as opened:
        blocks = [len(block) for block in opened.blocks(3000)]
    assert blocks == [3000] * (len(sound) // 3000) + [len(sound) % 3000]
