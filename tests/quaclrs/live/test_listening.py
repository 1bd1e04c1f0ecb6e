"""Rolling windows and labels that do not flicker, against slices and sequences by hand."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from listener_of_loudness import RATE, ListenerOfLoudness, square_wave

from quaclrs.errors import QuaclrsError
from quaclrs.live import Listener, ListeningOptions
from quaclrs.live.hysteresis import Hysteresis


def answers(sound: np.ndarray, size: int, rate: int = RATE, **options):
    listener = Listener(ListenerOfLoudness(), rate, ListeningOptions(**options))
    return [a for first in range(0, len(sound), size) for a in listener(sound[first : first + size])]


def test_every_hop_hears_the_seconds_before_it_whatever_the_size_of_blocks():
    sound = np.random.default_rng(0).normal(0, 0.1, 10 * RATE).astype(np.float32)
    for size in (777, 4_000, 33_333):
        classifier = ListenerOfLoudness()
        listener = Listener(classifier, RATE, ListeningOptions(window=2.0, hop=0.5))
        times = [a.seconds for first in range(0, len(sound), size) for a in listener(sound[first : first + size])]
        assert times == pytest.approx(np.arange(1, 21) / 2)
        np.testing.assert_array_equal(classifier.heard[-1][: 2 * RATE], sound[8 * RATE :])


def test_a_sound_is_named_within_a_second_and_its_level_is_that_of_the_last_hop():
    sound = square_wave((6.0, 0.05), (6.0, 0.5), (6.0, 0.05))
    found = answers(sound, 800, window=1.0, clear=0.8)
    changes = [a for a in found if a.begins is not None]
    assert [(a.label, a.seconds, a.begins) for a in changes] == [
        ("quiet", 0.5, 0.0),
        ("loud", 7.0, 6.5),  # half of the window at 6.5 s is loud, all of it at 7 s
        ("quiet", 13.0, 12.0),  # at 12.5 s it is the best for the first time, and not clear
    ]
    assert [a.level for a in found[::12]] == pytest.approx([-26.02, -6.02, -26.02], abs=0.01)


def test_digital_silence_is_named_at_once_and_what_came_before_does_not_count():
    found = answers(square_wave((3.0, 0.5), (1.0, 0.0), (3.0, 0.5)), 800, window=1.0)
    changes = [(a.label, a.seconds) for a in found if a.begins is not None]
    assert changes == [("loud", 0.5), ("silence", 3.5), ("loud", 4.5)]


def test_a_stream_of_another_rate_is_resampled():
    rate = 11_025
    tone = 0.9 * np.sin(2 * np.pi * 500 * np.arange(3 * rate) / rate)
    found = answers(tone.astype(np.float32), 1_000, rate, hop=1.0)
    assert [a.seconds for a in found] in ([1.0, 2.0], [1.0, 2.0, 3.0])  # the filter holds some samples back
    assert found[1].level == pytest.approx(20 * np.log10(0.9) - 3.01, abs=0.1)
    assert all(a.label == "loud" for a in found)


def test_a_label_stays_until_another_comes_twice_in_a_row_or_is_clear():
    state = Hysteresis(patience=2, clear=0.8)
    given = [("a", 0.3), ("b", 0.5), ("a", 0.3), ("b", 0.5), ("c", 0.5), ("c", 0.5), ("a", 0.9), ("b", 0.79)]
    held = []
    for label, score in given:
        changes = state(label, score)
        held.append((state.label, changes, state.since))
    assert held == [
        ("a", True, 1),
        ("a", False, 1),
        ("a", False, 1),
        ("a", False, 1),
        ("a", False, 1),
        ("c", True, 2),
        ("a", True, 1),
        ("a", False, 1),
    ]


def test_an_hour_takes_no_more_memory_than_a_minute():
    listener = Listener(ListenerOfLoudness(), RATE, ListeningOptions(window=1.0))
    minute = np.random.default_rng(0).normal(0, 0.2, 60 * RATE).astype(np.float32)
    peaks = []
    tracemalloc.start()
    for minutes in (1, 59):
        tracemalloc.reset_peak()
        for _ in range(minutes):
            for first in range(0, len(minute), 800):
                for answer in listener(minute[first : first + 800]):
                    assert answer.label
        peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    assert answer.seconds == 3600
    assert peaks[1] < peaks[0] + 1e5


@pytest.mark.parametrize("options", [{"window": 5.0}, {"hop": 0.0}, {"window": 0.2}])
def test_a_window_or_hop_that_makes_no_sense_is_refused(options):
    with pytest.raises(QuaclrsError, match="hop at most window"):
        Listener(ListenerOfLoudness(), RATE, ListeningOptions(**options))
