"""Stands in for training of supervised tables."""

import dataclasses
import json
from pathlib import Path

import yaml

from training.runs.options import parse_config
from training.supervised.config import SupervisedConfig

ACCURACY = {1: 0.5, 2: 0.6, 3: 0.7}
GAIN = {"vgg16": -0.1, "resnet18": 0.0, "mobilenet_v2": 0.1}


class FakeTraining:
    """Stands in for `python -m training.cross_validate`: reads its arguments, writes a run, trains nothing."""

    def __init__(self):
        self.configs = []
        self.broken = lambda config: False

    def __call__(self, arguments, jobs):
        options = dict(zip(arguments[::2], arguments[1::2], strict=True))
        fold, seed = options.pop("--folds"), options.pop("--seeds")
        folder = Path(options.pop("--output-dir")) / f"fold-{fold}-seed-{seed}"
        rest = [text for option in options.items() for text in option]
        config = parse_config(
            SupervisedConfig, [*rest, "--test-fold", fold, "--seed", seed, "--output-dir", str(folder)]
        )
        self.configs.append(config)
        if self.broken(config):
            return 1
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(yaml.safe_dump(dataclasses.asdict(config)))
        (folder / "metrics.json").write_text(json.dumps(self.measure(config)))
        return 0

    @staticmethod
    def measure(config):
        half = config.mixed_precision != "no"
        probe = config.mode == "linear_probe"
        return {
            "accuracy": ACCURACY[config.test_fold] + GAIN.get(config.backbone, 0) - 0.2 * probe + 0.01 * half,
            "initial_weights": "random init" if config.initial_weights == "random" else "pretrained",
            "protocol": config.protocol,
            "mixed_precision": config.mixed_precision,
            "epochs": config.epochs,
            "image_size": config.image_size,
            "clips_train": 380 + 10 * config.test_fold,
            "clips": 270 + config.test_fold,
            "trained_parameters": 6669 if probe else 11_183_181,
            "train_seconds": config.epochs * (2.0 if probe else 8.0) * (0.5 if half else 1.0),
            "peak_memory_bytes": 3e9 if probe else 4e9,
            "warnings": [],
        }
