"""The paper's twelve variants: their names, what each does to a clip, and what their draws depend on."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import librosa
import numpy as np
import pytest
import soundfile
import soxr
from librosa_log_mel import librosa_log_mel

from quaclrs.augment import VARIANTS, make_variant, model_front_end, seeded_generator
from quaclrs.errors import QuaclrsError

RATE = 48_000


@pytest.fixture(scope="module")
def front_end():
    return model_front_end()


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
    for name, variant in VARIANTS.items():
        assert name.startswith(variant.kind)
        with pytest.raises(dataclasses.FrozenInstanceError):
            variant.kind = "original"
    with pytest.raises(TypeError):
        VARIANTS["echo"] = VARIANTS["original"]


@pytest.mark.parametrize("seconds", [0.6, 3.0, 4.0, 5.5])
def test_stretch_and_shift_act_on_the_clip_at_its_true_length(front_end, seconds):
    clip = noise(seconds)
    expected = {
        "original": clip,
        "timestretch_0.8": librosa.effects.time_stretch(clip, rate=0.8),
        "timestretch_1.2": librosa.effects.time_stretch(clip, rate=1.2),
        "pitchshift_-2": librosa.effects.pitch_shift(clip, sr=RATE, n_steps=-2),
        "pitchshift_2": librosa.effects.pitch_shift(clip, sr=RATE, n_steps=2),
    }
    for name, waveform in expected.items():
        log_mel = make_variant(name, clip, "a/b", front_end=front_end)
        assert (log_mel.shape, log_mel.dtype) == ((128, 376), np.float32)
        np.testing.assert_allclose(log_mel, librosa_log_mel(waveform), atol=1e-4, err_msg=name)


@pytest.mark.parametrize(("name", "decibels"), [("noise_5dB", 5), ("noise_15dB", 15)])
def test_noise_is_as_loud_as_its_name_says_over_the_clip_and_leaves_the_padding_silent(front_end, name, decibels):
    # A tone fills few mel bands: in all others the noise is heard, its level known from its power.
    clip = (0.5 * np.sin(2 * np.pi * 500 * np.arange(RATE) / RATE)).astype(np.float32)
    log_mel = make_variant(name, clip, "a/b", front_end=front_end)
    assert not log_mel[:, 100:].any()
    reference = np.random.default_rng(9).standard_normal(RATE) * np.sqrt(0.125 / 10 ** (decibels / 10))
    expected = librosa_log_mel((clip + reference).astype(np.float32))
    quiet = slice(60, None)
    difference = 80 * (log_mel[quiet, 4:90].mean() - expected[quiet, 4:90].mean())
    assert abs(difference) < 0.2


def test_masks_and_patches_are_put_on_the_originals_log_mel(front_end):
    clip = noise(4.0)
    original = make_variant("original", clip, "a/b", front_end=front_end)
    masked = [make_variant(f"specaugment_{i}", clip, "a/b", front_end=front_end) for i in range(3)]
    for one in masked:
        rows, columns = ~one.any(axis=1), ~one.any(axis=0)
        np.testing.assert_array_equal(one, np.where(rows[:, None] | columns, 0, original))
    patched = [make_variant(f"patchaugment_{i}", clip, "a/b", front_end=front_end) for i in range(2)]
    for one in patched:
        assert 200 < (one != original).sum() <= 500
    drawn = [*masked, *patched]
    assert all((drawn[i] != drawn[j]).any() for i in range(5) for j in range(i))


def test_all_variants_of_real_clips_are_log_mels_that_differ(front_end, shared_data):
    for file in sorted((shared_data / "UrbanSound8K" / "audio" / "fold2").iterdir())[::400]:
        waveform, rate = soundfile.read(file, dtype="float32")
        clip = soxr.resample(waveform, rate, RATE)
        made = {name: make_variant(name, clip, file.stem, front_end=front_end) for name in VARIANTS}
        assert all(
            log_mel.shape == (128, 376) and log_mel.min() >= 0 <= log_mel.max() <= 1 for log_mel in made.values()
        )
        assert len({log_mel.tobytes() for log_mel in made.values()}) == 12
        np.testing.assert_allclose(made["original"], librosa_log_mel(clip), atol=1e-4)


def test_a_silent_clip_is_0_everywhere_in_every_variant(front_end):
    for name in VARIANTS:
        assert not make_variant(name, np.zeros(RATE, dtype=np.float32), "a/b", front_end=front_end).any()


@pytest.mark.parametrize("name", ["noise_5dB", "specaugment_0", "patchaugment_1"])
def test_a_draw_depends_on_seed_clip_and_variant_and_on_nothing_else(front_end, name):
    clip = noise(1.0)
    first = make_variant(name, clip, "a/b", seed=1, front_end=front_end)
    make_variant(name, noise(2.0, seed=5), "c/d", seed=1, front_end=front_end)
    np.testing.assert_array_equal(first, make_variant(name, clip, "a/b", seed=1, front_end=front_end))
    assert (first != make_variant(name, clip, "a/b", seed=2, front_end=front_end)).any()
    assert (first != make_variant(name, clip, "a/c", seed=1, front_end=front_end)).any()


def test_another_process_draws_the_same():
    code = "from quaclrs.augment import seeded_generator as g; print(g(3, 'é/b', 'noise_5dB').integers(2**62))"
    found = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        for _ in range(2)
    }
    assert found == {str(seeded_generator(3, "é/b", "noise_5dB").integers(2**62))}


def test_making_a_variant_needs_torch_only_for_the_models_front_end():
    code = (
        "import sys, numpy, quaclrs.augment as a\n"
        "class Flat:\n"
        "    sampling_rate = 48_000\n"
        "    def __call__(self, waveform): return numpy.ones((128, 376), 'f')\n"
        "for name in a.VARIANTS: a.make_variant(name, numpy.ones(4800, 'f'), 'x', front_end=Flat())\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_an_unknown_variant_and_a_negative_seed_are_refused_in_one_line(front_end):
    with pytest.raises(QuaclrsError, match=r"unknown variant 'timestretch_1'; choose original, .*timestretch_1\.2"):
        make_variant("timestretch_1", noise(0.1), "a/b", front_end=front_end)
    with pytest.raises(QuaclrsError, match="seed is -1"):
        make_variant("noise_5dB", noise(0.1), "a/b", seed=-1, front_end=front_end)
