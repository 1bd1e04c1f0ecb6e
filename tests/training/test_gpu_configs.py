"""The recipes for GPUs: what they ask for, and that each of them trains, as small as can be and on a CPU."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState

from training import train_ssl, train_supervised
from training.runs.config import TrainingConfig
from training.runs.options import parse_config, read_options_file
from training.runs.session import Session
from training.ssl.config import SSLConfig
from training.supervised.config import SupervisedConfig

FOLDER = Path(train_ssl.__file__).parent / "configs" / "gpu"
#: Recipes that a user names; the others are what those share.
RECIPES = sorted(file for file in FOLDER.glob("*.yaml") if file.stem not in ("base", "ssl"))
SMALLEST = {
    "backbone": "test_efficientnet", "image_size": 32, "batch_size": 13, "max_clips_per_class": 2, "epochs": 1,
    "num_workers": 0, "decode_once": False, "warmup_epochs": 0, "learning_rate": 0.01,
}  # fmt: skip


@pytest.fixture
def own_precision() -> Iterator[None]:
    """Accelerate settles the precision once a process; runs before and after have another."""
    AcceleratorState._reset_state()
    yield
    AcceleratorState._reset_state()


def config_of(recipe: Path, dataset: Path | str, folder: Path | str, **changed: object) -> TrainingConfig:
    kind = SSLConfig if "method" in read_options_file(recipe) else SupervisedConfig
    options = {"config": recipe, "dataset": dataset, "test_fold": 2, "output_dir": folder, **changed}
    return parse_config(kind, [f"--{name}={value}" for name, value in options.items()])


def test_there_is_a_recipe_for_each_method_and_for_both_kinds_of_supervised_training():
    methods = {"simclr", "moco", "moco_v2", "byol", "barlow_twins", "dino", "swav"}
    assert {recipe.stem for recipe in RECIPES} == methods | {"scratch", "finetune"}


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_a_recipe_asks_for_a_large_run_in_half_precision(recipe):
    config = config_of(recipe, "data", "run")
    asked = (config.batch_size, config.mixed_precision, config.image_size, config.epochs, config.channels_last)
    assert asked == (256, "bf16", 224, 200, True)
    assert getattr(config, "method", config.__dict__.get("mode")) == recipe.stem
    # A process that has a share of the clips learns at the rate of the whole.
    assert config_of(recipe, "data", "run", batch_size=16).learning_rate == config.learning_rate


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_a_recipe_trains_two_steps(recipe, small_sample, tmp_path, own_precision):
    more = {"initial_weights": "random"} if recipe.stem == "finetune" else {}  # ImageNet's are on the Hub
    if recipe.stem in ("dino", "swav"):  # bf16 convolutions of such small local views are now and then NaN on a CPU
        more["local_views"] = "0"
    config = config_of(recipe, small_sample, tmp_path / "run", **SMALLEST, **more)
    trainer = train_ssl if isinstance(config, SSLConfig) else train_supervised
    with Session.begin(config) as session:
        trainer.fit(session, config)
        assert session.accelerator.mixed_precision == "bf16"
        assert 0 < session.history[-1]["train_loss"] < 1e6
    state = json.loads((tmp_path / "run" / "checkpoints" / "epoch-0001" / "trainer_state.json").read_text())
    assert state["schedule"]["last_epoch"] == 2  # PyTorch's name for the steps of a schedule
