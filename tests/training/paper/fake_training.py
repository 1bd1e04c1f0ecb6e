"""Stands in for the training of runs: writes what a run leaves, trains nothing."""

from fake_runs import metrics_of, write_run

from quaclrs.models import BackboneError
from training.paper.tables import load_table
from training.runs.metrics import SHORTCUT_CONTROL
from training.ssl.config import SSLConfig
from training.supervised.config import SupervisedConfig

CLASSES = [row.name for row in load_table("table4").rows]


class FakeTraining:
    """Stands in for `Run.start`; a subclass says what a run measures."""

    def __init__(self):
        self.configs = []
        self.broken = lambda config: False
        self.warnings = lambda config: []

    def __call__(self, run, jobs):
        self.configs.append(run.config)
        if self.broken(run.config):
            return 1
        write_run(run, self.measure(run.config))
        return 0


class FakeSupervisedTraining(FakeTraining):
    ACCURACY = {1: 0.5, 2: 0.6, 3: 0.7}  # noqa: RUF012
    GAIN = {"vgg16": -0.1, "resnet18": 0.0, "mobilenet_v2": 0.1}  # noqa: RUF012

    def measure(self, config):
        half = config.mixed_precision != "no"
        probe = config.mode == "linear_probe"
        accuracy = self.ACCURACY[config.test_fold] + self.GAIN.get(config.backbone, 0) - 0.2 * probe + 0.01 * half
        return metrics_of(
            config,
            figures={"accuracy": accuracy, "clips": 270 + config.test_fold},
            initial_weights="random init" if config.initial_weights == "random" else "pretrained",
            mixed_precision=config.mixed_precision,
            clips_train=380 + 10 * config.test_fold,
            trained_parameters=6669 if probe else 11_183_181,
            train_seconds=config.epochs * (2.0 if probe else 8.0) * (0.5 if half else 1.0),
            peak_memory_bytes=3_000_000_000 if probe else 4_000_000_000,
        )


def figures(accuracy, clips=270):
    return {
        "clips": clips,
        "accuracy": accuracy,
        "balanced_accuracy": accuracy**2,
        "macro_f1": accuracy - 0.1,
        "weighted_f1": accuracy - 0.05,
        "per_class": {name: {"f1": accuracy - 0.02} for name in CLASSES},
        "confusion_matrix": [[3] * 13] * 13,
    }


class FakeSSLTraining(FakeTraining):
    ACCURACY = {"simclr": 0.6, "moco_v2": 0.5}  # noqa: RUF012

    def __call__(self, run, jobs):
        status = super().__call__(run, jobs)
        if status == 0 and run.kind is SSLConfig:
            # Two clips: both are found after training, one before, so that the gain is 50 points, sure to be 0 to 100.
            for name, right in (("knn", [1, 1]), ("random_knn", [1, 0])):
                rows = [f"clip_id {i},1,{CLASSES[0]},{CLASSES[1 - hit]},{hit},{1 - hit}" for i, hit in enumerate(right)]
                lines = [f"clip_id,fold,label,predicted,{CLASSES[0]},{CLASSES[1]}", *rows]
                (run.path / f"predictions_{name}.csv").write_text("\n".join(lines) + "\n")
        return status

    @property
    def ssl(self):
        return [config for config in self.configs if isinstance(config, SSLConfig)]

    def measure(self, config):
        if isinstance(config, SupervisedConfig):
            return metrics_of(config, figures=figures(0.7), warnings=self.warnings(config))
        before = 0.45 if config.initial_weights == "pretrained" else 0.3
        accuracy = self.ACCURACY.get(config.method, 0.4) + 0.01 * config.seed + 0.02 * config.test_fold
        accuracies = {
            "linear": accuracy,
            "knn": accuracy - 0.05,
            "random_linear": before,
            "random_knn": before - 0.1,
        }
        return metrics_of(
            config,
            method=config.method,
            class_names=CLASSES,
            clips_test=270 + config.test_fold,
            warnings=self.warnings(config),
            evaluations={name: figures(value, 270 + config.test_fold) for name, value in accuracies.items()},
            controls={
                "chance": {"accuracy": 1 / 13},
                "majority": {"accuracy": 0.12},
                SHORTCUT_CONTROL: {"accuracy": 0.21, "macro_f1": 0.2},
            },
        )


class FakeBackbone:
    """Takes any file that is there for its weights."""

    def __init__(self, name):
        self.name = name

    def load_weights(self, file):
        if not file.is_file():
            raise BackboneError(f"{file} does not exist")
