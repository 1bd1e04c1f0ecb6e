"""`--dry-run`: what a run would take is said, and nothing else happens."""

from __future__ import annotations

import dataclasses
import re
import shlex
from pathlib import Path

import pytest
from accelerate.commands.launch import launch_command_parser

from training import train_ssl, train_supervised
from training.runs.device_memory import NETWORK, OPTIMIZER, VIEWS, StepMemory
from training.runs.dry_run import describe_dry_run
from training.runs.options import parse_config
from training.ssl.config import SSLConfig
from training.supervised.config import SupervisedConfig

#: Quick to measure.
TINY = ["--backbone", "test_resnet", "--image-size", "32"]


def row_of(report: str, name: str) -> list[str]:
    """Cells of a row for 1, 8 and 16 processes."""
    (line,) = [line for line in report.splitlines() if line.startswith(f"{name}  ")]
    return re.split(r"  +", line.removeprefix(name).strip())


def launches(report: str) -> list[list[str]]:
    return [shlex.split(line) for line in report.splitlines() if line.startswith("accelerate launch")]


def test_a_supervised_run_is_described_and_nothing_is_written(small_sample, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = ["--dataset", str(small_sample), "--test-fold", "2", "--output-dir", "run", "--epochs", "3", *TINY]
    assert train_supervised.main([*arguments, "--batch-size", "16", "--dry-run"]) == 0
    report = capsys.readouterr().out
    # Ten folds of one clip a class: two are held out.
    assert "104 clips train; 3 epochs, float32" in report
    assert row_of(report, "clips a step and process") == ["16", "2", "2"]
    assert row_of(report, "clips a step") == ["16", "16", "32"]
    assert row_of(report, "steps an epoch") == ["6", "6", "3"]
    assert row_of(report, "steps in all") == ["18", "18", "9"]
    moments = [float(row_of(report, f"at most in: {name}")[0]) for name in (VIEWS, NETWORK, OPTIMIZER)]
    assert float(row_of(report, "needed")[0]) == max(moments) > 0
    assert list(tmp_path.iterdir()) == []


def test_the_lines_start_every_process_with_the_options_of_the_run(small_sample, tmp_path, capsys):
    arguments = [
        "--dataset", str(small_sample), "--test-fold", "2", "--output-dir", "runs/a b", "--method", "moco",
        "--batch-size", "64", "--mixed-precision", "bf16", "--method-options", "queue_size=32", *TINY,
    ]  # fmt: skip
    assert train_ssl.main([*arguments, "--dry-run"]) == 0
    one, first, second = launches(capsys.readouterr().out)
    whole = parse_config(SSLConfig, arguments)
    for words, machines, rank in ((one, 1, None), (first, 2, 0), (second, 2, 1)):
        launcher = launch_command_parser().parse_args(words[2:])
        assert (launcher.num_machines, launcher.num_processes) == (machines, 8 * machines)
        assert (launcher.multi_gpu, launcher.mixed_precision, launcher.machine_rank) == (True, "bf16", rank)
        assert (launcher.module, launcher.training_script) == (True, "training.train_ssl")
        assert (launcher.main_process_port, launcher.main_process_ip) == (
            (None, None) if machines == 1 else (29500, "FIRST_MACHINE")
        )
        # The rate of 64 clips, though the preset for 8 has another.
        shared = parse_config(SSLConfig, launcher.training_script_args)
        assert shared == dataclasses.replace(whole, batch_size=64 // (8 * machines))
        assert shared.learning_rate == whole.learning_rate


def test_a_config_file_can_be_tried_without_the_weights_that_it_begins_with(small_sample, tmp_path, capsys):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("mode: finetune\nbackbone: test_resnet\nimage_size: 32\npretrained_file: not/there.safetensors\n")
    arguments = ["--config", str(recipe), "--dataset", str(small_sample), "--test-fold", "2", "--output-dir", "run"]
    assert train_supervised.main([*arguments, "--dry-run"]) == 0
    assert "--pretrained-file not/there.safetensors" in capsys.readouterr().out


@pytest.mark.parametrize(
    "options",
    [
        ["--mode", "linear_probe"],
        ["--mode", "linear_probe", "--augment-on", "device", "--gradient-accumulation-steps", "3"],
        ["--augment-on", "none", "--ema-decay", "0.9", "--optimizer", "sgd"],
        ["--protocol", "paper", "--fill-per-fold", "2"],
        ["--mixup-alpha", "0.3", "--augment-on", "worker"],
    ],
)
def test_every_way_to_train_can_be_tried(options, small_sample, capsys):
    arguments = ["--dataset", str(small_sample), "--test-fold", "2", "--output-dir", "run", *TINY, *options]
    assert train_supervised.main([*arguments, "--dry-run"]) == 0
    assert float(row_of(capsys.readouterr().out, "needed")[0]) > 0


def test_a_wrong_option_is_one_line(small_sample, expect_one_error_line):
    assert train_supervised.main(
        ["--dataset", str(small_sample), "--test-fold", "11", "--output-dir", "x", "--dry-run"]
    )
    expect_one_error_line("fold")


def report_of(clips: int, **options: int) -> str:
    config = SupervisedConfig(dataset="data", test_fold=1, output_dir="run", **options)
    memory = StepMemory({"gradients": 10**9}, {"forward and backward": 5 * 10**9})
    return describe_dry_run(config, "", clips, lambda batch_size: memory)


def test_steps_are_those_of_whole_batches_of_all_processes():
    report = report_of(6001, batch_size=256, gradient_accumulation_steps=2, epochs=200)
    # 23 batches of 256; 187 of 32, of which each of 8 has 23; 375 of 16, of which each of 16 has 23; two a step.
    assert row_of(report, "clips a step") == ["512", "512", "512"]
    assert row_of(report, "steps an epoch") == ["12", "12", "12"]
    assert row_of(report, "steps in all") == ["2,400", "2,400", "2,400"]


def test_a_batch_that_cannot_be_dealt_out_evenly_grows_and_too_few_clips_are_said():
    report = report_of(20, batch_size=20)
    assert row_of(report, "clips a step") == ["20", "24", "32"]
    assert row_of(report, "steps an epoch") == ["1", "0: too few clips", "0: too few clips"]


def test_several_processes_hold_their_gradients_once_more_to_send_them():
    report = report_of(1000)
    assert row_of(report, "gradients to send") == ["0.00", "1.00", "1.00"]
    assert row_of(report, "needed") == ["5.00", "6.00", "6.00"]


def test_only_a_single_run_can_be_tried(expect_one_error_line):
    from training.cross_validate import main

    assert main(["--dataset", "data", "--output-dir", "runs", "--dry-run"]) == 2
    expect_one_error_line("--dry-run")


def test_the_recipes_of_the_package_are_where_the_page_says():
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "gpus.md").read_text(encoding="utf-8")
    recipes = set(re.findall(r"training/configs/gpu/\w+\.yaml", page))
    assert recipes
    for named in recipes:
        assert (Path(__file__).parents[2] / named).is_file(), named
