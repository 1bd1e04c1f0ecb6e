"""Files to segments by windows one after the other, against sums by hand."""

from __future__ import annotations

import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quaclrs.archive.hearing import Ear, HearingOptions
from quaclrs.cli import main
from quaclrs.errors import QuaclrsError
from quaclrs.inference.classifier import AudioClassifier
from quaclrs.inference.windows import read_windows
from quaclrs.models import LogMelConfig

RATE = 8_000


class Listener(AudioClassifier):
    """Scores a window by its share of loud samples: `loud` where that is above a half; counts its windows."""

    def __init__(self) -> None:
        super().__init__(["quiet", "loud"], LogMelConfig(sampling_rate=RATE, f_max=4000.0, n_fft=512, n_mels=32))
        self.windows = 0

    def _scores_of(self, waveforms: np.ndarray) -> np.ndarray:
        self.windows += len(waveforms)
        share = (np.abs(waveforms) > 0.2).mean(axis=1)
        return np.stack([1 - share, share], axis=1)

    def _embeddings_of(self, waveforms: np.ndarray) -> np.ndarray:
        raise NotImplementedError


def segments_of(file: Path, listener: Listener, **options):
    with ThreadPoolExecutor(2) as executor:
        return Ear(listener, executor, 3, HearingOptions(**options)).segments(file)


@pytest.fixture
def street(tmp_path: Path) -> Path:
    """40 s of a quiet square wave, loud from 18 s to 30 s."""
    signs = np.resize([1.0, -1.0], 40 * RATE)
    signs[: 18 * RATE] *= 0.1
    signs[18 * RATE : 30 * RATE] *= 0.5
    signs[30 * RATE :] *= 0.1
    soundfile.write(tmp_path / "street.wav", signs, RATE, subtype="FLOAT")
    return tmp_path / "street.wav"


def test_edges_lie_on_windows_where_nothing_is_heard_between_them(street):
    listener = Listener()
    found = segments_of(street, listener, refine=0)
    # Windows of 4 s: 16 to 20 and 28 to 32 are half loud, which is not above a half.
    assert [(s.start, s.end, s.label) for s in found] == [(0, 20, "quiet"), (20, 28, "loud"), (28, 40, "quiet")]
    assert listener.windows == 10


def test_windows_between_two_that_differ_move_the_edge_to_where_it_is_and_cost_one_each(street):
    listener = Listener()
    found = segments_of(street, listener)
    # 18 to 22 s is all loud: from 18 s the mean of it and of the half loud window is 0.75; likewise before 30 s.
    assert [(s.start, s.end, s.label) for s in found] == [(0, 18, "quiet"), (18, 30, "loud"), (30, 40, "quiet")]
    assert listener.windows == 10 + 2
    # A square wave is as loud as its amplitude.
    assert [s.level for s in found] == pytest.approx([-20.0, -6.0206, -20.0], abs=1e-3)


def test_the_same_hop_and_no_windows_between_give_the_timeline(street):
    listener = Listener()
    found = segments_of(street, listener, hop=1.0, refine=0)
    timeline = listener.predict_timeline(street, hop=1.0)
    assert [(s.start, s.end, s.label, s.score) for s in found] == [
        (s.start, s.end, s.label, pytest.approx(s.score)) for s in timeline
    ]


@pytest.mark.parametrize("seconds", [0.3, 4.0, 4.1, 9.99])
def test_segments_cover_a_file_of_any_length(seconds, tmp_path):
    noise = np.random.default_rng(0).normal(0, 0.2, round(seconds * RATE))
    soundfile.write(tmp_path / "noise.wav", noise, RATE, subtype="FLOAT")
    found = segments_of(tmp_path / "noise.wav", Listener(), refine=3)
    assert found[0].start == 0
    assert found[-1].end == pytest.approx(seconds, abs=2 / RATE)
    whole = sum(10 ** (s.level / 10) * (s.end - s.start) for s in found) / seconds
    assert whole == pytest.approx(np.square(noise).mean(), rel=1e-3)


def test_a_long_file_takes_no_more_memory_than_a_short_one(tmp_path):
    peaks = []
    for minutes in (4, 40):
        with soundfile.SoundFile(tmp_path / "long.wav", "w", RATE, 1, "PCM_U8") as file:
            for minute in range(minutes):
                file.write(np.random.default_rng(minute).normal(0, 0.2, 60 * RATE))
        tracemalloc.start()
        segments_of(tmp_path / "long.wav", Listener())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 2e6


@pytest.mark.parametrize("options", [{"hop": 5.0}, {"hop": -1.0}, {"hop": 0.0}, {"refine": 17}])
def test_options_that_make_no_sense_are_refused_in_one_line(options, street):
    with pytest.raises(QuaclrsError, match=r"hop is|refine is"):
        segments_of(street, Listener(), **options)


@pytest.mark.parametrize("rest", [0.02, 1.5])
def test_a_short_rest_is_heard_with_what_lies_before_it(rest, tmp_path):
    """Alone, a rest of some milliseconds is repeated until it fills a window, and sounds like nothing in the file."""
    noise = np.random.default_rng(0).normal(0, 0.2, round((8 + rest) * RATE)).astype(np.float32)
    soundfile.write(tmp_path / "noise.wav", noise, RATE, subtype="FLOAT")
    heard = []

    class Ears(Listener):
        def score(self, windows):
            heard.extend(window.heard for window in windows)
            return super().score(windows)

    segments_of(tmp_path / "noise.wav", Ears(), refine=0)
    assert [len(waveform) for waveform in heard] == [4 * RATE] * 3
    np.testing.assert_array_equal(heard[-1], noise[-4 * RATE :])
    assert list(read_windows(str(tmp_path / "noise.wav"), RATE, 4.0, 4.0))[-1].duration == pytest.approx(rest)


def test_two_files_that_would_have_one_table_are_refused(tmp_path, monkeypatch, expect_one_error_line):
    for folder in ("here", "a", "here/a"):
        (tmp_path / folder).mkdir()
        soundfile.write(tmp_path / folder / "x.wav", np.zeros(RATE), RATE)
    monkeypatch.chdir(tmp_path / "here")
    files = ["../a/x.wav", "a/x.wav"]
    assert main(["annotate", *files, "--format", "audacity", "--output", "tables"]) == 2
    expect_one_error_line("../a/x.wav and a/x.wav would have one table in a folder; annotate them apart")
    assert main(["annotate", *files, "--output", "table.csv"]) == 0
