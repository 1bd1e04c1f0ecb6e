"""Stands in for training of self-supervised tables."""

import dataclasses
import json
from pathlib import Path

import yaml

from quaclrs.models import BackboneError
from training.paper.ssl_tables import load_ssl_table
from training.runs.metrics import SHORTCUT_CONTROL
from training.runs.options import parse_config
from training.ssl.config import SSLConfig
from training.supervised.config import SupervisedConfig

ACCURACY = {"simclr": 0.6, "moco_v2": 0.5}
CLASSES = [row.name for row in load_ssl_table("table4").rows]


def figures(accuracy):
    return {
        "accuracy": accuracy,
        "balanced_accuracy": accuracy**2,
        "macro_f1": accuracy - 0.1,
        "weighted_f1": accuracy - 0.05,
        "per_class": {name: {"f1": accuracy - 0.02} for name in CLASSES},
        "confusion_matrix": [[3] * 13] * 13,
    }


class FakeTraining:
    """Stands in for `python -m`: reads the arguments of the trainer, writes a run, trains nothing."""

    def __init__(self):
        self.configs = []
        self.broken = lambda config: False
        self.warnings = lambda config: []

    def __call__(self, arguments, jobs):
        kinds = {"training.train_ssl": SSLConfig, "training.train_supervised": SupervisedConfig}
        config = parse_config(kinds[arguments[0]], arguments[1:])
        self.configs.append(config)
        if self.broken(config):
            return 1
        folder = Path(config.output_dir)
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(yaml.safe_dump(dataclasses.asdict(config)))
        (folder / "metrics.json").write_text(json.dumps(self.measure(config)))
        if isinstance(config, SSLConfig):
            # Two clips: both are found after training, one before, so that the gain is 50 points, sure to be 0 to 100.
            for name, right in (("knn", [1, 1]), ("random_knn", [1, 0])):
                rows = [f"clip_id {i},1,{CLASSES[0]},{hit},{1 - hit}" for i, hit in enumerate(right)]
                lines = [f"clip_id,fold,label,{CLASSES[0]},{CLASSES[1]}", *rows]
                (folder / f"predictions_{name}.csv").write_text("\n".join(lines) + "\n")
        return 0

    @property
    def ssl(self):
        return [config for config in self.configs if isinstance(config, SSLConfig)]

    def measure(self, config):
        run = {
            "backbone": config.backbone,
            "protocol": config.protocol,
            "mixed_precision": "no",
            "epochs": config.epochs,
            "image_size": config.image_size,
            "clips_train": 390,
            "batch_size": config.batch_size,
            "class_names": CLASSES,
            "train_seconds": 90.0,
            "peak_memory_bytes": 2e9,
            "warnings": self.warnings(config),
        }
        if isinstance(config, SupervisedConfig):
            return {**run, **figures(0.7), "clips": 270}
        before = 0.45 if config.initial_weights == "pretrained" else 0.3
        accuracy = ACCURACY.get(config.method, 0.4) + 0.01 * config.seed + 0.02 * config.test_fold
        return {
            **run,
            "clips_test": 270 + config.test_fold,
            "evaluations": {
                "linear": figures(accuracy),
                "knn": figures(accuracy - 0.05),
                "random_linear": figures(before),
                "random_knn": figures(before - 0.1),
            },
            "controls": {
                "chance": {"accuracy": 1 / 13},
                "majority": {"accuracy": 0.12},
                SHORTCUT_CONTROL: {"accuracy": 0.21, "macro_f1": 0.2},
            },
        }


class FakeBackbone:
    """Takes any file that is there for its weights."""

    def __init__(self, name):
        self.name = name

    def load_weights(self, file):
        if not file.is_file():
            raise BackboneError(f"{file} does not exist")
