"""Parts that were cut one after the other from a recording are found, and clips that only look alike are not."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import scipy.signal

from quaclrs.audio import read_recording
from quaclrs.errors import QuaclrsError
from quaclrs.grouping import GroupingConfig, group_recordings
from quaclrs.grouping.seams import SeamConfig, clip_ends, find_seams

RATE = 22050
ODD = 2 * RATE + 77  # samples of a part
Clip = tuple[np.ndarray, int]


def siren(seed: int, samples: int) -> np.ndarray:
    """A chord of 12 tones that all rise and fall by a tenth, under noise: unlike that of any other seed."""
    rng = np.random.default_rng(seed)
    turns = 1 + 0.1 * np.sin(2 * np.pi * np.arange(samples) / RATE / rng.uniform(8, 14) + rng.uniform(0, 6))
    phase = 2 * np.pi * np.cumsum(turns) / RATE
    tones = sum(np.sin(f * phase + rng.uniform(0, 6)) for f in rng.uniform(100, 6000, 12))
    return (0.03 * (tones + 0.3 * rng.standard_normal(samples))).astype(np.float32)


def parts(seed: int, count: int, length: int = ODD) -> list[Clip]:
    whole = siren(seed, count * length)
    return [(whole[k * length : (k + 1) * length], RATE) for k in range(count)]


def cohort(count: int = 24) -> list[Clip]:
    """Clips of a round length, each of a recording of its own."""
    return [(siren(100 + seed, 2 * RATE), RATE) for seed in range(count)]


def seams_of(clips: list[Clip], config: SeamConfig | None = None) -> list[tuple[int, int]]:
    config = config or SeamConfig()
    return [(i, j) for i, j, _ in find_seams([clip_ends(x, rate, config) for x, rate in clips], config)]


def test_parts_of_a_recording_that_share_no_sound_are_one_group():
    one, other = parts(1, 4), parts(2, 3)
    clips = [one[2], other[0], one[0], other[2], one[3], other[1], one[1], *cohort()]
    assert {(2, 6), (6, 0), (0, 4), (1, 5), (5, 3)} <= set(seams_of(clips))  # in the order they were cut
    labels = group_recordings(clips).labels
    np.testing.assert_array_equal(labels[:7], [0, 1, 0, 1, 0, 1, 0])
    assert len(set(labels)) == 2 + 24
    assert len(set(group_recordings(clips, GroupingConfig(seams=None)).labels)) == 7 + 24


def test_unrelated_clips_of_one_odd_length_stay_apart():
    clips = [(siren(seed, ODD), RATE) for seed in range(30)]
    assert seams_of([*clips, *cohort()]) == []


@pytest.mark.parametrize(
    "clips",
    [
        pytest.param([*parts(1, 4, length=2 * RATE), *parts(2, 24, length=ODD)[::2]], id="a round length"),
        pytest.param([*parts(1, 4), *cohort(10)], id="too few other clips to tell what is usual"),
        pytest.param([*parts(1, 61), *cohort()], id="a length that most clips have"),
        pytest.param([*((x[:1500], RATE) for x, _ in parts(1, 4)), *cohort()], id="clips too short"),
        pytest.param([(np.zeros(ODD, np.float32), RATE)] * 4 + cohort(), id="silence"),
    ],
)
def test_where_a_length_tells_nothing_no_seam_is_sought(clips):
    assert seams_of(clips) == []


def test_noise_that_fits_everywhere_is_no_evidence():
    rng = np.random.default_rng(0)
    lengths = [ODD] * 20 + [2 * RATE] * 30
    rumble = [np.cumsum(rng.standard_normal(n)) for n in lengths]  # falls by 6 dB an octave, as traffic does
    clips = [(scipy.signal.lfilter([1, -1], [1, -0.99], x).astype(np.float32), RATE) for x in rumble]
    without = SeamConfig(most_by_chance=1.0)
    assert len(seams_of(clips, without)) > 0  # of 380 comparisons some fit better than the 30 of another length
    assert seams_of(clips) == []


def test_parameters_out_of_range_are_named():
    with pytest.raises(QuaclrsError, match="threshold of seams"):
        SeamConfig(threshold=2)
    with pytest.raises(QuaclrsError, match="windows"):
        SeamConfig(windows=())


def real_clips(folder: Path) -> tuple[list[str], list[Clip]]:
    files = sorted(folder.glob("*.ogg"))
    recordings = [read_recording(file) for file in files]
    return [f.stem for f in files], [(r.waveform.mean(axis=0), r.sampling_rate) for r in recordings]


def test_most_pairs_of_one_real_police_recording_are_found_and_no_two_recordings_merge(shared_data):
    names, clips = real_clips(shared_data / "sireNNet" / "police")
    recordings = np.array([re.sub(r"_\d+$", "", name) for name in names])
    labels = group_recordings(clips).labels
    upper = np.triu(np.ones((len(names), len(names)), dtype=bool), 1)
    same, together = (recordings[:, None] == recordings) & upper, (labels[:, None] == labels) & upper
    assert (same & together).sum() >= 0.8 * same.sum()
    assert not (together & ~same).any()


@pytest.mark.parametrize("class_name", ["firetruck", "traffic"])
def test_real_clips_cut_two_by_two_to_one_odd_length_do_not_merge(shared_data, class_name):
    _, clips = real_clips(shared_data / "sireNNet" / class_name)
    clips = clips[::4]  # neighbours may be one recording
    cut = [(x[: len(x) - 101 - 480 * (i // 2)], rate) for i, (x, rate) in enumerate(clips)]
    assert len({len(x) for x, _ in cut}) < len(cut)
    assert seams_of(cut) == []
