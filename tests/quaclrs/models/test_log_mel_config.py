"""The configuration of the front end: its defaults, what it refuses, and how it is written down."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from librosa_log_mel import SPEECH_FRONT_END

from quaclrs.models import LogMelConfig


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("sampling_rate", 0),
        ("sampling_rate", -48_000),
        ("duration", 0.0),
        ("duration", float("nan")),
        ("n_fft", 0),
        ("n_fft", 1023),  # transformers' filterbank would sit beside librosa's
        ("hop_length", 0),
        ("n_mels", -1),
        ("amin", 0.0),
        ("top_db", -80.0),
        ("image_size", 0),
        ("f_min", -1.0),
        ("f_min", 8_000.0),
        ("f_max", 24_001.0),
        ("f_max", 10.0),
        ("win_length", 2050),
        ("power", 3),
        ("image_width", 0),
    ],
)
def test_an_impossible_option_is_refused_by_name(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=option):
        LogMelConfig(**{option: value})
    with pytest.raises(ValueError, match=option):
        LogMelConfig.from_dict({option: value})


def test_an_unknown_option_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="hop_lenght"):
        LogMelConfig.from_dict({"hop_lenght": 512})


def test_the_defaults_are_table_1_of_the_paper() -> None:
    table_1 = {
        "sampling_rate": 48_000,
        "duration": 4.0,
        "n_fft": 2048,
        "hop_length": 512,
        "n_mels": 128,
        "f_min": 20.0,
        "f_max": 8000.0,
        "amin": 1e-10,
        "top_db": 80.0,
        "image_size": 224,
        "pad_mode": "zeros",
    }
    # What the paper leaves alone is librosa's default.
    librosas = {"win_length": None, "power": 2, "mel_scale": "slaney", "mel_norm": "slaney", "image_width": None}

    ours = {"silence_dbfs": -90.0}
    assert LogMelConfig().to_dict() == table_1 | librosas | ours
    assert LogMelConfig().n_samples == 192_000


def test_a_configuration_survives_its_dictionary_and_json() -> None:
    saved = json.loads(json.dumps(SPEECH_FRONT_END.to_dict()))

    assert LogMelConfig.from_dict(saved) == SPEECH_FRONT_END
    assert LogMelConfig.from_dict(saved) != LogMelConfig()
    with pytest.raises(dataclasses.FrozenInstanceError):
        SPEECH_FRONT_END.n_mels = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    "values", [{"n_mels": 12.5}, {"n_fft": "2048"}, {"duration": None}, {"duration": float("inf")}, {"duration": 1e-9}]
)
def test_a_value_that_is_no_such_number_is_refused_by_its_name(values):
    with pytest.raises(ValueError, match=next(iter(values))):
        LogMelConfig(**values)


@pytest.mark.parametrize(("option", "value"), [("mel_scale", "bark"), ("mel_norm", None), ("mel_norm", "l2")])
def test_an_unknown_word_is_refused_with_those_that_are_known(option: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"^log-mel option {option} is {value!r}; choose slaney or "):
        LogMelConfig(**{option: value})


def test_an_unknown_way_to_pad_is_refused() -> None:
    with pytest.raises(ValueError, match="pad_mode is 'reflect'; choose zeros or repeat"):
        LogMelConfig(pad_mode="reflect")


@pytest.mark.parametrize(("before", "after"), [(0, 0), (0, 3000), (5000, 0), (70_000, 70_000), (200_000, 300_000)])
def test_silence_that_fills_a_sound_up_changes_nothing_where_sounds_are_repeated(before: int, after: int) -> None:
    sound = np.random.default_rng(0).normal(0, 0.1, 30_000).astype(np.float32)
    filled = np.concatenate([np.zeros(before, np.float32), sound, np.full(after, 2e-5, np.float32)])

    fitted = LogMelConfig(pad_mode="repeat").fit(filled)

    np.testing.assert_array_equal(fitted, np.tile(sound, 7)[:192_000])


def test_silence_is_kept_within_a_sound_and_where_short_sounds_are_filled_up_with_it() -> None:
    sound = np.array([0, 0.5, 0, 0, -0.5, 0], dtype=np.float32)

    assert LogMelConfig(pad_mode="repeat").fit(sound)[:8].tolist() == [0.5, 0, 0, -0.5, 0.5, 0, 0, -0.5]
    assert LogMelConfig().fit(sound)[:8].tolist() == [*sound.tolist(), 0, 0]
    assert not LogMelConfig(pad_mode="repeat").fit(np.zeros(10, np.float32)).any()
