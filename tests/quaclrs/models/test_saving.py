"""Models are saved and loaded whole, in any precision, with all of their configuration."""

from __future__ import annotations

import json
from pathlib import Path

import librosa
import numpy as np
import pytest
import scipy.signal
import timm
import torch
from small_models import noise, small_classifier, tensors_of
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModel,
    AutoModelForAudioClassification,
)

from quaclrs.models import (
    QuaclrsConfig,
    QuaclrsFeatureExtractor,
    QuaclrsForAudioClassification,
    QuaclrsModel,
)


@pytest.mark.parametrize(
    ("backbone", "image_size"),
    [
        ("mobilenetv3_small_050", 32),
        ("resnet10t", 32),
        ("test_vit", 160),
        ("resnetblur18", 32),  # blur filters that no checkpoint holds
        ("swin_tiny_patch4_window7_224", 224),  # position tables that no checkpoint holds
        pytest.param("alexnet", 64, marks=pytest.mark.slow),
        pytest.param("vgg16", 32, marks=pytest.mark.weekly),
        pytest.param("convnext_tiny", 32, marks=pytest.mark.weekly),
        pytest.param("swinv2_cr_tiny_224", 224, marks=pytest.mark.slow),
        pytest.param("eva02_tiny_patch14_224", 224, marks=pytest.mark.slow),
    ],
)
def test_a_saved_model_comes_back_equal_in_every_parameter_and_buffer(
    backbone: str, image_size: int, tmp_path: Path
) -> None:
    saved = small_classifier(backbone, image_size=image_size)
    for name, buffer in saved.named_buffers():
        if name.endswith("running_mean"):  # as after training
            torch.nn.init.normal_(buffer, std=0.1)
    saved.save_pretrained(tmp_path)

    loaded = QuaclrsForAudioClassification.from_pretrained(tmp_path)

    before, after = tensors_of(saved), tensors_of(loaded)
    assert list(after) == list(before)
    for name, value in before.items():
        assert after[name].dtype == value.dtype, name
        assert torch.equal(after[name], value), name
    assert not loaded.training
    with torch.no_grad():
        torch.testing.assert_close(loaded(noise()).logits, saved(noise()).logits, atol=1e-5, rtol=1e-5)


def test_the_auto_classes_load_what_was_saved(tiny_classifier_folder: Path) -> None:
    assert type(AutoConfig.from_pretrained(tiny_classifier_folder)) is QuaclrsConfig
    assert type(AutoFeatureExtractor.from_pretrained(tiny_classifier_folder)) is QuaclrsFeatureExtractor
    classifier = AutoModelForAudioClassification.from_pretrained(tiny_classifier_folder)
    encoder = AutoModel.from_pretrained(tiny_classifier_folder)

    assert type(classifier) is QuaclrsForAudioClassification
    assert type(encoder) is QuaclrsModel
    for name, value in tensors_of(classifier.quaclrs).items():
        assert torch.equal(tensors_of(encoder)[name], value), name


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_model_loaded_in_half_precision_keeps_the_front_ends_constants(dtype: torch.dtype, tmp_path: Path) -> None:
    small_classifier().save_pretrained(tmp_path)

    loaded = QuaclrsForAudioClassification.from_pretrained(tmp_path, dtype=dtype)

    front_end = loaded.quaclrs.log_mel
    assert front_end.window.dtype == front_end.filterbank.dtype == torch.float32
    np.testing.assert_allclose(front_end.window, scipy.signal.get_window("hann", 512), atol=1e-7)
    bank = librosa.filters.mel(sr=16_000, n_fft=512, n_mels=64, fmin=20, fmax=8_000).T
    np.testing.assert_allclose(front_end.filterbank, bank, atol=1e-6 * bank.max())
    assert loaded.classifier.weight.dtype == dtype
    with torch.no_grad():
        logits = loaded(noise()).logits
    assert logits.dtype == dtype
    assert torch.isfinite(logits).all()


def test_weights_stored_in_half_precision_load_as_float32_when_asked(tmp_path: Path) -> None:
    saved = small_classifier()
    expected = {name: value.to(torch.bfloat16).float() for name, value in saved.named_parameters()}
    saved.to(torch.bfloat16).save_pretrained(tmp_path)

    loaded = QuaclrsForAudioClassification.from_pretrained(tmp_path, dtype=torch.float32)

    found = dict(loaded.named_parameters())
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert torch.equal(value, expected[name]), name


def test_a_model_reloads_with_another_number_of_labels(tmp_path: Path) -> None:
    saved = small_classifier(num_labels=4)
    saved.save_pretrained(tmp_path)

    loaded = QuaclrsForAudioClassification.from_pretrained(tmp_path, num_labels=7, ignore_mismatched_sizes=True)

    assert loaded.classifier.weight.shape == (7, 1024)
    assert torch.isfinite(loaded.classifier.weight).all()
    assert loaded.classifier.weight.std() > 0
    for name, value in tensors_of(saved.quaclrs).items():
        assert torch.equal(tensors_of(loaded.quaclrs)[name], value), name
    with torch.no_grad():
        assert loaded(noise()).logits.shape == (2, 7)


def test_a_saved_configuration_holds_the_normalisation_of_the_backbone(tmp_path: Path) -> None:
    small_classifier("test_vit", image_size=160).save_pretrained(tmp_path)

    config = json.loads((tmp_path / "config.json").read_text())

    assert config["image_mean"] == list(timm.get_pretrained_cfg("test_vit").mean)
    assert config["image_std"] == list(timm.get_pretrained_cfg("test_vit").std)


def test_a_saved_configuration_holds_every_parameter_of_the_front_end(tmp_path: Path) -> None:
    QuaclrsConfig(log_mel={"n_mels": 64, "image_size": 96}).save_pretrained(tmp_path)

    saved = json.loads((tmp_path / "config.json").read_text())

    assert saved["model_type"] == "quaclrs"
    assert saved["log_mel"] == {
        "sampling_rate": 48_000,
        "duration": 4.0,
        "n_fft": 2048,
        "hop_length": 512,
        "n_mels": 64,
        "f_min": 20.0,
        "f_max": 8000.0,
        "amin": 1e-10,
        "top_db": 80.0,
        "image_size": 96,
        "pad_mode": "zeros",
        "win_length": None,
        "power": 2,
        "mel_scale": "slaney",
        "mel_norm": "slaney",
        "image_width": None,
        "silence_dbfs": -90.0,
    }
    assert QuaclrsConfig.from_pretrained(tmp_path).log_mel_config.n_mels == 64


def test_a_saved_configuration_with_an_unknown_front_end_option_is_refused_by_name(tmp_path: Path) -> None:
    small_classifier("test_resnet").save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    saved = json.loads(file.read_text())
    saved["log_mel"]["n_mells"] = 5
    file.write_text(json.dumps(saved))

    for load in (QuaclrsConfig, AutoConfig, AutoModelForAudioClassification):
        with pytest.raises(ValueError, match="n_mells"):
            load.from_pretrained(tmp_path)
