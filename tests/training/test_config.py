import dataclasses

import pytest
import yaml

from quaclrs.errors import QuaclrsError
from training.config import SupervisedConfig
from training.model_card import training_command
from training.options import parse_config

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
