"""Waveforms of every type, shape and rate to the batch a model takes, against formulas and numpy."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoFeatureExtractor

from quaclrs.models import QuaclrsFeatureExtractor, WaveformError

LENGTH = 192_000


@pytest.fixture(scope="module")
def extract() -> QuaclrsFeatureExtractor:
    return QuaclrsFeatureExtractor()


def test_every_sample_type_gives_the_same_waveform(extract: QuaclrsFeatureExtractor) -> None:
    steps = np.arange(-128, 128)  # 8-bit steps, exact in every type below
    expected = steps / 128
    of_type = {
        "uint8": (steps + 128).astype(np.uint8),
        "int8": steps.astype(np.int8),
        "uint16": ((steps + 128) * 2**8).astype(np.uint16),
        "int16": (steps * 2**8).astype(np.int16),
        "int32": (steps * 2**24).astype(np.int32),
        "float16": expected.astype(np.float16),
        "float32": expected.astype(np.float32),
        "float64": expected,
    }
    for name, clip in of_type.items():
        values = extract(clip)["input_values"]
        assert values.dtype == np.float32, name
        np.testing.assert_array_equal(values[0, :256], expected, err_msg=name)


def test_channels_become_their_mean(extract: QuaclrsFeatureExtractor) -> None:
    clip = np.random.default_rng(0).uniform(-1, 1, (3, LENGTH)).astype(np.float32)

    np.testing.assert_allclose(extract([clip])["input_values"][0], clip.sum(axis=0) / 3, atol=1e-6)


def test_integer_channels_become_the_mean_of_their_scaled_values(extract: QuaclrsFeatureExtractor) -> None:
    clip = np.array([[32_767, -32_768], [32_767, 0]], dtype=np.int16)  # a mean in int16 would overflow

    np.testing.assert_allclose(extract([clip])["input_values"][0, :2], [32_767 / 32_768, -0.5], atol=1e-7)


def test_one_clip_a_batch_array_and_lists_hold_the_same_clips(extract: QuaclrsFeatureExtractor) -> None:
    clips = np.random.default_rng(1).uniform(-1, 1, (2, LENGTH)).astype(np.float32)

    for batch in (clips, list(clips), tuple(clips), torch.from_numpy(clips), list(torch.from_numpy(clips))):
        np.testing.assert_array_equal(extract(batch)["input_values"], clips)
    for single in (clips[0], clips[0].tolist(), torch.from_numpy(clips[0])):
        np.testing.assert_array_equal(extract(single)["input_values"], clips[:1])


def test_clips_of_different_lengths_and_channels_make_one_batch(extract: QuaclrsFeatureExtractor) -> None:
    batch = extract([np.ones(5), np.ones((2, 7)), np.ones(300_000)])["input_values"]

    assert batch.shape == (3, LENGTH)
    np.testing.assert_array_equal(batch.sum(axis=1), [5, 7, LENGTH])


def test_a_tensor_that_is_being_trained_is_taken_too(extract: QuaclrsFeatureExtractor) -> None:
    clip = torch.ones(LENGTH, requires_grad=True)

    for given in (clip, [clip]):
        np.testing.assert_array_equal(extract(given)["input_values"], np.ones((1, LENGTH)))


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000])
def test_a_clip_of_any_rate_keeps_its_pitch_and_level(rate: int, extract: QuaclrsFeatureExtractor) -> None:
    clip = 0.5 * np.sin(2 * np.pi * 440 * np.arange(4 * rate) / rate)

    values = extract(clip, sampling_rate=rate)["input_values"]

    assert values.shape == (1, LENGTH)
    middle = values[0, 48_000:144_000]  # two seconds, 880 whole periods
    level = 2 * np.abs(np.fft.rfft(middle)) / len(middle)
    assert level.argmax() / 2 == 440
    assert level.max() == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize("extra", [1, 2, 3, 96_000, 1_000_001])
def test_a_long_clip_is_cut_to_exactly_its_centre(extra: int, extract: QuaclrsFeatureExtractor) -> None:
    clip = np.arange(LENGTH + extra, dtype=np.float32)

    values = extract(clip)["input_values"][0]

    first = extra // 2
    np.testing.assert_array_equal(values, clip[first : first + LENGTH])


@pytest.mark.parametrize("length", [1, 2, 100, LENGTH - 1, LENGTH])
def test_a_short_clip_is_padded_at_its_end_with_zeros(length: int, extract: QuaclrsFeatureExtractor) -> None:
    clip = np.random.default_rng(2).uniform(0.1, 1, length).astype(np.float32)

    values = extract(clip)["input_values"][0]

    assert len(values) == LENGTH
    np.testing.assert_array_equal(values[:length], clip)
    assert np.count_nonzero(values[length:]) == 0


def test_one_sample_is_a_clip_at_any_rate(extract: QuaclrsFeatureExtractor) -> None:
    for rate in (8_000, 48_000, 192_000, 1_000_000):
        values = extract(np.array([0.5], dtype=np.float32), sampling_rate=rate)["input_values"]
        assert values.shape == (1, LENGTH)
        assert np.isfinite(values).all()
        assert np.count_nonzero(values) > 0, rate


def test_tensors_are_of_the_type_asked_for(extract: QuaclrsFeatureExtractor) -> None:
    clip = np.linspace(-1, 1, LENGTH, dtype=np.float32)

    tensor = extract(clip, return_tensors="pt")["input_values"]
    array = extract(clip, return_tensors="np")["input_values"]
    plain = extract(clip)["input_values"]

    assert isinstance(tensor, torch.Tensor)
    assert tensor.dtype == torch.float32
    assert isinstance(array, np.ndarray)
    for values in (tensor.numpy(), array, np.stack(list(plain))):
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, clip[None])


@pytest.mark.parametrize(
    ("clips", "rate", "words"),
    [
        (np.zeros(0, dtype=np.float32), None, "at least one sample"),
        ([], None, "no clips"),
        (np.zeros((0, 10)), None, "no clips"),
        ([np.zeros((2, 0))], None, r"\(2, 0\)"),
        (None, None, "no clips"),
        ("clip.wav", None, "no clips"),
        (["clip.wav"], None, "numbers"),
        (np.array([0.0, np.nan]), None, "NaN"),
        (np.array([0.0, -np.inf]), None, "infinite"),
        ([np.array([[0.0, 1.0], [np.inf, 0.0]])], None, "infinite"),
        (np.ones(10, dtype=bool), None, "bool"),
        (np.ones(10, dtype=complex), None, "complex"),
        (np.ones((1, 2, 10)), None, r"\(1, 2, 10\)"),
        ([np.ones((1, 2, 10))], None, r"\(1, 2, 10\)"),
        ([np.ones((48_000, 200))], None, "48000 channels"),
        ([np.full(10, 1e20)], None, "huge"),
        ([np.ones((65, 10))], None, "65 channels"),
        (np.ones(10), 0, "sampling_rate is 0"),
        (np.ones(10), -8_000, "sampling_rate is -8000"),
        (np.ones(10), float("nan"), "sampling_rate is nan"),
    ],
)
def test_what_is_no_clip_is_refused_in_one_line_that_says_why(
    clips: object, rate: float | None, words: str, extract: QuaclrsFeatureExtractor
) -> None:
    with pytest.raises(WaveformError, match=words) as error:
        extract(clips, sampling_rate=rate)
    assert isinstance(error.value, ValueError)
    assert "\n" not in str(error.value)


def test_one_bad_clip_refuses_its_batch(extract: QuaclrsFeatureExtractor) -> None:
    with pytest.raises(WaveformError, match="NaN"):
        extract([np.ones(10), np.array([np.nan])])


def test_sixty_four_channels_are_taken(extract: QuaclrsFeatureExtractor) -> None:
    assert extract([np.ones((64, 10))])["input_values"].sum() == 10


def test_the_auto_class_loads_what_was_saved(tmp_path: Path) -> None:
    front_end = {"sampling_rate": 16_000, "duration": 2.5, "n_fft": 512, "hop_length": 128, "n_mels": 40, "f_max": 7e3}
    saved = QuaclrsFeatureExtractor(log_mel=front_end)
    saved.save_pretrained(tmp_path)

    loaded = AutoFeatureExtractor.from_pretrained(tmp_path)

    assert type(loaded) is QuaclrsFeatureExtractor
    assert front_end.items() <= loaded.log_mel.items()
    assert loaded.log_mel == saved.log_mel
    assert (loaded.sampling_rate, loaded.n_samples) == (16_000, 40_000)
    clip = np.random.default_rng(4).uniform(-1, 1, 50_000)
    np.testing.assert_array_equal(
        loaded(clip, sampling_rate=16_000)["input_values"][0], clip[5_000:45_000].astype(np.float32)
    )


def test_a_saved_feature_extractor_with_an_unknown_option_is_refused(tmp_path: Path) -> None:
    QuaclrsFeatureExtractor().save_pretrained(tmp_path)
    file = tmp_path / "preprocessor_config.json"
    saved = json.loads(file.read_text())
    saved["log_mel"]["hop"] = 5
    file.write_text(json.dumps(saved))

    with pytest.raises(ValueError, match="hop"):
        QuaclrsFeatureExtractor.from_pretrained(tmp_path)


def test_whole_numbers_without_a_known_full_scale_are_refused():
    with pytest.raises(WaveformError, match="int64"):
        QuaclrsFeatureExtractor()([100, -100, 3000])


def test_channels_of_different_lengths_are_refused():
    with pytest.raises(WaveformError, match="differ in length"):
        QuaclrsFeatureExtractor()([[np.zeros(3, np.float32), np.zeros(4, np.float32)]])


def test_a_half_precision_tensor_is_taken_as_the_numbers_it_holds():
    clip = torch.linspace(-1, 1, 500, dtype=torch.bfloat16)
    prepared = QuaclrsFeatureExtractor()(clip)["input_values"][0]
    np.testing.assert_array_equal(prepared[:500], clip.float().numpy())


@pytest.mark.parametrize("carry", [lambda x: x, torch.from_numpy, np.ndarray.tolist, lambda x: [x]])
def test_samples_by_channels_as_soundfile_reads_them_are_one_clip(carry, extract: QuaclrsFeatureExtractor) -> None:
    stereo = np.random.default_rng(5).uniform(-1, 1, (3 * extract.sampling_rate, 2)).astype(np.float32)

    found = extract(carry(stereo), sampling_rate=extract.sampling_rate)["input_values"]
    wanted = extract([stereo.T], sampling_rate=extract.sampling_rate)["input_values"]

    assert found.shape == (1, extract.n_samples)
    np.testing.assert_array_equal(found, wanted)


def test_of_channels_that_cancel_the_louder_is_taken(extract: QuaclrsFeatureExtractor) -> None:
    sound = np.random.default_rng(6).uniform(-0.5, 0.5, extract.n_samples).astype(np.float32)
    found = extract([np.stack([0.9 * sound, -sound])], sampling_rate=extract.sampling_rate)["input_values"][0]
    np.testing.assert_array_equal(found, -sound)


def test_a_call_without_a_sampling_rate_warns_as_those_of_transformers_do(
    extract: QuaclrsFeatureExtractor, caplog: pytest.LogCaptureFixture
) -> None:
    from transformers.utils import logging

    logging.enable_propagation()
    try:
        extract(np.ones(10), sampling_rate=extract.sampling_rate)
        assert not caplog.records
        extract(np.ones(10))
    finally:
        logging.disable_propagation()
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "strongly recommended to pass the `sampling_rate` argument to `QuaclrsFeatureExtractor()`" in record.message
