"""Options of self-supervised training: presets settle what is left open, and nothing given is ignored."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
import yaml

from quaclrs.errors import QuaclrsError
from quaclrs.ssl import METHODS
from training.cross_validate import CrossValidationConfig
from training.runs.options import command_line, parse_config
from training.ssl.config import PRESETS, SSLConfig
from training.supervised.config import SupervisedConfig

REQUIRED = {"dataset": "data", "test_fold": 1, "output_dir": "out"}


def config(method: str = "simclr", **options) -> SSLConfig:
    return SSLConfig(**REQUIRED, method=method, **options)


@pytest.mark.parametrize("batch_size", [32, 64, 128, 256])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_a_preset_for_every_batch_size_that_is_a_valid_config(method, batch_size):
    values = yaml.safe_load((PRESETS / f"{method}.yaml").read_text())
    values |= values.pop("batch_sizes")[batch_size]
    settled = config(method, batch_size=batch_size)
    given = config(method, batch_size=batch_size, **values)
    assert given == settled
    for name, value in values.items():
        if name != "method_options":
            assert getattr(settled, name) == value, name


@pytest.mark.parametrize("file", sorted(PRESETS.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_line_of_a_preset_that_sets_a_number_gives_its_source(file):
    lines = [line for line in file.read_text().splitlines() if re.match(r" *[a-z_0-9]+:", line)]
    unsourced = [line for line in lines if "#" not in line and line not in ("batch_sizes:", "augment: two_views")]
    assert unsourced == []


@pytest.mark.parametrize(
    ("batch_size", "accumulated", "preset"), [(8, 1, 32), (63, 1, 32), (64, 1, 64), (64, 4, 256), (999, 1, 256)]
)
def test_the_preset_is_that_of_the_largest_batch_not_above_the_clips_of_a_step(batch_size, accumulated, preset):
    settled = config(batch_size=batch_size, gradient_accumulation_steps=accumulated)
    expected = yaml.safe_load((PRESETS / "simclr.yaml").read_text())["batch_sizes"][preset]["learning_rate"]
    assert settled.learning_rate == float(expected)


def test_given_options_win_over_the_preset_one_by_one():
    preset = config("moco")
    settled = config("moco", method_options="queue_size=8192", learning_rate=0.5, weight_decay=0.0)
    assert settled.build_method_options().queue_size == 8192
    assert settled.build_method_options().temperature == preset.build_method_options().temperature
    assert (settled.learning_rate, settled.weight_decay) == (0.5, 0.0)
    assert settled.optimizer == preset.optimizer


def test_an_encoder_that_goes_on_learning_fills_up_short_clips_as_before(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"log_mel": {"pad_mode": "zeros"}}))
    assert config().pad_mode == "repeat"
    assert config(init_from=str(tmp_path)).pad_mode == "zeros"


def test_a_yaml_file_may_hold_the_methods_options_as_a_mapping(tmp_path):
    file = tmp_path / "run.yaml"
    options = {"temperature": 0.5, "projection_dim": 64}
    file.write_text(yaml.safe_dump({**REQUIRED, "method": "simclr", "method_options": options}))
    settled = parse_config(SSLConfig, ["--config", str(file)]).build_method_options()
    assert (settled.temperature, settled.projection_dim) == (0.5, 64)


def test_the_command_of_a_run_gives_its_config_again():
    original = config("swav", method_options="n_prototypes=32", epochs=3, supervised_weight=0.3, method_weight=0.7)
    words = command_line("train", original).split()
    assert len(words) < 22, "what the preset gives is not repeated"
    assert parse_config(SSLConfig, words[1:]) == original


@pytest.mark.parametrize("kind", [SSLConfig, SupervisedConfig, CrossValidationConfig])
def test_help_can_be_shown_and_names_every_option(kind, capsys):
    with pytest.raises(SystemExit) as end:
        parse_config(kind, ["--help"])
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert "80 %" in shown
    assert all(f"--{entry.name.replace('_', '-')}" in shown for entry in dataclasses.fields(kind))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "mae"}, "--method is 'mae'; choose simclr"),
        ({"method": ""}, "--method is missing"),
        ({"method_options": "tau=1"}, "simclr has no tau; choose projection_dim"),
        ({"method_options": "temperature=0"}, "--method-options: temperature is 0"),
        ({"method_options": "temperature"}, "is not name=number"),
        ({"method_options": "projection_dim=1.5"}, "projection_dim is 1.5; it must be a whole number"),
        ({"augment_on": "none"}, "--augment-on none"),
        ({"local_views": 2}, "--local-views has no use with --method simclr"),
        ({"method": "dino", "augment_on": "worker"}, "--local-views"),
        ({"method": "swav", "local_duration": 4.0}, "--local-duration is 4"),
        ({"local_duration": 0.5}, "--local-duration has no use without --local-views"),
        ({"supervised_detach": True}, "--supervised-detach"),
        ({"method_weight": 0.0}, "--method-weight 0"),
        ({"mixup_alpha": 0.3, "supervised_weight": 0.3}, "--mixup-alpha"),
        ({"pretrained_file": "w"}, "--pretrained-file"),
        ({"lr_scheduler": "reduce_lr_on_plateau"}, "--lr-scheduler"),
        ({"batch_size": 1}, "--batch-size"),
    ],
)
def test_options_that_cannot_be_or_would_be_ignored_are_one_line(options, words):
    with pytest.raises(QuaclrsError) as error:
        config(**options)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
