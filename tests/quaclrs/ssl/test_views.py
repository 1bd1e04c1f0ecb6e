"""The views of a clip: how many, how long, that they differ, and that they are a function of seed, epoch and clip."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from quaclrs.audio import encode_pcm
from quaclrs.augment import Policy, load_policies
from quaclrs.models import LogMelConfig, LogMelSpectrogram, QuaclrsFeatureExtractor
from quaclrs.ssl import Views
from quaclrs.transforms import ClipTransform, collate_clips

RATE, HOP, MELS = 16_000, 160, 32
FRONT_END = LogMelConfig(sampling_rate=RATE, duration=1.0, n_fft=512, hop_length=HOP, n_mels=MELS)
NOISY = Policy({"gaussian_noise": {}, "spec_augment": {}}, random_placement=True)
CLIPS = 4


def rising_tones() -> list[np.ndarray]:
    """One clip of the window's length, one longer, two shorter; pitch tells the place in the sound."""
    times = [np.arange(int(RATE * seconds)) / RATE for seconds in (1.0, 1.5, 0.4, 0.9)]
    return [0.5 * np.sin(2 * np.pi * (300 * t + 0.5 * 3000 * t**2)) for t in times]


def rows() -> dict:
    return {
        "pcm": [encode_pcm(clip) for clip in rising_tones()],
        "label": [0, 1, 2, 0],
        "clip_id": [f"clip-{i}" for i in range(CLIPS)],
    }


def batch_of(views: Views, seed: int = 0, epoch: int = 0, augment_on: str = "device") -> dict:
    """A batch as a data loader gives it."""
    extractor = QuaclrsFeatureExtractor(log_mel=FRONT_END.to_dict())
    transform = ClipTransform(extractor, seed=seed, views=views.of_policies, augment_on=augment_on)
    transform.set_epoch(epoch)
    columns = transform(rows())
    return collate_clips([{name: values[i] for name, values in columns.items()} for i in range(CLIPS)])


def seen(views: Views, seed: int = 0, epoch: int = 0) -> list[torch.Tensor]:
    return views(batch_of(views, seed, epoch), seed, epoch)


@pytest.mark.parametrize("local", [0, 1, 3])
@pytest.mark.parametrize("duration", [0.5, 0.25])
def test_two_whole_views_come_first_and_then_the_local_ones_which_are_shorter(local, duration):
    made = seen(Views([NOISY, NOISY], FRONT_END, local, duration))
    whole, short = 1 + RATE // HOP, 1 + round(RATE * duration) // HOP
    assert [tuple(view.shape) for view in made] == [(CLIPS, MELS, whole)] * 2 + [(CLIPS, MELS, short)] * local
    assert all(view.dtype == torch.float32 and view.min() >= 0 and view.max() <= 1 for view in made)


def test_no_two_views_of_a_clip_are_alike_though_their_policies_are():
    made = seen(Views([NOISY, NOISY], FRONT_END, 3, 0.5))
    for views in (made[:2], made[2:]):
        for i, first in enumerate(views):
            for second in views[i + 1 :]:
                assert all(float((a - b).abs().mean()) > 0.01 for a, b in zip(first, second, strict=True))


def test_the_two_whole_views_follow_their_own_policies():
    views = Views([Policy(), NOISY], FRONT_END)
    plain, noisy = seen(views)
    extractor = QuaclrsFeatureExtractor(log_mel=FRONT_END.to_dict())
    values = extractor([clip.astype(np.float32) for clip in rising_tones()], sampling_rate=RATE)["input_values"]
    expected = LogMelSpectrogram(FRONT_END)(torch.as_tensor(values))
    assert float((plain - expected).abs().max()) < 0.02  # 16 bits a sample
    assert float((noisy - expected).abs().mean()) > 0.05


def test_local_views_take_the_policies_in_turn_and_begin_anywhere():
    views = Views([Policy({"gain": {}}), NOISY], FRONT_END, 3, 0.5)
    policies = [view.policy for view in views.of_policies]
    assert [set(policy.augmentations) for policy in policies] == [
        {"gain"}, {"gaussian_noise", "spec_augment"}, {"gain"}, {"gaussian_noise", "spec_augment"}, {"gain"},
    ]  # fmt: skip
    assert [policy.random_placement for policy in policies] == [False, True, True, True, True]


def test_a_local_view_is_a_part_from_anywhere_in_the_sound():
    views = Views([Policy(), Policy()], FRONT_END, 1, 0.25)
    centres = LogMelSpectrogram(FRONT_END)(torch.as_tensor(rising_tones()[0], dtype=torch.float32)[None])
    pitch_at = centres[0].argmax(0)  # band of every frame of the whole clip
    places = []
    for epoch in range(12):
        local = seen(views, epoch=epoch)[2][0]
        bands = local.argmax(0)[2:-2]  # without the frames that reach over an edge
        fits = [int((pitch_at[start : start + len(bands)] - bands).abs().max()) for start in range(101 - len(bands))]
        assert min(fits) <= 1
        places.append(int(np.argmin(fits)))
    assert min(places) < 25 and max(places) > 45


@pytest.mark.parametrize(
    "policies", [[NOISY, NOISY], [NOISY, Policy({"gain": {}})], load_policies("two_views", views=2)]
)
def test_the_same_seed_and_epoch_give_the_same_views_and_others_give_others(policies):
    views = Views(policies, FRONT_END, 1, 0.5)
    first = seen(views, 3, 5)
    assert all(torch.equal(a, b) for a, b in zip(first, seen(views, 3, 5), strict=True))
    for other in (seen(views, 3, 6), seen(views, 4, 5)):
        assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_a_view_of_a_clip_does_not_depend_on_the_clips_beside_it():
    views = Views([NOISY, NOISY], FRONT_END, 1, 0.5)
    whole = batch_of(views)
    alone = {name: values[2:3] for name, values in whole.items()}
    for together, single in zip(views(whole), views(alone), strict=True):
        torch.testing.assert_close(single[0], together[2], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("seed", "epoch"), [(0, 0), (7, 3)])
def test_views_made_in_a_worker_are_those_made_on_the_device(seed, epoch):
    views = Views([NOISY, NOISY], FRONT_END)
    batch = batch_of(views, seed, epoch, augment_on="worker")
    assert batch["input_features"].shape == (CLIPS, 2, MELS, 101)
    assert "input_values" not in batch
    for in_worker, on_device in zip(views(batch, seed, epoch), seen(views, seed, epoch), strict=True):
        torch.testing.assert_close(in_worker, on_device, rtol=1e-5, atol=1e-5)
