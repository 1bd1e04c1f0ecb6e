"""Batched waveform augmentations against power ratios, sample positions and the feature extractor."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from quaclrs.augment import Draws
from quaclrs.augment.on_waveforms import Gain, Mixup, RandomCut, TimeShift, choose_offsets, place
from quaclrs.errors import QuaclrsError
from quaclrs.models import LogMelConfig

RATE = 48_000


def counting(samples: int, first: int = 1) -> torch.Tensor:
    """A waveform whose samples tell where they came from."""
    return torch.arange(first, first + samples, dtype=torch.float32)


def draws(clips: int, **changed) -> Draws:
    return Draws(range(clips), **changed)


def test_a_cut_is_a_run_of_the_clip_of_the_drawn_length_from_anywhere():
    cut = RandomCut(seconds=(0.01, 0.02), sampling_rate=RATE)
    clips = cut([counting(2_000) for _ in range(300)], draws(300))
    lengths = np.array([len(clip) for clip in clips])
    assert lengths.min() >= 480
    assert lengths.max() <= 960
    assert np.ptp(lengths) > 400
    assert all((clip.diff() == 1).all() for clip in clips)
    starts = np.array([int(clip[0]) - 1 for clip in clips])
    assert starts.min() < 60
    assert (starts + lengths).max() > 1_940


def test_a_clip_shorter_than_the_cut_stays_whole():
    (clip,) = RandomCut(seconds=4.0, sampling_rate=RATE)([counting(100)], draws(1))
    assert torch.equal(clip, counting(100))


def test_gain_multiplies_by_its_decibels_and_clips_at_full_scale_only_if_asked():
    sound = torch.linspace(-1, 1, 101)
    (louder,) = Gain(decibels=6.0)([sound], draws(1))
    torch.testing.assert_close(louder, sound * 1.9952623)  # 10 ** (6 / 20)
    (overdriven,) = Gain(decibels=6.0, clip=True)([sound], draws(1))
    torch.testing.assert_close(overdriven, (sound * 1.9952623).clamp(-1, 1))
    assert sound.max() == 1


def test_only_as_many_clips_as_probable_are_touched_and_none_in_place():
    sound = torch.ones(10)
    made = Gain(decibels=-6.0, probability=0.25)([sound] * 2_000, draws(2_000))
    assert np.mean([not torch.equal(clip, sound) for clip in made]) == pytest.approx(0.25, abs=0.03)
    assert torch.equal(sound, torch.ones(10))


def test_mixup_adds_the_other_clip_at_the_same_level_by_the_share_of_the_label():
    generator = torch.Generator().manual_seed(0)
    own = [torch.randn(1_000, generator=generator) for _ in range(50)]
    others = [100 * torch.randn(600, generator=generator) for _ in range(50)]
    mixup = Mixup(alpha=1.0)
    mixed = mixup(own, draws(50), others)
    for clip, other, share, result in zip(own, others, mixup.shares(draws(50)), mixed, strict=True):
        level = clip.square().mean().sqrt() / other.square().mean().sqrt()
        expected = share * clip
        expected[:600] += (1 - share) * level * other
        torch.testing.assert_close(result, expected.float(), atol=1e-5, rtol=1e-4)


def test_clips_that_are_not_mixed_keep_their_sound_and_the_whole_of_their_label():
    mixup = Mixup(probability=0.5)
    sounds, others = [counting(10)] * 400, [counting(20)] * 400
    mixed = mixup(sounds, draws(400), others)
    untouched = mixup.shares(draws(400)) == 1
    assert untouched.mean() == pytest.approx(0.5, abs=0.08)
    assert [torch.equal(clip, counting(10)) for clip in mixed] == untouched.tolist()


def test_mixing_with_silence_or_into_silence_gives_finite_sound():
    mixup = Mixup(alpha=1.0)
    for own, other in ((torch.zeros(8), counting(8)), (counting(8), torch.zeros(8)), (torch.zeros(8), torch.zeros(8))):
        (mixed,) = mixup([own], draws(1), [other])
        assert torch.isfinite(mixed).all()


@pytest.mark.parametrize("pad_mode", ["zeros", "repeat"])
@pytest.mark.parametrize("samples", [1, 700, 1_000, 1_001, 2_500])
def test_a_clip_at_its_usual_place_is_what_the_feature_extractor_makes(pad_mode, samples):
    config = LogMelConfig(sampling_rate=1_000, duration=1.0, f_max=500.0, n_fft=64, hop_length=16, pad_mode=pad_mode)
    clip = counting(samples)
    offsets = choose_offsets(np.array([samples]), 1_000, False, draws(1))
    placed = place([clip], offsets, 1_000, pad_mode)[0].numpy()
    start = max(0, (samples - 1_000) // 2)
    by_hand = np.array([float(start + i + 1) if start + i < samples else 0.0 for i in range(1_000)])
    if pad_mode == "repeat":
        by_hand = np.array([float((start + i) % samples + 1) for i in range(1_000)])
    np.testing.assert_array_equal(placed, by_hand)
    np.testing.assert_array_equal(config.fit(clip.numpy()), by_hand)


def test_random_places_keep_the_whole_clip_and_reach_both_ends():
    offsets = choose_offsets(np.full(500, 900), 1_000, True, draws(500))
    assert (offsets.min(), offsets.max()) == (0, 100)
    placed = place([counting(900)] * 500, offsets, 1_000, "zeros")
    assert (placed.sum(1) == counting(900).sum()).all()
    cut = choose_offsets(np.full(500, 1_100), 1_000, True, draws(500))
    assert (cut.min(), cut.max()) == (-100, 0)


def test_a_repeated_clip_begins_anywhere_in_itself_and_goes_on_without_a_gap():
    placed = place([counting(7)] * 3, np.array([0, 3, -5]), 20, "repeat")
    for window, offset in zip(placed, (0, 3, -5), strict=True):
        assert window.tolist() == [(i - offset) % 7 + 1 for i in range(20)]


def shifted(seconds: float, length: int, n_samples: int, offset: int = 0) -> np.ndarray:
    shift = TimeShift(seconds=seconds, sampling_rate=1_000)
    return shift.shift(np.array([offset]), np.array([length]), n_samples, draws(1))


@pytest.mark.parametrize("seconds", [-0.5, 0.5])
@pytest.mark.parametrize(("length", "offset"), [(1, 0), (10, 0), (101, 50), (1_000, 0), (1_500, -250)])
def test_a_shift_never_loses_more_than_half_of_what_was_to_be_heard(seconds, length, offset):
    placed = place([counting(length)], shifted(seconds, length, 400, offset), 400, "zeros")
    assert (placed > 0).sum() >= min(length, 400) / 2


def test_a_clip_that_fills_its_window_does_not_come_round_even_where_short_ones_repeat():
    moved = place([counting(30)], shifted(-0.01, 30, 30), 30, "repeat")
    assert moved[0].tolist() == [*range(11, 31)] + [0.0] * 10


def test_a_shift_moves_by_its_seconds_and_what_leaves_is_lost():
    later, earlier = shifted(0.01, 30, 30), shifted(-0.01, 30, 30)
    assert (later, earlier) == (np.array([10]), np.array([-10]))
    assert place([counting(30)], later, 30, "zeros")[0].tolist() == [0.0] * 10 + list(range(1, 21))
    assert place([counting(30)], earlier, 30, "zeros")[0].tolist() == [*range(11, 31)] + [0.0] * 10
    assert not place([counting(30)], np.array([40]), 30, "zeros").any()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Gain(decibels=(3, 1)), "gain decibels"),
        (lambda: Gain(decibels="loud"), "gain decibels"),
        (lambda: Gain(decibels=float("inf")), "gain decibels"),
        (lambda: Gain(decibels=800), "gain decibels"),
        (lambda: Gain(decibels=10**400), "gain decibels"),
        (lambda: TimeShift(seconds=1e20, sampling_rate=RATE), "time_shift seconds"),
        (lambda: Gain(clip="yes"), "gain clip"),
        (lambda: Gain(probability=1.5), "gain probability"),
        (lambda: Mixup(alpha=0), "mixup alpha"),
        (lambda: RandomCut(seconds=(0, 1), sampling_rate=RATE), "random_cut seconds"),
        (lambda: RandomCut(seconds=(1, 2, 3), sampling_rate=RATE), "random_cut seconds"),
        (lambda: TimeShift(seconds=float("nan"), sampling_rate=RATE), "time_shift seconds"),
    ],
)
def test_an_impossible_option_is_refused_by_name_in_one_line(make, says):
    with pytest.raises(QuaclrsError, match=says) as error:
        make()
    assert "\n" not in str(error.value)
