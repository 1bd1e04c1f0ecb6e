"""Noise against power ratios and spectra, and the split of background recordings by their sources."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
import soundfile
import torch
from scipy import stats

from quaclrs import load_urbansound13
from quaclrs.augment import Draws, find_noise
from quaclrs.augment.noise import BackgroundNoise, GaussianNoise
from quaclrs.augment.noise_recordings import source_of, split_sources
from quaclrs.errors import QuaclrsError

RATE = 48_000


def tone(seconds: float = 1.0) -> torch.Tensor:
    return 0.3 * torch.sin(2 * torch.pi * 440 * torch.arange(round(seconds * RATE)) / RATE)


def ratio_db(clip: torch.Tensor, noisy: torch.Tensor) -> float:
    noise = (noisy.double() - clip.double()).square().mean()
    return float(10 * torch.log10(clip.double().square().mean() / noise))


@pytest.mark.parametrize("snr_db", [-5.0, 5.0, 15.0])
def test_gaussian_noise_has_the_asked_ratio_over_every_clip_of_any_length(snr_db):
    clips = [tone(seconds) for seconds in (0.01, 0.5, 4.0)]
    noisy = GaussianNoise(snr_db)(clips, Draws(range(3)))
    for clip, made in zip(clips, noisy, strict=True):
        assert ratio_db(clip, made) == pytest.approx(snr_db, abs=0.01)


def test_gaussian_noise_is_white_and_gaussian_and_differs_between_clips_epochs_and_views():
    clip = tone(2.0)
    augment = GaussianNoise(0.0)
    first, second = (made - clip for made in augment([clip, clip], Draws([1, 2])))
    (epoch,), (view,) = (augment([clip], Draws([1], **changed)) for changed in ({"epoch": 1}, {"view": 1}))
    standard = (first / first.std()).numpy()
    assert stats.kstest(standard[::40], "norm").pvalue > 0.01
    _, density = scipy.signal.welch(first.numpy(), RATE, nperseg=1024)
    assert 10 * np.log10(density[5:-5].max() / density[5:-5].min()) < 5
    for other in (second, epoch - clip, view - clip):
        assert abs(np.corrcoef(first.numpy(), other.numpy())[0, 1]) < 0.02


def test_silence_stays_silent():
    (made,) = GaussianNoise(5.0)([torch.zeros(100)], Draws([1]))
    assert not made.any()


@pytest.fixture
def folder(tmp_path):
    """Two categories of ESC-50 names, four sources each, the first with two takes; each file holds its own tone."""
    for category in ("rain", "wind"):
        (tmp_path / category).mkdir()
        for number in range(4):
            for take in "AB" if number == 0 else "A":
                source = {"rain": 1000, "wind": 2000}[category] + number
                hertz = source // 1000 * 1000 + number * 50
                sound = np.sin(2 * np.pi * hertz * np.arange(RATE // 2) / RATE)
                soundfile.write(tmp_path / category / f"1-{source}-{take}-10.wav", 0.1 * sound, RATE)
    return tmp_path


def test_takes_of_one_source_stay_together_and_every_category_has_both_sides(folder):
    sides = {split: find_noise(folder, split) for split in ("train", "test", "all")}
    names = {split: {recording.name for recording in found} for split, found in sides.items()}
    assert names["train"] | names["test"] == names["all"]
    assert len(names["all"]) == 10
    sources = {split: {recording.source for recording in found} for split, found in sides.items()}
    assert not sources["train"] & sources["test"]
    for split in ("train", "test"):
        assert {recording.category for recording in sides[split]} == {"rain", "wind"}


def test_real_background_recordings_are_split_by_their_freesound_ids(shared_data):
    train, test = (find_noise(shared_data / "noise", split) for split in ("train", "test"))
    assert len(train) + len(test) == 60

    def ids(found):
        return {recording.name.split("-")[-3] for recording in found}  # fold-ID-take-class

    assert not ids(train) & ids(test)
    assert len(ids(train) | ids(test)) == 49
    assert len({recording.category for recording in test}) == 6


def test_a_source_is_read_off_esc50_names_only():
    assert source_of("1-39901-A-11.ogg") == source_of("1-39901-B-11.wav") == "39901"
    assert source_of("street-corner-2.wav") == "street-corner-2"


def test_a_side_does_not_change_when_another_category_is_added():
    before = split_sources(["a", "b", "c"], ["rain"] * 3)
    after = split_sources(["a", "b", "c", "x", "y"], ["rain"] * 3 + ["wind"] * 2)
    assert before.items() <= after.items()
    assert set(after.values()) == {"train", "test"}


def test_a_source_keeps_its_side_when_recordings_are_added_beside_it_or_to_a_second_category():
    names = [f"s{i}" for i in range(40)]
    sides = split_sources(names[:20], ["rain"] * 20)
    grown = split_sources([*names, *names[:5]], ["rain"] * 40 + ["wind"] * 5)
    assert sides.items() <= grown.items()
    assert 0.4 < sum(side == "train" for side in grown.values()) / 40 < 0.8


def test_background_noise_of_the_test_side_never_holds_a_tone_that_trained(folder):
    heard = {}
    for split in ("train", "test"):
        augment = BackgroundNoise(folder, 0.0, split, sampling_rate=RATE)
        clips = [torch.full((RATE // 2,), 0.2)] * 60
        heard[split] = {
            round(float(np.argmax(np.abs(np.fft.rfft((made - clip).numpy()))) * 2))
            for clip, made in zip(clips, augment(clips, Draws(range(60))), strict=True)
        }
    assert not heard["train"] & heard["test"]
    assert len(heard["train"] | heard["test"]) >= 6


@pytest.mark.parametrize("seconds", [0.1, 0.5, 2.0])
def test_background_noise_has_the_asked_ratio_and_is_played_again_under_a_longer_clip(folder, seconds):
    clip = tone(seconds)
    (made,) = BackgroundNoise(folder, 10.0, sampling_rate=RATE)([clip], Draws([3]))
    assert ratio_db(clip, made) == pytest.approx(10, abs=0.01)
    if seconds == 2.0:
        noise = made - clip
        torch.testing.assert_close(noise[: RATE // 2], noise[RATE // 2 : RATE], atol=1e-5, rtol=0)


def test_a_data_set_of_recordings_is_split_by_its_recording_ids(sample_dataset):
    train, test = (find_noise(sample_dataset, split) for split in ("train", "test"))
    assert not {r.source for r in train} & {r.source for r in test}
    clips = load_urbansound13(sample_dataset)
    recording_of = dict(zip(clips["clip_id"][:], clips["recording_id"][:], strict=True))
    assert {r.name: r.source for r in train + test} == recording_of
    assert train[0].read(RATE).dtype == np.float32


@pytest.mark.parametrize(("seconds", "held"), [(1.0, 1.0), (1.2, 1.0), (0.3, 0.3)])
def test_no_more_is_held_than_asked_for_and_no_sliver_of_a_recording(folder, seconds, held):
    augment = BackgroundNoise(folder, split="all", max_minutes=seconds / 60, sampling_rate=RATE)
    assert len(augment.bank) == held * RATE


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: find_noise(folder / "absent"), "absent does not exist"),
        (lambda folder: find_noise(folder, "validation"), "validation"),
        (lambda folder: find_noise(5), "no audio column"),
        (lambda folder: BackgroundNoise(sampling_rate=RATE), "--background-noise"),
        (lambda folder: GaussianNoise("loud"), "gaussian_noise snr_db"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(folder, make, says):
    with pytest.raises(QuaclrsError, match=says) as error:
        make(folder)
    assert "\n" not in str(error.value)


def test_a_folder_without_sound_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("rain")
    with pytest.raises(QuaclrsError, match="no sound file"):
        find_noise(tmp_path)
