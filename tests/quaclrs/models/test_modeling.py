"""The models: saved and loaded whole, the picture they see, their loss, and their life inside transformers."""

from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np
import pytest
import timm
import torch
import torchaudio
from PIL import Image
from small_models import SMALL, noise, small_classifier
from torchvision.models import alexnet
from transformers import (
    AutoModelForAudioClassification,
    Trainer,
    TrainingArguments,
    pipeline,
)

from quaclrs.models import (
    QuaclrsConfig,
    QuaclrsForAudioClassification,
    find_backbone,
)


@pytest.mark.parametrize(
    "name",
    ["resnet18", "mobilenetv3_small_050", "vit_tiny_patch16_224", pytest.param("alexnet", marks=pytest.mark.slow)],
)
def test_construction_keeps_each_architectures_own_initialisation(name: str) -> None:
    torch.manual_seed(3)
    if name == "alexnet":
        expected = alexnet(weights=None).state_dict()
    else:
        expected = timm.create_model(find_backbone(name).timm_name, num_classes=0).state_dict()
    torch.manual_seed(3)

    built = QuaclrsForAudioClassification(QuaclrsConfig(backbone=name, num_labels=3)).quaclrs.backbone.network

    for key, value in built.state_dict().items():
        assert torch.equal(value, expected[key]), key


def picture_seen_by(model: QuaclrsForAudioClassification, **inputs: torch.Tensor) -> torch.Tensor:
    seen = []
    hook = model.quaclrs.backbone.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        model(**inputs)
    hook.remove()
    return seen[0]


@pytest.mark.parametrize("image_size", [32, 96, 224])
def test_the_picture_is_pils_bilinear_resize_of_the_flipped_log_mel_normalised_by_channel(image_size: int) -> None:
    torch.manual_seed(1)
    mean, std = [0.1, 0.2, 0.3], [0.5, 1.0, 2.0]
    config = QuaclrsConfig("test_resnet", {"image_size": image_size}, mean, std, num_labels=2)
    model = QuaclrsForAudioClassification(config).eval()
    mels, frames = np.meshgrid(np.linspace(0, 1, 128), np.linspace(0, 1, 376), indexing="ij")
    log_mel = (0.7 * mels**2 + 0.3 * np.sin(9 * frames) ** 2).astype(np.float32)

    picture = picture_seen_by(model, input_features=torch.from_numpy(log_mel)[None])[0].numpy()

    image = Image.fromarray(np.ascontiguousarray(log_mel[::-1]))
    grey = np.asarray(image.resize((image_size, image_size), Image.Resampling.BILINEAR))
    assert picture.shape == (3, image_size, image_size)
    for channel in range(3):
        np.testing.assert_allclose(picture[channel], (grey - mean[channel]) / std[channel], atol=1e-4)


def test_a_low_tone_is_bright_at_the_bottom_of_the_picture_and_a_high_one_at_the_top() -> None:
    model = small_classifier(image_size=64)
    seconds = torch.arange(8_000) / 16_000
    tones = torch.stack([torch.sin(2 * torch.pi * f * seconds) for f in (200, 1_000, 7_000)])

    rows = picture_seen_by(model, input_values=tones)[:, 0].mean(-1).argmax(-1)

    assert rows[0] > 56
    assert rows[2] < 8
    assert rows[0] > rows[1] > rows[2]


def test_waveforms_and_their_log_mels_give_the_same_logits() -> None:
    model = small_classifier()
    sounds = noise()
    sounds[1] = torch.sin(torch.arange(8_000) * 0.3) * torch.linspace(0, 1, 8_000)
    log_mels = []
    for clip in sounds.numpy():
        mel = librosa.feature.melspectrogram(
            y=clip, sr=16_000, n_fft=512, hop_length=160, n_mels=64, fmin=20, fmax=8_000, pad_mode="constant"
        )
        log_mels.append(librosa.power_to_db(mel, ref=np.max) / 80 + 1)

    with torch.no_grad():
        from_waveforms = model(input_values=sounds).logits
        from_log_mels = model(input_features=torch.from_numpy(np.stack(log_mels))).logits

    assert (from_waveforms[0] - from_waveforms[1]).abs().max() > 0.01
    torch.testing.assert_close(from_waveforms, from_log_mels, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("inputs", [{}, {"input_values": noise(), "input_features": torch.rand(2, 64, 51)}])
def test_neither_or_both_inputs_are_refused(inputs: dict[str, torch.Tensor]) -> None:
    model = small_classifier()

    for network in (model, model.quaclrs):
        with pytest.raises(ValueError, match=r"input_values.*input_features"):
            network(**inputs)


def test_the_loss_is_the_mean_negative_log_softmax_of_the_labels() -> None:
    model = small_classifier()
    labels = torch.tensor([3, 1])

    with torch.no_grad():
        output = model(noise(), labels=labels)

    logits = output.logits.double().numpy()
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert output.loss.item() == pytest.approx(-np.log(probability[[0, 1], labels]).mean(), rel=1e-4)
    with torch.no_grad():
        assert model(noise()).loss is None
        assert isinstance(model(noise(), return_dict=False), tuple)


def test_a_classifier_without_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="num_labels"):
        QuaclrsForAudioClassification(QuaclrsConfig(backbone="test_resnet", num_labels=0))


def test_the_transformers_trainer_trains_it(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    seconds = torch.arange(8_000) / 16_000
    rows = []
    for clip in range(32):  # tones against noise
        tone = torch.sin(2 * torch.pi * (300 + 40 * clip) * seconds)
        hiss = 0.3 * torch.randn(8_000, generator=generator)
        rows.append({"input_values": tone if clip % 2 else hiss, "labels": clip % 2})
    torch.manual_seed(0)
    model = QuaclrsForAudioClassification(QuaclrsConfig(backbone="test_resnet", log_mel=SMALL, num_labels=2))
    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        per_device_train_batch_size=16,
        max_steps=16,
        learning_rate=3e-3,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        seed=0,
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=rows)

    trainer.train()

    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(losses) == 16
    assert np.mean(losses[-4:]) < 0.5 * np.mean(losses[:2])


def test_the_pipeline_gives_the_softmax_of_the_logits_without_ffmpeg(
    tiny_classifier_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    model = AutoModelForAudioClassification.from_pretrained(tiny_classifier_folder)
    classify = pipeline("audio-classification", model=str(tiny_classifier_folder), device="cpu")
    clip = np.random.default_rng(0).uniform(-0.5, 0.5, 100_000).astype(np.float32)
    resampled = torchaudio.functional.resample(torch.from_numpy(clip), 44_100, 48_000).numpy()

    for sound, at_48_khz in [(clip, clip), ({"array": clip, "sampling_rate": 44_100}, resampled)]:
        padded = np.pad(at_48_khz, (0, 192_000 - len(at_48_khz)))
        with torch.no_grad():
            logits = model(torch.from_numpy(padded)[None]).logits[0].double().numpy()
        scores = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        found = classify(sound, top_k=13)
        best_first = np.argsort(-scores)
        assert [f["label"] for f in found] == [model.config.id2label[int(i)] for i in best_first]
        np.testing.assert_allclose([f["score"] for f in found], scores[best_first], atol=1e-4)
