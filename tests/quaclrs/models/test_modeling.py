"""The models: saved and loaded whole, the picture they see, their loss, and their life inside transformers."""

from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np
import pytest
import timm
import torch
from PIL import Image
from scipy.signal import resample_poly
from small_models import SMALL, noise, small_classifier
from torchvision.models import alexnet
from transformers import (
    AutoFeatureExtractor,
    AutoModelForAudioClassification,
    Trainer,
    TrainingArguments,
    pipeline,
)

from quaclrs import load_classifier
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


def test_of_several_labels_a_clip_the_loss_is_the_mean_binary_cross_entropy_and_scores_are_sigmoids() -> None:
    model = small_classifier()
    model.config.problem_type = "multi_label_classification"
    labels = torch.tensor([[1, 0, 0, 1], [0, 0, 0, 0]])

    with torch.no_grad():
        output = model(noise(), labels=labels)

    score = 1 / (1 + np.exp(-output.logits.double().numpy()))
    expected = -np.log(np.where(labels.numpy(), score, 1 - score)).mean()
    assert output.loss.item() == pytest.approx(expected, rel=1e-4)
    np.testing.assert_allclose(model.probabilities(output.logits.double()), score, rtol=1e-6)


@pytest.mark.parametrize(
    ("problem_type", "labels"),
    [
        (None, torch.tensor([[1.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]])),
        ("single_label_classification", torch.zeros(2, 4, dtype=torch.int64)),
        ("multi_label_classification", torch.tensor([3, 1])),
    ],
)
def test_labels_of_another_kind_than_the_problem_are_refused_in_one_line(problem_type, labels) -> None:
    model = small_classifier()
    model.config.problem_type = problem_type

    with pytest.raises(ValueError, match=r"^labels are .* problem_type .*$"):
        model(noise(), labels=labels)


def test_regression_is_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match=r"^problem_type is regression; choose .*$"):
        QuaclrsForAudioClassification(QuaclrsConfig("test_resnet", num_labels=2, problem_type="regression"))


@pytest.mark.parametrize("problem_type", ["single_label_classification", "multi_label_classification"])
def test_accumulated_batches_of_the_transformers_trainer_are_one_large_batch(problem_type: str, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    targets = torch.eye(3)[torch.arange(8) % 3] if problem_type.startswith("multi") else torch.arange(8) % 3
    rows = [{"input_values": torch.randn(8_000, generator=generator), "labels": target} for target in targets]
    weights = []
    for batch_size, accumulated in ((8, 1), (2, 4)):
        config = QuaclrsConfig("test_resnet", SMALL, num_labels=3, problem_type=problem_type)
        torch.manual_seed(0)
        model = QuaclrsForAudioClassification(config)
        for module in model.modules():  # statistics of a batch are its own
            if isinstance(module, torch.nn.BatchNorm2d):
                module.register_forward_pre_hook(lambda module, _: module.eval() and None)
        arguments = TrainingArguments(
            output_dir=str(tmp_path), per_device_train_batch_size=batch_size, gradient_accumulation_steps=accumulated,
            max_steps=1, learning_rate=0.1, optim="sgd", max_grad_norm=0.0, lr_scheduler_type="constant",
            save_strategy="no", report_to="none", use_cpu=True, disable_tqdm=True, seed=0,
        )  # fmt: skip
        Trainer(model=model, args=arguments, train_dataset=rows).train()
        weights.append(model.classifier.weight.detach())
    torch.testing.assert_close(weights[1], weights[0], rtol=1e-4, atol=1e-5)


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
    resampled = resample_poly(clip, 160, 147).astype(np.float32)

    for sound, at_48_khz in [(clip, clip), ({"array": clip, "sampling_rate": 44_100}, resampled)]:
        padded = np.pad(at_48_khz, (0, 192_000 - len(at_48_khz)))
        with torch.no_grad():
            logits = model(torch.from_numpy(padded)[None]).logits[0].double().numpy()
        scores = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        found = classify(sound, top_k=13)
        best_first = np.argsort(-scores)
        assert [f["label"] for f in found] == [model.config.id2label[int(i)] for i in best_first]
        np.testing.assert_allclose([f["score"] for f in found], scores[best_first], atol=1e-4)


def test_the_pipeline_gives_the_sigmoids_of_the_logits_of_several_labels(
    tiny_classifier_folder: Path, tmp_path: Path
) -> None:
    loaded = {"problem_type": "multi_label_classification"}
    model = AutoModelForAudioClassification.from_pretrained(tiny_classifier_folder, **loaded)
    model.save_pretrained(tmp_path)
    AutoFeatureExtractor.from_pretrained(tiny_classifier_folder).save_pretrained(tmp_path)
    clip = np.random.default_rng(0).uniform(-0.5, 0.5, 192_000).astype(np.float32)

    found = {
        entry["label"]: entry["score"] for entry in pipeline("audio-classification", str(tmp_path))(clip, top_k=13)
    }

    with torch.no_grad():
        logits = model(torch.from_numpy(clip)[None]).logits[0].double().numpy()
    expected = 1 / (1 + np.exp(-logits))
    assert expected.sum() > 1.5
    np.testing.assert_allclose([found[name] for name in model.config.id2label.values()], expected, atol=1e-4)
    ours = {entry["label"]: entry["score"] for entry in load_classifier(tmp_path, device="cpu").predict(clip, 48_000)}
    assert ours == pytest.approx(found, abs=1e-4)
