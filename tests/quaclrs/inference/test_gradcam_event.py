"""Grad-CAM of every backbone of the paper, trained briefly, and of the model in the package finds a short event."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.signal import butter, sosfilt
from torch import nn
from torch.optim.swa_utils import update_bn

from quaclrs import load_classifier
from quaclrs.audio import load_audio
from quaclrs.inference.explain import explain
from quaclrs.inference.pytorch import TorchClassifier
from quaclrs.models import (
    PAPER_BACKBONES,
    QuaclrsConfig,
    QuaclrsFeatureExtractor,
    QuaclrsForAudioClassification,
)

RATE, SECONDS = 48_000, 0.3

EXAMPLES = Path(__file__).parents[3] / "spaces" / "examples"

#: Edge in Hz and kind of the filter of each class of noise.
BANDS = {1: (1500, "low"), 2: (3000, "high")}

#: Rows of the picture, as few as the network takes, and steps and rate of the training.
TRAINING = {
    "alexnet": (64, 40, 3e-4),
    "vgg16": (32, 15, 3e-4),
    "resnet18": (32, 18, 5e-4),
    "mobilenet_v2": (64, 60, 1e-3),
    "inception_v3": (96, 20, 5e-4),
    "efficientnet_b0": (32, 40, 1e-3),
    "convnext_tiny": (32, 30, 1e-3),
}


def clip(label: int, generator: np.random.Generator) -> tuple[np.ndarray, float]:
    """Silence of 4 s with a burst of low (1) or high (2) noise somewhere, or none (0), and where it begins in s."""
    sound, start = np.zeros(4 * RATE, dtype=np.float32), generator.uniform(0.3, 3.4)
    if label:
        cut = butter(4, *BANDS[label], fs=RATE, output="sos")
        count, first = int(SECONDS * RATE), int(start * RATE)
        sound[first : first + count] = sosfilt(cut, generator.normal(0, 0.3, count))
    return sound, start


def train_briefly(backbone: str, generator: np.random.Generator) -> TorchClassifier:
    rows, steps, rate = TRAINING[backbone]
    log_mel = {"image_size": rows, "image_width": 224}
    torch.manual_seed(0)
    model = QuaclrsForAudioClassification(QuaclrsConfig(backbone=backbone, num_labels=3, log_mel=log_mel))
    labels = torch.arange(96) % 3
    sounds = torch.from_numpy(np.stack([clip(int(label), generator)[0] for label in labels]))
    with torch.no_grad():
        log_mels = model.quaclrs.log_mel(sounds)
    # The hidden layers of AlexNet's and VGG's classifiers stay as they are: they alone would take minutes.
    parameters = [parameter.requires_grad_(parameter.numel() < 1e7) for parameter in model.parameters()]
    optimizer = torch.optim.AdamW([parameter for parameter in parameters if parameter.requires_grad], lr=rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1, (step + 1) / 5) * (1 - step / steps))
    model.train()
    for _ in range(steps):
        batch = torch.randperm(len(labels))[:12]
        loss = nn.functional.cross_entropy(model(input_features=log_mels[batch]).logits, labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    # Running statistics still remember the weights of the first steps.
    update_bn(sounds.split(24), model)
    return TorchClassifier(model.eval(), QuaclrsFeatureExtractor(log_mel))


def share_near(heat: np.ndarray, start: float) -> float:
    """How much of the heat lies from a quarter of a second before the burst to as much after it."""
    seconds = np.arange(heat.shape[1]) * 4 / heat.shape[1]
    return heat[:, (seconds >= start - 0.25) & (seconds <= start + SECONDS + 0.25)].sum() / heat.sum()


@pytest.mark.parametrize(
    "backbone",
    [pytest.param(n, marks=pytest.mark.slow if n == "resnet18" else pytest.mark.weekly) for n in sorted(TRAINING)],
)
def test_sixty_percent_of_the_heat_lie_within_a_quarter_of_a_second_of_the_only_event(backbone):
    generator = np.random.default_rng(0)
    classifier = train_briefly(backbone, generator)
    classifier.labels = ["nothing", "low", "high"]
    shares = []
    for label in (1, 2, 1, 2):
        sound, start = clip(label, generator)
        shares.append(
            share_near(explain(classifier, sound, label=classifier.labels[label], method="grad-cam").heat, start)
        )
    assert min(shares) >= 0.6, shares


@pytest.mark.parametrize("start", [pytest.param(0.6, marks=pytest.mark.weekly), 3.2])
def test_the_model_in_the_package_heard_the_dog_where_its_heat_is(start, monkeypatch):
    monkeypatch.setattr("quaclrs.inference.faithfulness._DRAWS", 1)  # nobody looks at it here
    recording = load_audio(EXAMPLES / "dog_bark.ogg", RATE)
    loudest, length = int(np.abs(recording).argmax()), int(SECONDS * RATE)
    bark = recording[loudest - length // 2 :][:length]
    sound = np.random.default_rng(0).normal(0, 1e-3, 4 * RATE).astype(np.float32)
    sound[int(start * RATE) :][:length] += bark

    heat = explain(load_classifier(device="cpu"), sound, RATE, label="dog_bark").heat

    moments = np.arange(0.25, 3.45, 0.05)
    hottest = moments[np.argmax([share_near(heat, moment) for moment in moments])]
    assert abs(hottest - start) <= 0.3


def test_every_backbone_of_the_paper_is_asked():
    assert set(TRAINING) == set(PAPER_BACKBONES)
