"""The answer of all windows of a sound, against means by hand, and the seconds that it is of."""

from __future__ import annotations

import io
import time
import tracemalloc
from collections.abc import Iterator
from threading import Event, active_count

import numpy as np
import pytest
import soundfile

from quaclrs import LogMelConfig, QuaclrsError
from quaclrs.audio import AudioWarning, Recording
from quaclrs.inference.classifier import AudioClassifier

RATE = 1_000
SILENCE = [{"label": "silence", "score": 1.0}]


class Meter(AudioClassifier):
    """Scores of `loud` are the largest sample; `sizes` are those of the batches."""

    def __init__(self) -> None:
        super().__init__(["loud", "quiet"], LogMelConfig(sampling_rate=RATE, f_max=500, f_min=0))
        self.sizes: list[int] = []

    def _scores_of(self, waveforms: np.ndarray) -> np.ndarray:
        self.sizes.append(len(waveforms))
        peaks = waveforms.max(axis=1).astype(np.float64)
        return np.stack([peaks, 1 - peaks], axis=1)

    def _embeddings_of(self, waveforms: np.ndarray) -> np.ndarray:
        return waveforms.max(axis=1, keepdims=True)


@pytest.fixture
def meter() -> Meter:
    return Meter()


def seconds_of(*levels: float) -> np.ndarray:
    """float32 (samples,) of one second at each level."""
    return np.repeat(np.float32(levels), RATE)


def as_file(samples: np.ndarray, form: str = "WAV", subtype: str = "FLOAT") -> io.BytesIO:
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format=form, subtype=subtype)
    file.seek(0)
    return file


def test_the_scores_are_the_mean_over_windows_of_which_the_last_ends_with_the_sound(meter):
    sound = seconds_of(0.5, *[0.1] * 5, 0.9, *[0.1] * 2, 0.3)
    # windows from 0, 4 and 6 s: peaks 0.5, 0.9 and 0.9
    for given in (sound, as_file(sound), as_file(sound).getvalue(), Recording(sound[None], RATE)):
        (heard,) = meter.hear([given])
        assert heard.probabilities == pytest.approx([2.3 / 3, 0.7 / 3])
        assert (heard.place, heard.seconds, heard.duration) == (0, 10, 10)
        loud, quiet = heard.ranking()
        assert (loud["label"], quiet["label"]) == ("loud", "quiet")
        assert [loud["score"], quiet["score"]] == heard.probabilities.tolist()
        assert meter.predict(given) == [loud, quiet]
        assert heard.ranking(top_k=1, min_score=0.8)[0] == {"label": "unsure", "score": heard.probabilities[0]}
        np.testing.assert_array_equal(meter.probabilities([given]), heard.probabilities[None])


def test_the_middle_alone_is_heard_where_it_is_asked_for(meter):
    sound = seconds_of(0.9, 0.9, 0.9, *[0.2] * 4, 0.9, 0.9, 0.9)
    for given in (sound, as_file(sound)):
        (heard,) = meter.hear([given], crop="centre")
        assert heard.probabilities == pytest.approx([0.2, 0.8])
        assert (heard.seconds, heard.duration) == (4, 10)
        assert meter.predict(given, crop="centre")[0]["label"] == "quiet"
        assert meter.probabilities([given], crop="centre")[0] == pytest.approx([0.2, 0.8])


def test_silent_windows_are_left_out_and_not_counted_as_heard(meter):
    sound = seconds_of(*[0.8] * 4, *[0.0] * 8, 0.0, 0.6)
    # windows from 0, 4, 8 and 10 s: 0.8, silent, silent, 0.6
    (heard,) = meter.hear([sound])
    assert heard.probabilities == pytest.approx([0.7, 0.3])
    assert (heard.seconds, heard.duration) == (8, 14)


def test_a_sound_in_which_nothing_is_heard_is_silence(meter):
    for sound in (seconds_of(0, 0), seconds_of(*[1e-6] * 11)):
        (heard,) = meter.hear([sound])
        assert (heard.ranking(), heard.seconds, heard.duration) == (SILENCE, 0, len(sound) / RATE)


def test_batches_are_shared_by_the_windows_of_all_sounds(meter):
    sounds = [seconds_of(*[level] * count) for level, count in ((0.1, 2), (0.2, 12), (0.3, 5), (0.4, 4))]
    found = list(meter.hear(sounds, batch_size=4))
    assert meter.sizes == [4, 3]
    assert [(heard.place, heard.duration) for heard in found] == [(0, 2), (1, 12), (2, 5), (3, 4)]
    assert [heard.probabilities[0] for heard in found] == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_an_answer_comes_as_soon_as_its_last_window_is_classified(meter):
    answered, in_time = Event(), []

    def sounds() -> Iterator[np.ndarray]:
        yield seconds_of(*[0.1] * 8)
        in_time.append(answered.wait(10))  # a microphone, say
        yield seconds_of(*[0.2] * 8)

    answers = meter.predict_many(sounds(), batch_size=2)
    next(answers)
    answered.set()
    assert next(answers)[1]["score"] == pytest.approx(0.2)
    assert in_time == [True]


def test_sounds_are_read_while_others_are_classified(meter, monkeypatch):
    """The network waits for the second sound to be read, which would never be if reading waited for the network."""
    read = Event()

    def sounds() -> Iterator[np.ndarray]:
        yield seconds_of(0.1)
        read.set()
        yield seconds_of(0.2)

    scores_of = meter._scores_of
    monkeypatch.setattr(meter, "_scores_of", lambda waveforms: scores_of(waveforms) if read.wait(10) else 1 / 0)
    assert len(list(meter.hear(sounds(), batch_size=1))) == 2


def test_nothing_goes_on_reading_when_nobody_asks_for_more(meter):
    def sounds() -> Iterator[np.ndarray]:
        while True:
            yield seconds_of(0.5)

    before = active_count()
    answers = meter.hear(sounds(), batch_size=2)
    next(answers)
    answers.close()
    deadline = time.monotonic() + 10
    while active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert active_count() == before


def test_a_sound_that_breaks_off_is_passed_over_and_told_and_leaves_no_trace_in_others(meter):
    huge = seconds_of(*[0.5] * 8, *[1e20] * 12)  # found out at its end: more than half is beyond all scale
    sounds = [seconds_of(0.3), as_file(huge), seconds_of(*[0.4] * 6), b"notes", seconds_of(0.2)]
    told = {}
    found = list(meter.hear(sounds, batch_size=3, names=list("abcde"), on_error=lambda *pair: told.update([pair])))
    assert [(heard.place, heard.probabilities[0]) for heard in found] == [
        (0, pytest.approx(0.3)), (2, pytest.approx(0.4)), (4, pytest.approx(0.2)),
    ]  # fmt: skip
    assert [(place, str(error)[:8]) for place, error in told.items()] == [(1, "b holds "), (3, "d is tex")]
    sounds[1].seek(0)
    with pytest.raises(QuaclrsError, match="beyond"):
        list(meter.hear(sounds))


def test_of_a_damaged_file_all_that_can_be_decoded_is_heard_with_a_warning(meter):
    generator = np.random.default_rng(0)
    content = as_file(generator.uniform(-0.5, 0.5, 60 * RATE), "FLAC", "PCM_16").getvalue()
    with pytest.warns(AudioWarning, match="damaged or cut short"):
        (heard,) = meter.hear([content[: len(content) // 2]])
    assert heard.duration == pytest.approx(30, abs=5) and heard.seconds == pytest.approx(heard.duration)


def test_channels_that_cancel_in_a_part_are_heard_in_all_of_it(meter):
    samples = np.random.default_rng(0).normal(0, 0.1, 24 * RATE).clip(-0.4, 0.4).astype(np.float32)
    samples[::RATE] = 0.5
    stereo = np.stack([samples, np.where(np.arange(24 * RATE) < 10 * RATE, samples, -samples)], axis=1)
    for given in (as_file(stereo), stereo):
        with pytest.warns(AudioWarning, match="cancel"):
            (heard,) = meter.hear([given])
        assert heard.probabilities[0] == pytest.approx(0.5)
        assert heard.seconds == 24


def test_six_hours_take_no_more_memory_than_six_minutes(meter, tmp_path):
    peaks = {}
    for hours in (0.1, 6):
        file = tmp_path / f"{hours}.wav"
        with soundfile.SoundFile(file, "w", RATE, 1, subtype="PCM_U8") as sound:
            minute = seconds_of(*[0.5] * 60)
            for _ in range(round(hours * 60)):
                sound.write(minute)
        tracemalloc.start()
        (heard,) = meter.hear([file], batch_size=32)
        peaks[hours] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert heard.seconds == heard.duration == hours * 3600
        assert heard.probabilities[0] == pytest.approx(0.5, abs=0.01)
    # In float32 six hours are 86 MB.
    assert peaks[6] < 1.6 * peaks[0.1] and peaks[6] < 3e6, peaks  # the next batch is read sooner or later


@pytest.mark.parametrize("options", [{"top_k": 0}, {"min_score": 2}])
def test_a_ranking_that_makes_no_sense_is_refused(options, meter):
    (heard,) = meter.hear([seconds_of(0.5)])
    with pytest.raises(QuaclrsError, match="must be"):
        heard.ranking(**options)
