"""Methods learn from the embedded sample, without labels and in a minute, what tells its classes apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.utils import set_seed
from tiny_backbone import tiny_cnn
from transformers import AutoFeatureExtractor, AutoModel

from quaclrs import load_urbansound13
from quaclrs.audio import load_audio
from quaclrs.models import QuaclrsModel
from quaclrs.ssl import METHODS
from training.clips.augmentation import build_log_mel_config
from training.ssl.config import SSLConfig
from training.ssl.model import build_encoder
from training.train_ssl import train_ssl


def heard(encoder: QuaclrsModel, folder: Path, dataset) -> list[torch.Tensor]:
    """Log-mels of the clips."""
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    sounds = (load_audio(audio["bytes"], 48_000) for audio in dataset["audio"])
    with torch.no_grad():
        return [
            encoder.log_mel(extractor(sound, sampling_rate=48_000, return_tensors="pt")["input_values"])
            for sound in sounds
        ]


def neighbours_of_the_class(encoder: QuaclrsModel, log_mels: list[torch.Tensor], dataset) -> float:
    """Share of clips whose five nearest clips of other recordings vote for their class."""
    with torch.no_grad():
        embedded = [encoder.eval()(input_features=log_mel).pooler_output for log_mel in log_mels]
    unit = torch.nn.functional.normalize(torch.cat(embedded)).double().numpy()
    similarity = unit @ unit.T
    recordings, labels = np.array(dataset["recording_id"][:]), np.array(dataset["label"][:])
    similarity[recordings[:, None] == recordings] = -2
    nearest = labels[np.argsort(-similarity, axis=1)[:, :5]]
    votes = (nearest[:, :, None] == np.arange(13)).sum(axis=1)
    return float((votes.argmax(axis=1) == labels).mean())


@pytest.mark.parametrize(
    "method",
    [pytest.param(name, marks=pytest.mark.slow if name == "simclr" else pytest.mark.weekly) for name in METHODS],
)
def test_neighbours_are_more_often_of_one_class_than_before_training(method, sample_dataset, tmp_path):
    config = SSLConfig(
        method=method,
        dataset=str(sample_dataset),
        output_dir=str(tmp_path / "run"),
        test_fold=1,
        backbone=tiny_cnn.__name__,
        duration=1.0,
        image_size=64 if method == "simclr" else 96,  # the one that CI runs is the quickest
        batch_size=32,
        epochs={"simclr": 5, "moco_v2": 40}.get(method, 20),  # MoCo gains little in 20
        decode_once=True,
        augment="two_views",
        local_views=0,
    )
    train_ssl(config)
    set_seed(config.seed)
    untrained = build_encoder(config, build_log_mel_config(config))
    trained = AutoModel.from_pretrained(tmp_path / "run" / "model")
    dataset = load_urbansound13(sample_dataset)
    log_mels = heard(trained, tmp_path / "run" / "model", dataset)
    before, after = (neighbours_of_the_class(encoder, log_mels, dataset) for encoder in (untrained, trained))
    assert after >= before + 0.05
