"""Which numbers of an embedding count how much in a probe."""

from __future__ import annotations

import numpy as np

from quaclrs.models import QuaclrsConfig, QuaclrsModel
from training.supervised.config import SupervisedConfig
from training.supervised.trainable import encoder_scale

YAMNET = {"sampling_rate": 16_000, "image_size": 64, "image_width": 384}


def test_encoders_and_their_earlier_stages_count_by_their_factors_and_tags_nothing():
    yamnet = {"backbone": "yamnet", "pooling": "mean_max", "tag_groups": [[0], [1], [2]], "earlier_stages": 2}
    encoder = QuaclrsModel(
        QuaclrsConfig("resnet18", YAMNET, pooling="mean_max", more_encoders=[{**yamnet, "log_mel": YAMNET}])
    )
    config = SupervisedConfig(
        dataset="d",
        test_fold=1,
        output_dir="o",
        mode="linear_probe",
        backbone="resnet18+yamnet",
        encoder_scales="0.5,3",
        earlier_stages="0,2",
        stage_scale=2.0,
    )
    runs = [(0.5, 2 * 512), (3, 2 * 1024), (6, 2 * (512 + 256)), (0, 3)]
    np.testing.assert_array_equal(encoder_scale(config, encoder), np.repeat(*zip(*runs, strict=True)))
