"""What finished runs leave in their folders, without training."""

import dataclasses

import yaml

from quaclrs.evaluation.run_metrics import RunMetrics


def metrics_of(config, **measured) -> RunMetrics:
    """Metrics of a run, complete; what is not given is a harmless value."""
    values = {name: getattr(config, name) for name in ("backbone", "image_size", "augment", "protocol", "test_fold")}
    values |= {name: getattr(config, name) for name in ("seed", "epochs", "batch_size")}
    values |= {"validation_fold": 9, "clips_train": 390, "clips_validation": 100, "synthetic": False, "controls": {}}
    values |= {"num_processes": 1, "mixed_precision": "no", "device": "cpu", "warnings": [], "seconds": 100.0}
    values |= {"train_seconds": 90.0, "train_clips_per_second": 10.0, "peak_memory_bytes": 2_000_000_000}
    return RunMetrics(**{**values, **measured})


def write_run(run, metrics: RunMetrics) -> None:
    """The files by which a run is found finished."""
    run.path.mkdir(parents=True)
    (run.path / "config.yaml").write_text(yaml.safe_dump(dataclasses.asdict(run.config)))
    metrics.write(run.path)
