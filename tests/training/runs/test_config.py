"""Options: where they come from, what is refused, and the command that gives them again."""

from __future__ import annotations

import dataclasses
import re
import shlex
from typing import get_args, get_type_hints

import pytest
import yaml

from quaclrs.errors import QuaclrsError
from training.runs.folder import RunFolder
from training.runs.options import command_line, parse_config
from training.ssl.config import SSLConfig
from training.supervised.card import training_command
from training.supervised.config import SupervisedConfig

REQUIRED = ["--dataset", "data", "--test-fold", "1", "--output-dir", "out"]


def test_options_may_be_written_with_hyphens_or_underscores():
    hyphens = parse_config(SupervisedConfig, [*REQUIRED, "--batch-size", "8", "--max-clips-per-class", "5"])
    underscores = parse_config(SupervisedConfig, [*REQUIRED, "--batch_size", "8", "--max_clips_per_class", "5"])
    assert hyphens == underscores
    assert (hyphens.batch_size, hyphens.max_clips_per_class) == (8, 5)


def test_the_command_line_wins_over_the_file_and_the_file_over_the_defaults(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("epochs: 7\nbackbone: vgg16\ndataset: data\ntest_fold: 2\noutput_dir: out\n")
    config = parse_config(SupervisedConfig, ["--config", str(file), "--epochs", "3"])
    assert (config.epochs, config.backbone, config.test_fold, config.batch_size) == (3, "vgg16", 2, 32)


def test_a_saved_configuration_is_read_back_as_the_same_run(tmp_path):
    config = parse_config(SupervisedConfig, [*REQUIRED, "--mode", "finetune", "--backbone", "inception_v3"])
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(dataclasses.asdict(config)))
    assert parse_config(SupervisedConfig, ["--config", str(file)]) == config


def test_the_command_on_a_model_card_parses_to_the_same_run():
    config = parse_config(
        SupervisedConfig, [*REQUIRED, "--mode", "finetune", "--epochs", "3", "--weight-decay", "1e-4"]
    )
    prefix = "accelerate launch -m training.train_supervised "
    command = training_command(config)
    assert command.startswith(prefix)
    assert parse_config(SupervisedConfig, command.removeprefix(prefix).split()) == config


@pytest.mark.parametrize(
    ("backbone", "mode", "size", "rate"),
    [
        ("inception_v3", "scratch", 299, 1e-3),
        ("resnet18", "finetune", 224, 1e-4),
        ("mobilenetv3_small_050", "linear_probe", 224, 1e-3),
    ],
)
def test_what_is_left_open_is_settled_by_backbone_and_mode(backbone, mode, size, rate):
    config = parse_config(SupervisedConfig, [*REQUIRED, "--backbone", backbone, "--mode", mode])
    assert (config.image_size, config.learning_rate) == (size, rate)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--dataset", "data", "--output-dir", "out"], "--test-fold"),
        ([*REQUIRED, "--backbone", "resnet81"], "resnet18"),
        ([*REQUIRED, "--epochs", "0"], "--epochs"),
        ([*REQUIRED, "--epochs", "many"], "--epochs"),
        ([*REQUIRED, "--protocol", "random"], "strict"),
        ([*REQUIRED, "--mode", "pretrained"], "linear_probe"),
        ([*REQUIRED, "--num-workers", "-1"], "--num-workers"),
        ([*REQUIRED, "--pretrained-file", "weights.pth"], "--pretrained-file"),
        ([*REQUIRED, "--colour", "red"], "--colour"),
        ([*REQUIRED, "--config", "absent.yaml"], "absent.yaml"),
    ],
)
def test_a_wrong_option_is_one_line_that_names_it(arguments, named):
    with pytest.raises(QuaclrsError) as error:
        parse_config(SupervisedConfig, arguments)
    assert named in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("text", "named"), [("epoch: 3\n", "epoch"), ("- 3\n", "option: value"), ("a: [", "YAML")])
def test_a_wrong_file_of_options_is_one_line_that_says_why(tmp_path, text, named):
    file = tmp_path / "run.yaml"
    file.write_text(text)
    with pytest.raises(QuaclrsError, match=named):
        parse_config(SupervisedConfig, [*REQUIRED, "--config", str(file)])


def test_values_in_a_file_are_checked_like_those_on_the_command_line(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("mode: pretrained\n")
    with pytest.raises(QuaclrsError, match="--mode"):
        parse_config(SupervisedConfig, [*REQUIRED, "--config", str(file)])


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"augment": None}, "--augment is None"),
        ({"augment": ["default"]}, "--augment is"),
        ({"background_noise": 5}, "--background-noise is 5"),
        ({"augment_on": False}, "--augment-on is False"),
    ],
)
def test_an_augmentation_option_of_the_wrong_type_is_named(options, named):
    with pytest.raises(QuaclrsError, match=named):
        SupervisedConfig(dataset="d", test_fold=1, output_dir="o", **options)


def test_the_papers_protocol_is_not_augmented_unasked():
    assert SupervisedConfig(dataset="d", test_fold=1, output_dir="o", protocol="paper").augment_on == "none"
    assert SupervisedConfig(dataset="d", test_fold=1, output_dir="o").augment_on == "device"


def supervised(**options) -> SupervisedConfig:
    return SupervisedConfig(**{"dataset": "data", "test_fold": 1, "output_dir": "out", **options})


#: What each number must not be, and what it just may be.
BOUNDS = {
    "test_fold": ([-1, 1.5], [1]),
    "fill_per_fold": ([-1, 1.5], [0, 449]),
    "max_clips_per_class": ([0, 1.5], [1]),
    "label_fraction": ([0, 1.01], [0.01, 1]),
    "image_size": ([0, 32.5], [1]),
    "duration": ([0, -1], [0.5, 8]),
    "mixup_alpha": ([-0.1], [0, 2]),
    "epochs": ([0, 1.5], [1]),
    "batch_size": ([0, -2], [1]),
    "gradient_accumulation_steps": ([0], [1]),
    "learning_rate": ([0, -0.1], [1e-9]),
    "warmup_epochs": ([-0.5], [0, 0.5]),
    "plateau_patience": ([0, 1.5], [1]),
    "weight_decay": ([-1e-3], [0]),
    "layer_decay": ([0, 1.01], [0.1, 1]),
    "max_grad_norm": ([0], [0.1]),
    "dropout": ([-0.1, 1], [0, 0.9]),
    "drop_path": ([-0.1, 1], [0, 0.9]),
    "ema_decay": ([-0.1, 1], [0, 0.9999]),
    "seed": ([-1, 0.5], [0]),
    "num_workers": ([-1], [0]),
    "log_every": ([0], [1]),
    "keep_checkpoints": ([0], [1]),
    "checkpoint_seconds": ([-1], [0, 0.5]),
    "ddp_timeout": ([0, 10**9], [1, 1800]),
    "freeze_stages": ([-1, 0.5], [0, 1]),
    "label_smoothing": ([-0.1, 1], [0, 0.9]),
    "patience": ([-1], [0]),
    "validate_every": ([0, 1.5], [1, 5]),
    "patch_overlap": ([-0.1, 0.91], [0, 0.5]),
    "stage_scale": ([0, 101], [0.5, 2]),
    "tag_weight": ([-0.1, 11], [0, 0.4]),
    "recording_power": ([-0.1, 1.1], [0, 1]),
    "background_mixtures": ([-1, 0.5], [0, 3]),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_a_number_is_refused_outside_its_bounds_and_taken_within(name):
    refused, taken = BOUNDS[name]
    tags = {**PROBE, "background": "noise", "backbone": "yamnet"}
    beside = {
        "fill_per_fold": {"protocol": "paper"},
        "plateau_patience": {"lr_scheduler": "reduce_lr_on_plateau"},
        "patch_overlap": {"backbone": "yamnet"},
        "tag_weight": tags,
        "stage_scale": {**PROBE, "earlier_stages": "1"},
        "background_mixtures": tags,
        "recording_power": {"balanced_sampler": True},
    }.get(name, {})
    for value in [*refused, float("nan"), float("inf"), True, "3"]:
        with pytest.raises(QuaclrsError, match=f"^--{name.replace('_', '-')} is .*; it must be ") as error:
            supervised(**{name: value}, **beside)
        assert repr(value) in str(error.value) or str(value) in str(error.value)
    for value in taken:
        assert getattr(supervised(**{name: value}, **beside), name) == value


def test_every_number_has_bounds():
    hints = get_type_hints(SupervisedConfig)
    assert {name for name, kind in hints.items() if {int, float} & {kind, *get_args(kind)}} == BOUNDS.keys()


@pytest.mark.parametrize("name", ["decode_once", "overwrite", "balanced_sampler"])
@pytest.mark.parametrize("value", ["no", 1, None])
def test_a_switch_is_true_or_false(name, value):
    with pytest.raises(QuaclrsError, match=f"^--{name.replace('_', '-')} is {value!r}; it must be true or false"):
        supervised(**{name: value})


@pytest.mark.parametrize(
    "name",
    ["protocol", "pad_mode", "augment_on", "optimizer", "lr_scheduler", "mixed_precision", "report_to", "resume",
     "mode", "initial_weights", "class_weights"],
)  # fmt: skip
def test_a_choice_that_there_is_not_is_refused_with_those_that_there_are(name):
    with pytest.raises(QuaclrsError, match=f"^--{name.replace('_', '-')} is 'neither'; choose .+, .+$"):
        supervised(**{name: "neither"})


@pytest.mark.parametrize("scales", ["1", "1,2,3", "1,0", "1,-1", "1,x", "nan,1", "inf,1"])
def test_scales_are_one_positive_number_an_encoder(scales):
    given = {"mode": "linear_probe", "backbone": "tf_efficientnet_lite0+yamnet"}
    with pytest.raises(QuaclrsError, match=f"^--encoder-scales {scales}: give a number above 0 for each encoder"):
        supervised(**given, encoder_scales=scales)
    assert supervised(**given, encoder_scales="0.5,2").factors_of_encoders == [0.5, 2]


@pytest.mark.parametrize("stages", ["1", "1,2,3", "1,-1", "1,x", "1,0.5", "0,65"])
def test_earlier_stages_are_one_number_an_encoder(stages):
    given = {"mode": "linear_probe", "backbone": "tf_efficientnet_lite0+yamnet"}
    with pytest.raises(QuaclrsError, match=f"^--earlier-stages {stages}: give a number from 0 to 64 for each encoder"):
        supervised(**given, earlier_stages=stages)
    assert supervised(**given, earlier_stages="0,2").stages_of_encoders == [0, 2]
    assert supervised(**given).stages_of_encoders == [0, 0]
    assert supervised(mode="linear_probe", earlier_stages=1).stages_of_encoders == [1]  # as YAML reads it


TRANSFER = {"mode": "finetune"}
PROBE = {"mode": "linear_probe"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dataset": ""}, "--dataset is missing"),
        ({"test_fold": 0}, "--test-fold is missing"),
        ({"output_dir": ""}, "--output-dir is missing"),
        ({"labelled_recordings": "some"}, "--labelled-recordings is 'some'; give a number above 0, or all"),
        ({"labelled_recordings": 0}, "--labelled-recordings is '0'; give a number above 0"),
        ({"labelled_recordings": -2}, "--labelled-recordings is '-2'; give a number above 0"),
        ({"labelled_recordings": 3, "label_fraction": 0.5}, "--labelled-recordings and --label-fraction exclude"),
        ({"backbone": "resnet81"}, "--backbone: unknown backbone 'resnet81': did you mean"),
        ({"lr_scheduler": "reduce_lr_on_plateau", "warmup_epochs": 1}, "--warmup-epochs has no use with --lr-sch"),
        ({"pretrained_file": "w.pth"}, "--pretrained-file has no use with --mode scratch"),
        ({"init_from": "run"}, "--init-from has no use with --mode scratch"),
        (TRANSFER | {"pretrained_file": "w.pth", "initial_weights": "random"}, "--pretrained-file has no use with --i"),
        (TRANSFER | {"init_from": "run", "initial_weights": "random"}, "--init-from has no use with --initial-weights"),
        (TRANSFER | {"pretrained_file": "w.pth", "init_from": "run"}, "--pretrained-file and --init-from exclude"),
        ({"initial_weights": "pretrained"}, "--mode scratch begins with random weights; choose finetune"),
        (PROBE | {"freeze_stages": 1}, "--freeze-stages has no use with --mode linear_probe"),
        (PROBE | {"layer_decay": 0.9}, "--layer-decay has no use with --mode linear_probe"),
        (PROBE | {"dropout": 0.0}, "--dropout has no use with --mode linear_probe"),
        (PROBE | {"drop_path": 0.1}, "--drop-path has no use with --mode linear_probe"),
        (PROBE | {"mixup_alpha": 0.2}, "--mixup-alpha has no use with --augment-on none"),
        (
            PROBE | {"tag_weight": 0.4, "backbone": "yamnet"},
            "--tag-weight is for --mode linear_probe without augmentation, with --background",
        ),
        (PROBE | {"tag_weight": 0.4, "background": "noise"}, "--tag-weight is for --mode linear_probe"),
        ({"tag_weight": 0.4, "background": "noise", "backbone": "yamnet"}, "--tag-weight is for --mode linear_probe"),
        (PROBE | {"tags": "tags.yaml"}, "--tags has no use without --tag-weight"),
        (PROBE | {"recording_power": 0}, "--recording-power has no use without --balanced-sampler"),
        (PROBE | {"augment": "paper"}, "--augment paper has no use with a probe on embeddings; pass --augment-on"),
        ({"patch_overlap": 0.5, "backbone": "resnet18"}, "--patch-overlap: resnet18 takes no patches, as yamnet"),
        (PROBE | {"background_mixtures": 1}, "--background-mixtures has no use without --background"),
        ({"background": "noise", "background_mixtures": 1}, "--background-mixtures has no use without"),
        ({"plateau_patience": 9}, "--plateau-patience has no use without --lr-scheduler reduce_lr_on_plateau"),
        ({"augment_on": "none", "background_noise": "street"}, "--background-noise has no use with --augment-on none"),
        ({"protocol": "paper", "mixup_alpha": 0.2}, "--mixup-alpha has no use with --augment-on none"),
    ],
)
def test_what_is_missing_or_would_be_ignored_is_refused_in_one_line(options, message):
    with pytest.raises(QuaclrsError) as error:
        supervised(**options)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "settled"),
    [
        ({}, {"initial_weights": "random", "class_weights": "inverse", "warmup_epochs": 1, "augment_on": "device"}),
        (TRANSFER, {"initial_weights": "pretrained", "learning_rate": 1e-4}),
        (TRANSFER | {"initial_weights": "random"}, {"initial_weights": "random", "learning_rate": 1e-4}),
        (PROBE, {"initial_weights": "pretrained", "learning_rate": 1e-3, "augment_on": "none"}),
        (PROBE | {"augment_on": "device", "mixup_alpha": 0.2}, {"augment_on": "device"}),
        ({"balanced_sampler": True}, {"class_weights": "none"}),
        ({"balanced_sampler": True, "class_weights": "effective"}, {"class_weights": "effective"}),
        ({"lr_scheduler": "reduce_lr_on_plateau"}, {"warmup_epochs": 0}),
        ({"lr_scheduler": "reduce_lr_on_plateau", "warmup_epochs": 0}, {"warmup_epochs": 0}),
        ({"labelled_recordings": 3}, {"labelled_recordings": "3"}),
        ({"backbone": "vgg16"}, {"dropout": 0.5, "drop_path": None}),
        (TRANSFER | {"backbone": "efficientnet_b0"}, {"dropout": 0.2, "drop_path": 0.2}),
        (TRANSFER | {"backbone": "inception_v3", "dropout": 0}, {"dropout": 0, "drop_path": None}),
        ({"backbone": "convnext_tiny", "drop_path": 0.3}, {"dropout": 0, "drop_path": 0.3}),
        ({"backbone": "repghostnet_050"}, {"dropout": None, "drop_path": None}),  # timm's own
        (PROBE | {"backbone": "vgg16"}, {"dropout": None, "drop_path": None}),
    ],
)
def test_what_is_left_open_is_settled_by_the_other_options(options, settled):
    config = supervised(**options)
    assert {name: getattr(config, name) for name in settled} == settled


def test_a_file_takes_what_it_does_not_say_from_its_base_and_that_from_its_own(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "base.yaml").write_text("dataset: data\noutput_dir: out\nepochs: 7\nbatch_size: 7\nseed: 7\n")
    (tmp_path / "middle.yaml").write_text("base: base.yaml\ntest_fold: 6\nepochs: 6\nbatch_size: 6\n")
    file = tmp_path / "runs" / "run.yaml"
    file.write_text("base: ../middle.yaml\nepochs: 5\nlearning_rate: 1e-2\n")
    config = parse_config(SupervisedConfig, ["--config", str(file), "--log-every", "4"])
    assert (config.log_every, config.epochs, config.batch_size, config.test_fold, config.seed) == (4, 5, 6, 6, 7)
    assert config.learning_rate == 0.01  # which YAML reads as text


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("run.yaml", "is its own base"),
        ("other.yaml", "is its own base"),
        ("absent.yaml", r"absent\.yaml cannot be read"),
        (
            "list.yaml",
            r"list\.yaml must hold names and their values; give --config a file of one `option: value` a line",
        ),
        ("colour.yaml", "unknown option colour"),
    ],
)
def test_a_base_that_cannot_be_is_one_line_that_says_why(tmp_path, base, message):
    for name, text in {"other": "base: run.yaml", "list": "- 1", "colour": "colour: red"}.items():
        (tmp_path / f"{name}.yaml").write_text(f"{text}\n")
    (tmp_path / "run.yaml").write_text(f"base: {base}\n")
    with pytest.raises(QuaclrsError, match=message) as error:
        parse_config(SupervisedConfig, [*REQUIRED, "--config", str(tmp_path / "run.yaml")])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, ""),
        ({"learning_rate": 1e-3, "warmup_epochs": 1.0, "image_size": 224}, ""),
        (TRANSFER | {"learning_rate": 1e-4, "initial_weights": "pretrained"}, " --mode finetune"),
        (TRANSFER | {"initial_weights": "random"}, " --mode finetune --initial-weights random"),
        (PROBE | {"augment_on": "none"}, " --mode linear_probe"),
        (PROBE | {"learning_rate": 1e-4}, " --learning-rate 0.0001 --mode linear_probe"),
        ({"protocol": "paper", "backbone": "inception_v3"}, " --protocol paper --backbone inception_v3"),
        ({"balanced_sampler": True, "class_weights": "none"}, " --balanced-sampler"),
        ({"lr_scheduler": "reduce_lr_on_plateau"}, " --lr-scheduler reduce_lr_on_plateau"),
        ({"background_noise": "my street's noise"}, " --background-noise 'my street'\"'\"'s noise'"),
    ],
)
def test_the_command_is_the_shortest_that_gives_the_same_run(options, words):
    config = supervised(**options)
    command = command_line("train", config)
    assert command == f"train --dataset data --test-fold 1 --output-dir out{words}"
    assert parse_config(SupervisedConfig, shlex.split(command)[1:]) == config


def test_the_command_neither_resumes_nor_overwrites():
    config = supervised(resume="auto", overwrite=True, epochs=3)
    assert command_line("train", config) == "train --dataset data --test-fold 1 --output-dir out --epochs 3"


@pytest.mark.parametrize("lines", [0, 3])
def test_options_of_a_run_that_are_cut_short_are_named_and_not_another_option(lines, tmp_path):
    folder, config = RunFolder(tmp_path), supervised(epochs=7)
    folder.open(config, {}, resume=False)
    file = tmp_path / "config.yaml"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:lines]))
    with pytest.raises(QuaclrsError, match=r"config\.yaml does not say \w+: it is cut short"):
        folder.refuse_other_run(config, None)


@pytest.mark.parametrize(
    ("options", "began", "asked", "says"),
    [
        ({"lr_scheduler": "constant"}, 2, 4, ""),
        ({"lr_scheduler": "reduce_lr_on_plateau"}, 2, 4, ""),
        ({"lr_scheduler": "constant"}, 4, 2, "began with epochs 4, not 2"),
        ({}, 2, 4, "began with epochs 2, over which --lr-scheduler cosine is planned; train 4 anew with --overwrite"),
        ({"lr_scheduler": "step"}, 2, 4, "over which --lr-scheduler step is planned"),
    ],
)
def test_a_run_goes_on_to_more_epochs_where_its_schedule_does_not_end_with_them(options, began, asked, says, tmp_path):
    folder = RunFolder(tmp_path)
    folder.open(supervised(epochs=began, **options), {}, resume=False)
    (tmp_path / "metrics.json").write_text("{}")
    longer = supervised(epochs=asked, **options)
    if says:
        with pytest.raises(QuaclrsError, match=re.escape(says)) as error:
            folder.refuse_other_run(longer, None)
        assert "\n" not in str(error.value)
        return
    folder.refuse_other_run(longer, None)
    folder.open(longer, {}, resume=True)
    assert not (tmp_path / "metrics.json").exists()  # it is finished no more
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["epochs"] == asked


@pytest.mark.parametrize(("method", "goes_on"), [("simclr", True), ("byol", False), ("dino", False), ("swav", False)])
def test_a_method_with_a_plan_of_its_own_does_not_go_on(method, goes_on):
    given = {"dataset": "data", "test_fold": 1, "output_dir": "out", "lr_scheduler": "constant", "method": method}
    assert SSLConfig(**given).tied_to_epochs == ("" if goes_on else f"--method {method}")
