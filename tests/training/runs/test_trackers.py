"""Trackers beside history.csv."""

from __future__ import annotations

import csv

import pytest

from quaclrs.errors import QuaclrsError
from training.runs.trackers import check_tracker
from training.supervised.config import SupervisedConfig
from training.train_supervised import train


def test_no_tracker_is_asked_for_by_default():
    assert check_tracker(SupervisedConfig(dataset="data", test_fold=1, output_dir="out").report_to) is None


@pytest.mark.parametrize("name", ["tensorboard", "trackio", "wandb"])
def test_a_tracker_without_its_package_is_one_line_that_says_what_to_install(name, monkeypatch):
    monkeypatch.setattr("training.runs.trackers.find_spec", lambda package: None)
    with pytest.raises(QuaclrsError, match=f"^--report-to {name}: .*pip install {name}, or --report-to none$"):
        check_tracker(name)


@pytest.mark.parametrize(("name", "package"), [("tensorboard", "tensorboardX"), ("wandb", "wandb")])
def test_one_of_a_trackers_packages_is_enough(name, package, monkeypatch):
    monkeypatch.setattr("training.runs.trackers.find_spec", lambda asked: object() if asked == package else None)
    assert check_tracker(name) == name


def test_a_run_without_its_trackers_package_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("training.runs.trackers.find_spec", lambda package: None)
    with pytest.raises(QuaclrsError, match="pip install wandb"):
        train(SupervisedConfig(dataset="data", test_fold=1, output_dir=str(tmp_path / "run"), report_to="wandb"))
    assert not list(tmp_path.iterdir())


def test_tensorboard_is_told_the_figures_of_every_epoch(sample_dataset, tmp_path):
    reading = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="not installed: pip install tensorboard"
    )
    train(
        SupervisedConfig(
            dataset=str(sample_dataset), test_fold=2, output_dir=str(tmp_path / "run"), image_size=32, epochs=2,
            backbone="test_efficientnet", batch_size=13, max_clips_per_class=2, report_to="tensorboard",
        )
    )  # fmt: skip
    (events,) = (tmp_path / "run" / "tracker" / "quaclrs").glob("events.out.tfevents.*")
    told = reading.EventAccumulator(str(events)).Reload()
    history = list(csv.DictReader((tmp_path / "run" / "history.csv").open()))
    assert len(history) == 2
    for name in ("train_loss", "validation_accuracy", "learning_rate"):
        assert [(event.step, event.value) for event in told.Scalars(name)] == [
            (int(row["epoch"]), pytest.approx(float(row[name]), rel=1e-6)) for row in history
        ]
