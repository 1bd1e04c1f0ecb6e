"""A model of several encoders: one waveform, embeddings side by side, standardised."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import soxr
import torch

from quaclrs.models import (
    LogMelConfig,
    LogMelSpectrogram,
    QuaclrsConfig,
    QuaclrsForAudioClassification,
    QuaclrsModel,
    find_backbone,
)
from quaclrs.saved_model import open_saved_model

SMALL = {"backbone": "mobilenetv3_small_050", "log_mel": {"image_size": 64, "duration": 1.0}}
YAMNETS = LogMelConfig(**find_backbone("yamnet").log_mel, duration=1.0, image_size=64, image_width=96)
YAMNET = {"backbone": "yamnet", "log_mel": YAMNETS.heard_at(48_000).to_dict(), "pooling": "mean_max"}


def two_encoders(**options) -> QuaclrsConfig:
    return QuaclrsConfig(**SMALL, more_encoders=[copy.deepcopy(YAMNET)], **options)


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)) * 0.1


def test_embeddings_of_encoders_stand_side_by_side() -> None:
    model = QuaclrsModel(two_encoders()).eval()
    alone = [QuaclrsModel(QuaclrsConfig(**options)).eval() for options in (SMALL, YAMNET)]
    alone[0].backbone.load_state_dict(model.backbone.state_dict())
    alone[1].backbone.load_state_dict(model.more_encoders[0].backbone.state_dict())
    waveforms = noise(2, 48_000)

    with torch.no_grad():
        together = model(input_values=waveforms).pooler_output
        apart = [encoder(input_values=waveforms).pooler_output for encoder in alone]

    assert model.hidden_size == together.shape[1] == sum(encoder.hidden_size for encoder in alone)
    torch.testing.assert_close(together, torch.cat(apart, dim=1))
    assert model.config.backbones == "mobilenetv3_small_050+yamnet"


def test_standardised_embeddings_have_the_mean_0_and_the_deviation_1() -> None:
    model = QuaclrsModel(two_encoders(standardize=True)).eval()
    waveforms = noise(6, 48_000)

    with torch.no_grad():
        raw = model(input_values=waveforms).pooler_output
        model.standardize_by(raw)
        embeddings = model(input_values=waveforms).pooler_output.double().numpy()

    alive = raw.std(0).numpy() > 1e-4
    assert alive.any()
    np.testing.assert_allclose(embeddings.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(embeddings.std(0)[alive], 1, atol=1e-2)


def test_a_model_that_does_not_standardise_says_so() -> None:
    with pytest.raises(ValueError, match="standardize"):
        QuaclrsModel(QuaclrsConfig(**SMALL)).standardize_by(torch.ones(2, 1024))


def test_all_of_it_is_saved_and_comes_back(tmp_path) -> None:
    model = QuaclrsForAudioClassification(two_encoders(standardize=True, num_labels=3)).eval()
    model.quaclrs.standardize_by(noise(5, model.quaclrs.hidden_size))
    model.save_pretrained(tmp_path)
    waveforms = noise(2, 48_000)

    loaded = QuaclrsForAudioClassification.from_pretrained(tmp_path).eval()
    by_our_door = open_saved_model(tmp_path).load(QuaclrsForAudioClassification).eval()

    assert loaded.config.more_encoders[0]["image_std"] == pytest.approx([1 / math.log(1e4)] * 3)
    with torch.no_grad():
        expected = model(input_values=waveforms).logits
        torch.testing.assert_close(loaded(input_values=waveforms).logits, expected)
        torch.testing.assert_close(by_our_door(input_values=waveforms).logits, expected)


def test_log_mels_of_one_encoder_are_refused() -> None:
    with pytest.raises(ValueError, match="input_values"):
        QuaclrsModel(two_encoders())(input_features=torch.zeros(1, 128, 94))


@pytest.mark.parametrize(
    ("encoders", "words"),
    [
        ([{**YAMNET, "log_mel": YAMNETS.to_dict()}], "sampling_rate"),
        ([{**YAMNET, "log_mel": {"duration": 2.0}}], "duration"),
        ([{**YAMNET, "pooling": "median"}], "pooling"),
        ([{**YAMNET, "patch_overlap": 1.0}], "patch_overlap"),
        ([{**YAMNET, "tag_groups": [[]]}], "tag_groups"),
        ([{**YAMNET, "tag_groups": [[0], 1]}], "tag_groups"),
        ([{**YAMNET, "tag_groups": [[0, -1]]}], "tag_groups"),
        ([{**YAMNET, "tag_groups": [[True]]}], "tag_groups"),
        ([{**YAMNET, "earlier_stages": -1}], "earlier_stages"),
        ([{**YAMNET, "earlier_stages": 1.0}], "earlier_stages"),
        ([{**YAMNET, "backbone": 7}], "backbone"),
        ([{**YAMNET, "more_encoders": []}], r"more_encoders\[0\]"),
        ([], "more_encoders"),
        ([YAMNET] * 8, "more_encoders"),
        ("yamnet", "more_encoders"),
    ],
)
def test_encoders_that_cannot_hear_one_waveform_are_refused(encoders, words) -> None:
    with pytest.raises(ValueError, match=words):
        QuaclrsConfig(**SMALL, more_encoders=encoders)


@pytest.mark.parametrize("rate", [48_000, 32_000])
def test_a_front_end_hears_a_higher_rate_as_after_resampling_by_soxr(rate: int) -> None:
    generator = np.random.default_rng(0)
    seconds = np.arange(4 * rate) / rate
    waveform = 0.1 * generator.normal(size=len(seconds)) + 0.3 * np.sin(2 * np.pi * 300 * seconds**2)
    config = LogMelConfig(**find_backbone("yamnet").log_mel)

    resampled = torch.from_numpy(soxr.resample(waveform, rate, 16_000).astype(np.float32))
    expected = LogMelSpectrogram(config)(resampled)
    ours = LogMelSpectrogram(config.heard_at(rate))(torch.from_numpy(waveform.astype(np.float32)))

    decibels = 80 * (ours - expected).abs()
    assert ours.shape == expected.shape
    assert decibels[:, 3:-3].max() < 0.1  # at the ends soxr's filter rings
    assert decibels.median() < 1e-3


def test_a_front_end_cannot_hear_a_rate_that_is_no_multiple_of_its_own() -> None:
    with pytest.raises(ValueError, match="44100"):
        YAMNETS.heard_at(44_100)
