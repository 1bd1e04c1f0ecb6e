"""Five methods learn from the embedded sample, without labels and in a minute, what tells its classes apart."""

from __future__ import annotations

import csv

import pytest

from training.ssl_config import SSLConfig
from training.train_ssl import train_ssl

#: Options that suit a hundred steps of 32 clips, where those of the presets do not.
OPTIONS = {
    "simclr": {},
    "moco": {"learning_rate": 1e-3, "method_options": "queue_size=256"},
    "byol": {"learning_rate": 1e-3, "warmup_epochs": 1},
    "barlow_twins": {"learning_rate": 1e-3, "warmup_epochs": 1},
    "dino": {"local_views": 0},
}


@pytest.mark.slow
@pytest.mark.parametrize("method", OPTIONS)
def test_neighbours_in_the_embedding_are_more_often_of_one_class_than_before_training(method, sample_dataset, tmp_path):
    config = SSLConfig(
        method=method,
        dataset=str(sample_dataset),
        output_dir=str(tmp_path / "run"),
        test_fold=1,
        backbone="mobilenetv3_small_050",
        image_size=96,
        batch_size=32,
        epochs=10,
        decode_once=True,
        num_workers=0,
        **OPTIONS[method],
    )
    train_ssl(config)
    with (tmp_path / "run" / "history.csv").open() as file:
        accuracy = [float(row["knn_accuracy"]) for row in csv.DictReader(file)]
    assert len(accuracy) == 11
    assert accuracy[-1] >= accuracy[0] + 0.05
