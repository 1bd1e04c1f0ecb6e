"""The nearest clip of another group, against a plain loop; and what the spectrum takes for alike."""

from __future__ import annotations

import numpy as np

from dataset_builder.recordings.nearest import mel_quantiles, nearest_in_other_groups


def test_the_nearest_is_that_of_a_plain_loop_over_clips_of_other_groups():
    rng = np.random.default_rng(0)
    descriptions, groups = rng.normal(size=(30, 8)) * rng.uniform(0.1, 10, 8), rng.integers(0, 6, 30).tolist()
    descriptions[:, 3] = 5.0  # tells nothing
    scale = np.where(descriptions.std(0) > 0, descriptions.std(0), 1)
    expected = [
        min(
            (j for j in range(30) if groups[j] != groups[i]),
            key=lambda j: np.abs((descriptions[i] - descriptions[j]) / scale)[[0, 1, 2, 4, 5, 6, 7]] @ np.abs(
                (descriptions[i] - descriptions[j]) / scale)[[0, 1, 2, 4, 5, 6, 7]],
        )
        for i in range(30)
    ]  # fmt: skip
    assert nearest_in_other_groups(descriptions, groups) == expected


def test_clips_of_one_group_have_no_nearest():
    assert nearest_in_other_groups(np.eye(3), [0, 0, 0]) == [None, None, None]
    assert nearest_in_other_groups(np.zeros((0, 4)), []) == []


def test_two_parts_of_one_noise_are_nearest_whatever_their_gain_and_rate():
    import soxr

    rng = np.random.default_rng(1)

    def hum(frequency: float) -> np.ndarray:
        time = np.arange(4 * 16000) / 16000
        return np.sin(2 * np.pi * frequency * time) + 0.1 * rng.normal(size=time.size)

    first, second = hum(500), hum(2000)
    clips = [(first[:32000], 16000), (0.1 * first[32000:], 16000), (second[:32000], 16000)]
    clips.append((soxr.resample(second[32000:], 16000, 44100), 44100))
    descriptions = np.array([mel_quantiles(*clip) for clip in clips])
    assert nearest_in_other_groups(descriptions, range(4)) == [1, 0, 3, 2]


def test_a_clip_of_one_sample_and_silence_have_finite_quantiles():
    for samples in (np.zeros(1, np.float32), np.zeros(16000, np.float32)):
        assert np.isfinite(mel_quantiles(samples, 16000)).all()
