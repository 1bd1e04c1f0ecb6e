"""The paper's twelve variants: their names, what each does to a clip, and what their draws depend on."""

from __future__ import annotations

import subprocess
import sys

import librosa
import numpy as np
import pytest
import soundfile
import soxr
import torch
from librosa_log_mel import librosa_log_mel

from quaclrs.augment import COPIES, VARIANTS, VariantLogMel, copy_id, parent_and_variant, seeded_generator
from quaclrs.errors import QuaclrsError
from quaclrs.models import LogMelConfig, LogMelSpectrogram, QuaclrsFeatureExtractor

RATE = 48_000


@pytest.fixture(scope="module")
def make():
    return VariantLogMel(LogMelSpectrogram())


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return (0.2 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


def test_the_variants_are_those_of_the_papers_tables_in_its_order():
    assert list(VARIANTS) == [
        "original",
        "noise_5dB",
        "noise_15dB",
        "timestretch_0.8",
        "timestretch_1.2",
        "pitchshift_-2",
        "pitchshift_2",
        "specaugment_0",
        "specaugment_1",
        "specaugment_2",
        "patchaugment_0",
        "patchaugment_1",
    ]
    assert list(COPIES) == list(VARIANTS)[1:]
    with pytest.raises(TypeError):
        VARIANTS["echo"] = VARIANTS["original"]


def test_an_id_says_of_which_clip_and_which_variant_it_is():
    for clip_id in ("urbansound8k/101415-3-0-2", "mine/take #2", "mine/a#b"):
        ids = [copy_id(clip_id, variant) for variant in VARIANTS]
        assert ids[0] == clip_id
        assert len(set(ids)) == 12
        assert [parent_and_variant(one) for one in ids] == [(clip_id, variant) for variant in VARIANTS]


@pytest.mark.parametrize("pad_mode", ["zeros", "repeat"])
@pytest.mark.parametrize("seconds", [0.01, 0.6, 3.0, 4.0, 5.5])
def test_the_original_is_what_feature_extractor_and_front_end_make_of_the_clip_to_the_bit(seconds, pad_mode):
    clip, config = noise(seconds), LogMelConfig(pad_mode=pad_mode)
    front_end = LogMelSpectrogram(config)
    values = QuaclrsFeatureExtractor(config.to_dict())([clip])["input_values"]
    made = VariantLogMel(front_end)(clip, "a/b")
    assert torch.equal(made, front_end(torch.from_numpy(values))[0])
    if pad_mode == "zeros":
        np.testing.assert_allclose(made.numpy(), librosa_log_mel(clip), atol=1e-4)


@pytest.fixture(scope="module")
def real_sound(shared_data):
    """Real clips one after the other, 48 kHz."""
    files = sorted((shared_data / "UrbanSound8K" / "audio" / "fold2").iterdir())[::40]
    clips = [soundfile.read(file, dtype="float32", always_2d=True) for file in files]
    return np.concatenate([soxr.resample(waveform.mean(1), rate, RATE) for waveform, rate in clips])


@pytest.mark.parametrize("seconds", [0.6, 3.0, 4.0, 5.5])
def test_stretch_and_shift_act_on_the_clip_at_its_true_length_as_librosas_do(make, real_sound, seconds):
    ways = {
        "timestretch_0.8": lambda clip: librosa.effects.time_stretch(clip, rate=0.8),
        "timestretch_1.2": lambda clip: librosa.effects.time_stretch(clip, rate=1.2),
        "pitchshift_-2": lambda clip: librosa.effects.pitch_shift(clip, sr=RATE, n_steps=-2),
        "pitchshift_2": lambda clip: librosa.effects.pitch_shift(clip, sr=RATE, n_steps=2),
    }
    samples = round(seconds * RATE)
    clips = real_sound[: len(real_sound) // samples * samples].reshape(-1, samples)[:5]
    for name, by_librosa in ways.items():
        differences = []
        for clip in clips:
            log_mel, expected = make(clip, f"a/b#{name}").numpy(), librosa_log_mel(by_librosa(clip))
            assert (log_mel.shape, log_mel.dtype) == ((128, 376), np.float32)
            differences.append(80 * np.abs(log_mel - expected)[(log_mel > 0) | (expected > 0)])
            ends = [np.flatnonzero(of.any(0))[-1] for of in (log_mel, expected)]
            assert abs(ends[0] - ends[1]) <= 2, name  # of 376 frames
        assert np.median(np.concatenate(differences)) < 3, name


@pytest.mark.parametrize(("name", "decibels"), [("noise_5dB", 5), ("noise_15dB", 15)])
def test_noise_is_as_loud_as_its_name_says_over_the_clip_and_leaves_the_padding_silent(make, name, decibels):
    # A tone fills few mel bands: in all others the noise is heard, its level known from its power.
    clip = (0.5 * np.sin(2 * np.pi * 500 * np.arange(RATE) / RATE)).astype(np.float32)
    log_mel = make(clip, f"a/b#{name}").numpy()
    assert not log_mel[:, 100:].any()
    reference = np.random.default_rng(9).standard_normal(RATE) * np.sqrt(0.125 / 10 ** (decibels / 10))
    expected = librosa_log_mel((clip + reference).astype(np.float32))
    quiet = slice(60, None)
    difference = 80 * (log_mel[quiet, 4:90].mean() - expected[quiet, 4:90].mean())
    assert abs(difference) < 0.2


def test_masks_and_patches_are_put_on_the_originals_log_mel(make):
    clip = noise(4.0)
    original = make(clip, "a/b").numpy()
    masked = [make(clip, f"a/b#specaugment_{i}").numpy() for i in range(3)]
    for one in masked:
        rows, columns = ~one.any(axis=1), ~one.any(axis=0)
        np.testing.assert_array_equal(one, np.where(rows[:, None] | columns, 0, original))
    patched = [make(clip, f"a/b#patchaugment_{i}").numpy() for i in range(2)]
    for one in patched:
        assert 200 < (one != original).sum() <= 500
    drawn = [*masked, *patched]
    assert all((drawn[i] != drawn[j]).any() for i in range(5) for j in range(i))


def test_all_variants_of_real_clips_are_log_mels_that_differ(make, shared_data):
    files = sorted((shared_data / "UrbanSound8K" / "audio" / "fold2").iterdir())[::400]
    assert len(files) >= 2
    for file in files:
        waveform, rate = soundfile.read(file, dtype="float32")
        clip = soxr.resample(waveform, rate, RATE)
        made = {name: make(clip, copy_id(file.stem, name)).numpy() for name in VARIANTS}
        assert all(
            log_mel.shape == (128, 376) and log_mel.min() >= 0 <= log_mel.max() <= 1 for log_mel in made.values()
        )
        assert len({log_mel.tobytes() for log_mel in made.values()}) == 12
        np.testing.assert_allclose(made["original"], librosa_log_mel(clip), atol=1e-4)


def test_a_silent_clip_is_0_everywhere_in_every_variant(make):
    for name in VARIANTS:
        assert not make(np.zeros(RATE, dtype=np.float32), copy_id("a/b", name)).any()


@pytest.mark.parametrize("name", ["noise_5dB", "specaugment_0", "patchaugment_1"])
def test_a_draw_depends_on_seed_clip_and_variant_and_on_nothing_else(make, name):
    clip, clip_id = noise(1.0), f"a/b#{name}"
    made = make(clip, clip_id)
    make(noise(2.0, seed=5), f"c/d#{name}")
    assert torch.equal(made, make(clip, clip_id))
    assert torch.equal(made, VariantLogMel(LogMelSpectrogram(), seed=0)(clip, clip_id))
    assert not torch.equal(made, VariantLogMel(LogMelSpectrogram(), seed=1)(clip, clip_id))
    assert not torch.equal(made, make(clip, f"a/c#{name}"))


def test_a_variant_leaves_its_clip_alone(make):
    clip = noise(1.0)
    for name in VARIANTS:
        make(clip, copy_id("a/b", name))
    np.testing.assert_array_equal(clip, noise(1.0))


def test_another_process_draws_the_same():
    code = "from quaclrs.augment import seeded_generator as g; print(g(3, 'é/b', 'noise_5dB').integers(2**62))"
    found = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        for _ in range(2)
    }
    assert found == {str(seeded_generator(3, "é/b", "noise_5dB").integers(2**62))}


def test_naming_a_variant_needs_no_torch():
    code = (
        "import sys, quaclrs.augment as a; [a.copy_id('x', name) for name in a.VARIANTS]; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("shape", [(0,), (2, 100)])
def test_a_misshapen_waveform_is_refused(make, shape):
    with pytest.raises(QuaclrsError, match="at least one sample"):
        make(np.zeros(shape, dtype=np.float32), "a/b")


def test_an_unknown_variant_and_a_negative_seed_are_refused_in_one_line():
    with pytest.raises(QuaclrsError, match=r"unknown variant 'timestretch_1'; choose original, .*timestretch_1\.2"):
        copy_id("a/b", "timestretch_1")
    with pytest.raises(QuaclrsError, match="seed is -1"):
        VariantLogMel(LogMelSpectrogram(), seed=-1)(noise(0.1), "a/b#noise_5dB")
