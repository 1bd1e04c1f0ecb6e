"""The augmenting front end as a whole: the paper's variants, repeatability, order, memory."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from librosa_log_mel import librosa_log_mel

from quaclrs.augment import (
    VARIANTS,
    AugmentedLogMel,
    Draws,
    Policy,
    load_policies,
    variant_policy,
    with_background,
)
from quaclrs.errors import QuaclrsError
from quaclrs.models import LogMelConfig, LogMelSpectrogram, QuaclrsFeatureExtractor

RATE = 48_000
LENGTHS = np.array([192_000, 150_000, 60_000, 2_000, 192_000])

#: Every augmentation at once.
EVERYTHING = {
    "time_stretch": {"probability": 0.5},
    "pitch_shift": {"probability": 0.5},
    "gain": {"clip": True},
    "gaussian_noise": {"probability": 0.7},
    "random_cut": {"seconds": [0.5, 3.0], "probability": 0.5},
    "time_shift": {},
    "equalizer": {},
    "random_resized_crop": {"probability": 0.5},
    "spec_augment": {},
    "patch_augment": {},
}


def batch(lengths=LENGTHS, samples: int = 192_000) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    waveform = 0.2 * torch.randn(len(lengths), samples, generator=generator)
    for row, length in zip(waveform, lengths, strict=True):
        row[length:] = 0
    return waveform


@pytest.fixture(scope="module")
def front_end() -> LogMelSpectrogram:
    return LogMelSpectrogram()


@pytest.mark.parametrize("pad_mode", ["zeros", "repeat"])
def test_without_augmentations_it_equals_feature_extractor_and_front_end(pad_mode):
    config = LogMelConfig(pad_mode=pad_mode)
    front_end, waveform = LogMelSpectrogram(config), batch()
    extractor = QuaclrsFeatureExtractor(config.to_dict())
    clips = [row[:length].numpy() for row, length in zip(waveform, LENGTHS, strict=True)]
    expected = front_end(torch.from_numpy(extractor(clips)["input_values"]))
    made = AugmentedLogMel(Policy(), front_end)(waveform, LENGTHS, Draws(range(5)))
    torch.testing.assert_close(made, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("name", "decibels"), [("noise_5dB", 5), ("noise_15dB", 15)])
def test_noise_variants_sound_as_the_clip_with_noise_of_that_ratio(front_end, name, decibels):
    waveform = batch()
    made = AugmentedLogMel(variant_policy(name), front_end)(waveform, LENGTHS, Draws(range(5))).numpy()
    for row, length, log_mel in zip(waveform.numpy(), LENGTHS, made, strict=True):
        clip = row[:length].astype(np.float64)
        noise = np.random.default_rng(9).standard_normal(length)
        noise *= np.sqrt(np.mean(clip**2) / np.mean(noise**2) / 10 ** (decibels / 10))
        expected = librosa_log_mel((clip + noise).astype(np.float32))
        heard = slice(2, max(3, length // 512 - 2))
        # Two draws of noise have the same spectrum in the mean, and the same silence around the clip.
        np.testing.assert_allclose(log_mel[:, heard].mean(), expected[:, heard].mean(), atol=0.02)
        np.testing.assert_array_equal(log_mel[:, length // 512 + 4 :], expected[:, length // 512 + 4 :])


@pytest.mark.parametrize("name", [name for name in VARIANTS if name.startswith(("spec", "patch"))])
def test_masks_and_patches_of_the_variants_are_put_on_the_original(front_end, name):
    waveform, draws = batch(), Draws(range(5))
    original = AugmentedLogMel(Policy(), front_end)(waveform, LENGTHS, draws)
    made = AugmentedLogMel(variant_policy(name), front_end)(waveform, LENGTHS, draws)
    for log_mel, before in zip(made[:2], original[:2], strict=True):
        if name.startswith("spec"):
            rows, columns = ~log_mel.any(1), ~log_mel.any(0)
            masked = rows[:, None] | columns
            assert torch.equal(log_mel, before.masked_fill(masked, 0))
            assert 0 < rows.sum() <= 40
        else:
            assert 200 < (log_mel != before).sum() <= 500
    again = AugmentedLogMel(variant_policy(name[:-1] + ("1" if name[-1] == "0" else "0")), front_end)
    assert not torch.equal(made, again(waveform, LENGTHS, draws))


def test_a_clip_comes_out_the_same_alone_in_any_batch_and_in_any_order(front_end):
    augment, waveform = AugmentedLogMel(Policy(EVERYTHING, random_placement=True), front_end), batch()
    together = augment(waveform, LENGTHS, Draws(range(5), seed=1, epoch=3))
    backwards = augment(waveform.flip(0), LENGTHS[::-1], Draws(range(4, -1, -1), seed=1, epoch=3)).flip(0)
    torch.testing.assert_close(together, backwards, atol=2e-5, rtol=0)
    for row in range(5):
        alone = augment(waveform[row : row + 1], LENGTHS[row : row + 1], Draws([row], seed=1, epoch=3))
        torch.testing.assert_close(alone[0], together[row], atol=2e-5, rtol=0)


@pytest.mark.parametrize("changed", [{"seed": 2}, {"epoch": 4}, {"view": 1}])
def test_another_seed_epoch_or_view_changes_every_clip(front_end, changed):
    augment, waveform = AugmentedLogMel(Policy(EVERYTHING, random_placement=True), front_end), batch()
    first = augment(waveform, LENGTHS, Draws(range(5), **{"seed": 1, "epoch": 3}))
    other = augment(waveform, LENGTHS, Draws(range(5), **{"seed": 1, "epoch": 3, **changed}))
    assert all(not torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_the_order_of_a_policy_changes_nothing_and_no_input_is_changed(front_end):
    waveform, draws = batch(), Draws(range(5))
    kept = waveform.clone()
    made = AugmentedLogMel(Policy(EVERYTHING), front_end)(waveform, LENGTHS, draws)
    turned = AugmentedLogMel(Policy(dict(reversed(EVERYTHING.items()))), front_end)(waveform, LENGTHS, draws)
    assert torch.equal(made, turned)
    assert torch.equal(waveform, kept)


def test_what_comes_out_is_a_log_mel_in_float32_also_inside_autocast(front_end):
    augment, waveform = AugmentedLogMel(Policy(EVERYTHING), front_end), batch()
    expected = augment(waveform, LENGTHS, Draws(range(5)))
    with torch.autocast("cpu", torch.bfloat16):
        made = augment(waveform, LENGTHS, Draws(range(5)))
    assert made.shape == (5, 128, 376)
    assert made.dtype == torch.float32
    assert made.min() >= 0
    assert made.max() <= 1
    assert torch.equal(made, expected)


def test_waveform_augmentations_come_before_those_of_the_spectrogram(front_end):
    # Masks put on before noise would be filled by it.
    policy = Policy({"spec_augment": {"n_masks": 2}, "gaussian_noise": {"snr_db": 0}})
    made = AugmentedLogMel(policy, front_end)(batch(), LENGTHS, Draws(range(5)))
    assert (~made[0].any(1)).any()


def test_random_placement_makes_length_and_place_vary_and_repeat_leaves_no_silence():
    policy = Policy({"random_cut": {"seconds": [1.0, 2.0]}}, random_placement=True)
    waveform, lengths, draws = batch(np.full(24, 192_000)), np.full(24, 192_000), Draws(range(24))
    silent = ~AugmentedLogMel(policy, LogMelSpectrogram())(waveform, lengths, draws).any(1)
    firsts = {int((~frames).nonzero()[0]) for frames in silent}
    assert len(firsts) > 15
    assert silent.float().mean() > 0.4
    repeated = AugmentedLogMel(policy, LogMelSpectrogram(LogMelConfig(pad_mode="repeat")))(waveform, lengths, draws)
    assert repeated.any(1).all()


def test_mixup_needs_partners_and_gives_the_log_mel_of_the_mixed_sound(front_end):
    augment = AugmentedLogMel(Policy({"mixup": {"alpha": 1.0}}), front_end)
    waveform, draws = batch(), Draws(range(5))
    with pytest.raises(QuaclrsError, match="partners"):
        augment(waveform, LENGTHS, draws)
    made = augment(waveform, LENGTHS, draws, waveform.flip(0), LENGTHS[::-1])
    share = augment.mixup.shares(draws)[0]
    level = waveform[0].square().mean().sqrt() / waveform[4].square().mean().sqrt()
    mixed = share * waveform[0] + (1 - share) * level * waveform[4]
    torch.testing.assert_close(made[0], front_end(mixed.float()), atol=1e-5, rtol=0)


def test_a_batch_of_the_loader_gets_log_mels_for_waveforms_and_shares_for_mixed_labels(front_end):
    rows = {
        "input_values": batch(),
        "length": LENGTHS,
        "clip_key": np.arange(5),
        "labels": torch.arange(5),
        "partner_values": batch().flip(0),
        "partner_length": LENGTHS[::-1],
        "partner_labels": torch.arange(5).flip(0),
    }
    augment = AugmentedLogMel(Policy({"mixup": {"probability": 0.5}}), front_end)
    made = augment.augment_batch(rows, seed=1, epoch=2)
    assert set(made) == {"input_features", "labels", "partner_labels", "label_share"}
    np.testing.assert_allclose(made["label_share"], augment.mixup.shares(Draws(range(5), 1, 2)), atol=1e-6)
    as_tensors = {name: torch.as_tensor(np.ascontiguousarray(values)) for name, values in rows.items()}
    assert torch.equal(augment.augment_batch(as_tensors, seed=1, epoch=2)["input_features"], made["input_features"])
    untouched = AugmentedLogMel(Policy(), front_end).augment_batch(rows)
    assert untouched["label_share"].tolist() == [1] * 5


def test_no_clips_give_no_log_mels_and_patches_that_never_fit_are_refused_at_once(front_end):
    none = AugmentedLogMel(Policy(EVERYTHING), front_end)(torch.zeros(0, 100), [], Draws([]))
    assert none.shape == (0, 128, 376)
    with pytest.raises(QuaclrsError, match="size is 500"):
        AugmentedLogMel(Policy({"patch_augment": {"size": 500}}), front_end)


def test_no_clip_however_short_is_shifted_out_of_hearing(front_end):
    lengths = np.full(40, 9_600)
    for pad_mode in ("zeros", "repeat"):
        shift = AugmentedLogMel(Policy({"time_shift": {}}), LogMelSpectrogram(LogMelConfig(pad_mode=pad_mode)))
        assert shift(batch(lengths), lengths, Draws(range(40))).amax((1, 2)).min() == 1


def test_a_batch_without_keys_is_refused_with_what_makes_them(front_end):
    with pytest.raises(QuaclrsError, match="ClipTransform"):
        AugmentedLogMel(Policy(), front_end).augment_batch({"input_values": batch()})


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
def test_an_accelerator_gives_the_log_mels_of_the_cpu(front_end):
    policy = Policy(EVERYTHING, random_placement=True)
    expected = AugmentedLogMel(policy, front_end)(batch(), LENGTHS, Draws(range(5)))
    on_device = AugmentedLogMel(policy, LogMelSpectrogram()).to("cuda")
    made = on_device(batch().to("cuda"), LENGTHS, Draws(range(5))).cpu()
    assert (made - expected).abs().quantile(0.999) < 1e-3


@pytest.mark.weekly
def test_two_thousand_batches_leave_memory_where_it_was(shared_data):
    (street,) = load_policies("street")
    policy = with_background(Policy({**street.augmentations, **EVERYTHING}, True), str(shared_data / "noise"))
    config = LogMelConfig(duration=0.5)
    augment = AugmentedLogMel(policy, LogMelSpectrogram(config))
    waveform, lengths = batch(np.full(4, config.n_samples), config.n_samples), np.full(4, config.n_samples)

    def resident() -> int:
        """Bytes of memory in use, without pages of files, which a busy machine drops and reads again."""
        with open("/proc/self/status") as file:
            (kilobytes,) = (line.split()[1] for line in file if line.startswith("RssAnon:"))
        return 1024 * int(kilobytes)

    if sys.platform != "linux":
        pytest.skip("reads /proc")
    for number in range(200):
        augment(waveform, lengths, Draws(range(4), epoch=number))
    before = resident()
    for number in range(200, 2_200):
        augment(waveform, lengths, Draws(range(4), epoch=number))
    assert resident() - before < 8 * 2**20
