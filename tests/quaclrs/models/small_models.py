"""Small models and sounds of the tests."""

from __future__ import annotations

import torch

from quaclrs.models import QuaclrsConfig, QuaclrsForAudioClassification

SMALL = {"sampling_rate": 16_000, "duration": 0.5, "n_fft": 512, "hop_length": 160, "n_mels": 64, "image_size": 32}


def small_classifier(backbone: str = "mobilenetv3_small_050", num_labels: int = 4, **front_end):
    torch.manual_seed(1)
    config = QuaclrsConfig(backbone=backbone, log_mel={**SMALL, **front_end}, num_labels=num_labels)
    model = QuaclrsForAudioClassification(config)
    batch_norms = any(name.endswith("running_mean") for name, _ in model.named_buffers())
    with torch.no_grad():  # batch norms of a network that has seen data: or every sound scores nearly alike
        for _ in range(20 if batch_norms else 0):
            model(input_features=torch.rand(4, 64, 51))
    return model.eval()


def noise(clips: int = 2, samples: int = 8_000) -> torch.Tensor:
    return 0.3 * torch.randn(clips, samples, generator=torch.Generator().manual_seed(2))


def tensors_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Every parameter and every buffer, those that no checkpoint holds among them."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}
