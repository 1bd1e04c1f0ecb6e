"""Weights that have heard what a run will be tested on are refused, wherever they lie; what was heard adds up."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from quaclrs import load_urbansound13
from quaclrs.data import plan_folds
from quaclrs.errors import QuaclrsError
from quaclrs.evaluation.training_data import TrainingData
from training.runs.heard import as_metadata, heard_after, heard_by_initial_weights, licence_of, refuse_planned
from training.runs.metrics import UNKNOWN_WARNING, data_warnings
from training.supervised.config import SupervisedConfig


@pytest.fixture(scope="module")
def dataset(sample_dataset):
    return load_urbansound13(sample_dataset)


def options(sample: Path, fold: int = 2, protocol: str = "strict", **given: Any) -> SupervisedConfig:
    given = {"backbone": "mobilenetv3_small_050", "mode": "finetune", **given}
    return SupervisedConfig(dataset=str(sample), test_fold=fold, output_dir="out", protocol=protocol, **given)


def splits_of(dataset, config: SupervisedConfig, hold_out: bool = True) -> Any:
    """As much of a run's splits as is looked at."""
    plan = plan_folds(dataset, config.test_fold, config.protocol)
    rows = {name: dataset.select(getattr(plan, name)) for name in ("train", "validation", "test")}
    if not hold_out:
        rows["train"] = dataset
    splits = {name: SimpleNamespace(rows=clips, sounds=clips) for name, clips in rows.items()}
    return SimpleNamespace(**splits, plan=plan, fingerprint="f", synthetic=True, leak="")


def model_of(folder: Path, training_data: dict[str, Any] | None) -> Path:
    """A run's folder, as far as it says what its model has heard."""
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "config.json").write_text(json.dumps({"training_data": training_data}))
    return folder


@pytest.fixture
def trained(dataset, sample_dataset, tmp_path):
    """Makes the folder of a run with a test fold and a protocol."""

    def make(fold: int, protocol: str, hold_out: bool = True) -> Path:
        config = options(sample_dataset, fold, protocol)
        heard = heard_after(config, splits_of(dataset, config, hold_out), hold_out)
        return model_of(tmp_path / f"run-{fold}-{protocol}", heard)

    return make


@pytest.mark.parametrize("inside", ["", "model"])
@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ((2, "strict"), (2, "strict"), ""),
        ((2, "paper"), (2, "paper"), ""),
        ((5, "strict"), (2, "strict"), "test clips of fold 2 (strict protocol): it was kept from fold 5 (strict"),
        ((3, "strict"), (2, "strict"), "validation clips of fold 2"),  # whose validation fold is 2
        ((2, "paper"), (2, "strict"), "of fold 2 (strict protocol): it was kept from fold 2 (paper protocol)"),
        ((2, "strict"), (2, "paper"), "of fold 2 (paper protocol): it was kept from fold 2 (strict protocol)"),
        ((1, "strict"), (2, "strict"), "test clips of fold 2"),
        ((2, "strict", False), (2, "strict"), "it has trained on every clip of sample"),
    ],
)
def test_a_model_may_begin_a_run_only_where_it_was_kept_from_all_that_the_run_holds_out(
    before, after, words, inside, trained, dataset, sample_dataset
):
    start = trained(*before) / inside
    config = options(sample_dataset, *after, init_from=str(start))
    if not words:
        return refuse_planned([config])
    with pytest.raises(QuaclrsError) as error:
        refuse_planned([config])
    message = str(error.value)
    assert message.startswith(f"--init-from {start} has learned from ") and words in message and "\n" not in message
    with pytest.raises(QuaclrsError, match="has learned from"):
        heard_after(config, splits_of(dataset, config))
    heard_after(config, splits_of(dataset, config), hold_out=False)  # nothing is tested


def test_what_an_encoder_heard_is_united_with_what_the_run_hears(trained, dataset, sample_dataset):
    first = trained(2, "strict")
    config = options(sample_dataset, init_from=str(first))
    few = splits_of(dataset, config)
    few.train.sounds = few.train.sounds.select(range(5))
    heard = TrainingData.of_model(heard_after(config, few))
    assert [training["clips"] for training in heard.trainings] == [len(splits_of(dataset, config).train.rows), 5]
    assert heard.complete
    assert heard.has_heard(splits_of(dataset, config).train.rows, "strict").all()
    assert data_warnings(config, few)[:-1] == []  # the last says that the sample is synthetic


def test_weights_of_others_are_said_to_be_unknown_and_so_is_what_comes_of_them(dataset, sample_dataset, tmp_path):
    config = options(sample_dataset, init_from=str(model_of(tmp_path / "foreign", None)))
    splits = splits_of(dataset, config)
    heard = TrainingData.of_model(heard_after(config, splits))
    assert not heard.complete and heard.has_heard(splits.train.rows, "strict").all()
    assert UNKNOWN_WARNING in data_warnings(config, splits)


def test_imagenets_and_random_weights_have_heard_nothing_and_a_files_own_word_counts(
    trained, dataset, sample_dataset, tmp_path
):
    assert heard_by_initial_weights(options(sample_dataset)).clips.size == 0
    tensors = {"weight": np.zeros(3, dtype=np.float32)}
    save_file(tensors, tmp_path / "imagenet.safetensors")
    (tmp_path / "imagenet.pth").write_bytes(b"PK")
    for name in ("imagenet.safetensors", "imagenet.pth", "absent.safetensors"):
        config = options(sample_dataset, pretrained_file=str(tmp_path / name))
        assert heard_by_initial_weights(config).complete
        refuse_planned([config])
    said = json.loads((trained(3, "strict") / "model" / "config.json").read_text())["training_data"]
    save_file(tensors, tmp_path / "backbone.safetensors", metadata={"format": "pt", **as_metadata(said)})
    refuse_planned([options(sample_dataset, 3, pretrained_file=str(tmp_path / "backbone.safetensors"))])
    with pytest.raises(QuaclrsError, match=r"^--pretrained-file .*backbone\.safetensors has learned from"):
        refuse_planned([options(sample_dataset, 2, pretrained_file=str(tmp_path / "backbone.safetensors"))])


def test_a_config_that_is_no_json_is_one_line(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(QuaclrsError, match=r"config\.json cannot be read as JSON .* --init-from") as error:
        options(Path("data"), init_from=str(tmp_path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("heard", "options", "licence"),
    [
        ([True], {}, "apache-2.0"),
        ([True, True], {}, "apache-2.0"),
        ([False, True], {}, "cc-by-nc-4.0"),  # began with what learned from recordings
        ([True], {"background": "ESC-50/audio"}, "cc-by-nc-4.0"),
        ([None], {}, "cc-by-nc-4.0"),  # as an earlier version saved it
        (None, {}, "cc-by-nc-4.0"),
    ],
)
def test_weights_are_free_only_where_all_that_they_heard_is_synthesised(heard, options, licence, tmp_path, dataset):
    saved = None
    if heard is not None:
        (training,) = TrainingData.of_training(dataset.select(range(3))).trainings
        assert training["synthetic"] is True
        trainings = tuple({**training, "synthetic": flag, "dataset": str(n)} for n, flag in enumerate(heard))
        saved = TrainingData(trainings).to_dict()
    config = SupervisedConfig(dataset="d", test_fold=1, output_dir="o", **options)
    assert licence_of(model_of(tmp_path, saved) / "model", config) == licence
