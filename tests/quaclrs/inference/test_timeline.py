"""Long recordings as windows and segments, against plain slices, a resampler's whole pass and sums by hand."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import warm_python

from quaclrs import QuaclrsError, load_classifier
from quaclrs.audio import AudioWarning
from quaclrs.inference.timeline import SILENCE, UNSURE, Segment, label_windows
from quaclrs.inference.windows import Window, read_windows

RATE = 8_000
LABELS = ("bell", "dog", "drill")


def write_noise(file: Path, seconds: float, rate: int = RATE, channels: int = 1) -> np.ndarray:
    samples = np.random.default_rng(0).normal(0, 0.1, (round(seconds * rate), channels)).astype(np.float32)
    soundfile.write(file, samples, rate, subtype="FLOAT")
    return samples


@pytest.mark.parametrize("seconds", [0.001, 0.5, 3.9, 4.0, 4.001, 7.3, 12.0, 31.7])
@pytest.mark.parametrize(("window", "hop"), [(4.0, 1.0), (4.0, 4.0), (2.0, 0.7), (0.5, 0.33)])
def test_windows_are_slices_of_the_recording_one_a_hop_until_its_end_is_in_one(seconds, window, hop, tmp_path):
    samples = write_noise(tmp_path / "noise.wav", seconds)[:, 0]
    windows = list(read_windows(tmp_path / "noise.wav", RATE, window, hop))
    length = round(window * RATE)
    for number, piece in enumerate(windows):
        start = round(number * hop * RATE)
        np.testing.assert_array_equal(piece.waveform, samples[start : start + length])
        assert piece.start == pytest.approx(number * hop)
        assert len(piece.waveform) == length or number == len(windows) - 1
    last = round((len(windows) - 1) * hop * RATE)
    assert last + length >= len(samples)
    assert len(windows) == 1 or last - round(hop * RATE) + length < len(samples) + 1


def test_windows_of_another_rate_and_more_channels_are_those_of_the_whole_recording_resampled(tmp_path):
    samples = write_noise(tmp_path / "noise.wav", 23.4, rate=44_100, channels=2)
    whole = soxr.resample(samples.mean(axis=1), 44_100, RATE)
    windows = list(read_windows(tmp_path / "noise.wav", RATE, 4.0, 4.0))
    joined = np.concatenate([piece.waveform for piece in windows])
    assert abs(len(joined) - len(whole)) <= 1
    shorter = min(len(joined), len(whole))
    np.testing.assert_allclose(joined[:shorter], whole[:shorter], atol=1e-4)


@pytest.mark.parametrize(
    ("window", "hop"),
    [(4.0, 0.0), (4.0, -1.0), (1.0, 2.0), (math.inf, 1.0), (math.nan, 1.0), (4.0, math.inf), (4.0, math.nan)],
)
def test_a_window_or_hop_that_makes_no_sense_is_refused_in_one_line(window, hop, tmp_path):
    write_noise(tmp_path / "noise.wav", 1.0)
    with pytest.raises(QuaclrsError, match="must be above 0, and hop at most window"):
        list(read_windows(tmp_path / "noise.wav", RATE, window, hop))


@pytest.mark.parametrize("hop", [1e-9, 1e-300, 0.0099])
def test_a_hop_in_which_nothing_changes_is_refused_in_one_line(hop, tmp_path):
    write_noise(tmp_path / "noise.wav", 1.0)
    with pytest.raises(QuaclrsError, match=r"is shorter than 0\.01 s, in which nothing changes; give a longer one"):
        list(read_windows(tmp_path / "noise.wav", RATE, 4.0, hop))


def window(start: float, seconds: float = 2.0, loud: bool = True) -> Window:
    return Window(start, np.full(round(seconds * RATE), 0.1 if loud else 0.0, dtype=np.float32), RATE)


def scores(*values: float) -> np.ndarray:
    return np.array(values)


def test_a_moment_has_the_mean_scores_of_all_windows_that_hold_it():
    scored = [
        (window(0.0), scores(0.9, 0.1, 0.0)),
        (window(1.0), scores(0.3, 0.7, 0.0)),
        (window(2.0), scores(0.0, 0.2, 0.8)),
    ]
    # moments: [0.9 bell], [mean(0.9, 0.3) = 0.6 bell], [mean(0.7, 0.2) = 0.45 dog], [0.8 drill]
    assert label_windows(scored, LABELS, hop=1.0) == [
        Segment(0.0, 2.0, "bell", pytest.approx(0.75)),
        Segment(2.0, 3.0, "dog", pytest.approx(0.45)),
        Segment(3.0, 4.0, "drill", pytest.approx(0.8)),
    ]


def test_a_moment_without_a_score_that_is_high_enough_is_unsure():
    scored = [(window(0.0, 1.0), scores(0.5, 0.3, 0.2)), (window(1.0, 1.0), scores(0.4, 0.35, 0.25))]
    assert label_windows(scored, LABELS, hop=1.0, min_score=0.45) == [
        Segment(0.0, 1.0, "bell", pytest.approx(0.5)),
        Segment(1.0, 2.0, UNSURE, pytest.approx(0.4)),
    ]


def test_silence_is_named_and_what_is_beside_it_in_a_window_is_not():
    half = np.concatenate([np.zeros(RATE), np.full(RATE, 0.1)]).astype(np.float32)
    scored = [(Window(0.0, half, RATE), scores(0.2, 0.8, 0.0)), (window(1.0, 1.0), scores(0.2, 0.8, 0.0))]
    assert label_windows(scored, LABELS, hop=1.0) == [
        Segment(0.0, 1.0, SILENCE, 1.0),
        Segment(1.0, 2.0, "dog", pytest.approx(0.8)),
    ]


def test_a_loud_ending_that_is_shorter_than_a_hop_is_not_silence(tmp_path):
    sound = np.concatenate([np.zeros(10 * RATE), np.full(round(0.4 * RATE), 0.5)]).astype(np.float32)
    soundfile.write(tmp_path / "ending.wav", sound, RATE, subtype="FLOAT")
    scored = [(piece, scores(0.2, 0.8, 0.0)) for piece in read_windows(tmp_path / "ending.wav", RATE, 4.0, 1.0)]
    assert [s.label for s in label_windows(scored, LABELS, hop=1.0)] == [SILENCE, "dog"]


def test_a_file_without_samples_is_named(tmp_path):
    soundfile.write(tmp_path / "nothing.wav", np.zeros(0), RATE)
    with pytest.raises(QuaclrsError, match=r"nothing\.wav holds no samples"):
        list(read_windows(tmp_path / "nothing.wav", RATE, 4.0, 1.0))


def test_the_rest_of_a_damaged_file_is_heard_and_one_line_names_it(tmp_path):
    write_noise(tmp_path / "noise.wav", 20.0)
    samples, rate = soundfile.read(tmp_path / "noise.wav")
    soundfile.write(tmp_path / "noise.flac", samples, rate)
    content = bytearray((tmp_path / "noise.flac").read_bytes())
    content[len(content) // 2 : len(content) // 2 + 4000] = b"\x00" * 4000
    (tmp_path / "noise.flac").write_bytes(content)
    with pytest.warns(AudioWarning, match=r"\Awhat I sent is damaged or cut short: 1\.\d+ s of [^\n]*\Z"):
        windows = list(read_windows(tmp_path / "noise.flac", RATE, 4.0, 1.0, name="what I sent"))
    heard = np.concatenate([window.waveform[:RATE] for window in windows])
    assert RATE < np.diff(np.flatnonzero(heard)).max() < 1.1 * RATE  # the hole is silent
    assert windows[-1].end == 20  # and what follows keeps its time


@pytest.mark.parametrize("options", [{"window": 5.0}, {"window": 2.0, "hop": 3.0}, {"batch_size": 0}])
def test_a_window_that_the_model_cannot_hear_whole_is_refused(options, tiny_classifier_folder, tmp_path):
    write_noise(tmp_path / "noise.wav", 6.0)
    with pytest.raises(QuaclrsError, match=r"hears 4 s at once|hop at most window|batch size is 0"):
        load_classifier(tiny_classifier_folder, device="cpu").predict_timeline(tmp_path / "noise.wav", **options)


@pytest.mark.parametrize("seconds", [0.3, 4.0, 5.5, 9.99])
@pytest.mark.parametrize(("length", "hop"), [(4.0, 1.0), (2.0, 0.7), (1.5, 1.5)])
def test_segments_cover_the_recording_from_its_beginning_to_its_end_without_gaps(seconds, length, hop, tmp_path):
    write_noise(tmp_path / "noise.wav", seconds)
    generator = np.random.default_rng(1)
    scored = [
        (piece, generator.dirichlet([1, 1, 1])) for piece in read_windows(tmp_path / "noise.wav", RATE, length, hop)
    ]
    segments = label_windows(scored, LABELS, hop)
    assert segments[0].start == 0
    assert segments[-1].end == pytest.approx(seconds, abs=2 / RATE)
    assert all(before.end == after.start for before, after in pairwise(segments))
    assert all(before.label != after.label for before, after in pairwise(segments))
    assert all(segment.start < segment.end and 0 <= segment.score <= 1 for segment in segments)


def test_a_recording_of_two_sounds_and_silence_has_the_labels_that_the_sounds_have_alone(
    tiny_classifier_folder, tmp_path
):
    classifier = load_classifier(tiny_classifier_folder, device="cpu")
    rate = 48_000
    tone = 0.5 * np.sin(2 * np.pi * 300 * np.arange(8 * rate) / rate)
    noise = np.random.default_rng(0).normal(0, 0.2, 8 * rate)
    recording = np.concatenate([tone, np.zeros(6 * rate), noise]).astype(np.float32)
    soundfile.write(tmp_path / "street.wav", recording, rate, subtype="FLOAT")

    alone = [classifier.predict(sound[2 * rate : 6 * rate])[0]["label"] for sound in (tone, noise)]
    assert alone[0] != alone[1]
    segments = classifier.predict_timeline(tmp_path / "street.wav", hop=1.0)

    def label_at(second: float) -> str:
        return next(segment.label for segment in segments if segment.start <= second < segment.end)

    assert [label_at(2.5), label_at(11.5), label_at(18.5)] == [alone[0], SILENCE, alone[1]]


def test_windows_longer_or_shorter_than_the_model_hears_are_fitted_as_predict_does(tiny_classifier_folder, tmp_path):
    classifier = load_classifier(tiny_classifier_folder, device="cpu")
    samples = write_noise(tmp_path / "noise.wav", 2.0, rate=48_000)[:, 0]
    (segment,) = classifier.predict_timeline(tmp_path / "noise.wav", window=2.0, hop=2.0)
    best = classifier.predict(samples, 48_000)[0]
    assert (segment.label, segment.score) == (best["label"], pytest.approx(best["score"], abs=1e-6))


MEASURE = """
import resource, sys
from quaclrs import load_classifier

classifier = load_classifier(sys.argv[1], device="cpu")
segments = classifier.predict_timeline(sys.argv[2], hop=4.0)
print(segments[-1].end, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


# Held at 48 kHz in float32 as two channels, ten minutes are 230 MB.
@pytest.mark.parametrize("long", [600, pytest.param(3600, marks=pytest.mark.weekly)])
def test_a_long_recording_takes_at_most_100_mb_more_than_ten_seconds(long, tiny_classifier_folder, tmp_path):
    peaks = {}
    for seconds in (10, long):
        file = tmp_path / f"{seconds}.wav"
        with soundfile.SoundFile(file, "w", 48_000, 2, subtype="PCM_16") as sound:
            second = np.random.default_rng(0).integers(-9_000, 9_000, (48_000, 2), dtype=np.int16)
            for _ in range(seconds):
                sound.write(second)
        child = warm_python.run(["-c", MEASURE, tiny_classifier_folder, file])
        assert child.returncode == 0, child.stderr
        end, peak = child.stdout.split()
        assert float(end) == seconds
        peaks[seconds] = int(peak)
        file.unlink()
    assert peaks[long] - peaks[10] <= 100, peaks
