import contextlib
import json
import re
import shlex
import sys
from pathlib import Path

import pytest
from datasets import Dataset
from fake_training import FakeBackbone, FakeSSLTraining

from quaclrs.errors import QuaclrsError
from quaclrs.evaluation.figures.confusion_matrix import confusion_matrices_figure
from quaclrs.folds import PAPER_PROTOCOL_WARNING
from training import reproduce
from training.paper import gains, plan
from training.runs.options import parse_config
from training.runs.run import Run
from training.ssl.config import SSLConfig
from training.supervised.config import SupervisedConfig
from training.train_ssl import train_ssl
from training.train_supervised import train

METHODS = ("simclr", "moco_v2", "moco", "byol", "swav", "dino", "barlow_twins")


@pytest.fixture
def command(monkeypatch, tmp_path, capsys):
    """Runs the command on a data set whose folds 1 to 3 are complete, and returns (status, output, errors)."""
    rows = {"fold": [1, 1, 2, 2, 3, 3, 4], "source": ["urbansound8k", "sirennet"] * 3 + ["urbansound8k"]}
    rows |= {name: [f"{name} {i}" for i in range(7)] for name in ("clip_id", "recording_id")}
    dataset = Dataset.from_dict({**rows, "fold_paper": rows["fold"]})
    for module in (plan, gains):
        monkeypatch.setattr(module, "load_urbansound13", lambda _: dataset)

    class Command:
        training = FakeSSLTraining()
        folder = tmp_path / "out"
        weights = tmp_path / "weights.safetensors"

        def __call__(self, *arguments):
            status = reproduce.main(
                [*arguments, "--dataset", "data", "--output-dir", str(self.folder)], start=self.training
            )
            return (status, *capsys.readouterr())

    command = Command()
    command.figures = {}
    # Drawing takes seconds; the slow test below draws.
    monkeypatch.setattr(reproduce, "save_figure", lambda figure, file: command.figures.update({file: figure}))
    monkeypatch.setattr(reproduce, "Backbone", FakeBackbone)
    command.weights.touch()
    return command


def lines_of(output):
    """First cell of a printed line -> the others; of lines of one name the last."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in output.splitlines() if line[:1] == "|"]
    return {row[0]: row[1:] for row in rows}


def test_table_3_shows_mean_and_deviation_over_three_seeds_beside_the_papers(command):
    status, output, _ = command("table3")
    assert status == 0
    # 62, 63 and 64 % in fold 1: mean 63, sample deviation 1.
    first = output.split("## Ours beside")[0]
    assert lines_of(first)["SimCLR"] == ["65.00% / 63.0 ± 1.0%", "0.64 / 0.53 ± 0.01", "0.66 / 0.58 ± 0.01"]
    assert "Ours: resnet18, 224 px, fold 1, seeds 0-2, 1 epoch, 390 clips to train on and 271 to test" in output
    assert PAPER_PROTOCOL_WARNING in output


def test_table_3_compares_encoder_pictures_views_and_epochs_that_are_the_same(command):
    command("table3", "--backbone", "mobilenet_v2", "--image-size", "96", "--epochs", "7", "--seeds", "0")
    assert [config.method for config in command.training.ssl] == list(METHODS)
    for name in ("backbone", "image_size", "augment", "local_views", "pad_mode", "epochs", "initial_weights"):
        assert len({getattr(config, name) for config in command.training.ssl}) == 1
    batches = {config.method: config.batch_size for config in command.training.ssl}
    assert {method for method, size in batches.items() if size != 32} == {"barlow_twins"}  # as a note of the table says
    (supervised,) = [config for config in command.training.configs if isinstance(config, SupervisedConfig)]
    assert (supervised.mode, supervised.backbone, supervised.image_size, supervised.epochs) == (
        "scratch", "mobilenet_v2", 96, 7
    )  # fmt: skip


def test_controls_and_baselines_stand_beside_the_methods_with_time_and_memory(command):
    _, output, _ = command("table3", "--seeds", "0", "--pretrained-file", str(command.weights))
    lines = lines_of(output.split("## Ours beside")[1])
    # Balanced: 0.57² - 0.2². All clips are of one class, so both intervals are the same.
    gains = ["+32.0", "+37.0 (+0.0 to +100.0)", "+28.5 (+0.0 to +100.0)"]
    assert lines["SimCLR"] == ["62.0", "0.52", "57.0", *gains, "1.50", "2.00"]
    assert lines["Supervised from scratch"] == ["70.0", "0.60", "–", "–", "–", "–", "1.50", "2.00"]
    assert lines["ImageNet encoder, frozen"][:3] == ["45.0", "0.35", "35.0"]
    assert lines["Random encoder, frozen"][:3] == ["30.0", "0.20", "20.0"]
    assert lines["Duration, channels, sampling rate alone"][:2] == ["21.0", "0.20"]
    assert (lines["Majority class"][0], lines["Chance"][0]) == ("12.0", "7.7")
    imagenet = [config for config in command.training.ssl if config.initial_weights == "pretrained"]
    assert [(config.pretrained_file, config.epochs) for config in imagenet] == [(str(command.weights), 1)]


def test_without_a_file_of_weights_the_imagenet_row_says_what_to_give(command):
    _, output, _ = command("table3", "--seeds", "0")
    assert lines_of(output)["ImageNet encoder, frozen"][0] == "– (give --pretrained-file)"


def test_table_4_and_the_confusion_panel_are_of_the_runs_of_table_3(command):
    command("table3", "--seeds", "0")
    trained = len(command.training.configs)
    _, output, errors = command("table4", "--seeds", "0")
    assert (len(command.training.configs), errors.count("finished before")) == (trained, 7)
    assert lines_of(output)["dog_bark"][:2] == ["0.69 / 0.60", "0.82 / 0.50"]
    (figure,) = command.figures.values()
    assert list(command.figures) == [command.folder / "plots" / "confusion_matrices.png"]
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == [
        f"{name}: 8% right" for name in ("SimCLR", "MoCoV2", "MoCo", "BYOL", "SwAV", "DINO", "BarlowTwins")
    ]


def test_the_confusion_panel_shows_shares_of_the_true_class_summed_over_seeds(command):
    command("table3", "--seeds", "0,1")
    (figure,) = command.figures.values()
    panel = next(axes for axes in figure.axes if axes.get_title() == "SimCLR: 8% right")
    assert panel.images[0].get_array().shape == (13, 13)
    assert set(panel.images[0].get_array().ravel().tolist()) == {1 / 13}
    with pytest.raises(QuaclrsError, match="MoCo must be of shape"):
        confusion_matrices_figure({"MoCo": [[1]]}, ["a", "b"], "title")
    with pytest.raises(QuaclrsError, match="no confusion matrix"):
        confusion_matrices_figure({}, ["a", "b"], "title")


def test_an_ablation_varies_what_its_rows_name_and_nothing_else(command):
    _, output, _ = command("table18", "--folds", "1")
    varied = [(c.batch_size, int(re.search(r"queue_size=(\d+)", c.method_options)[1])) for c in command.training.ssl]
    assert varied == [(8, 4096), (16, 4096), (32, 4096), (32, 8192)]  # the last is printed as 4096
    assert {(c.method, c.epochs, c.learning_rate) for c in command.training.ssl} == {
        ("moco", 2, command.training.ssl[0].learning_rate)
    }
    assert "41 minutes / 1.5 min" in output and "27% / 42.0%" in output


def test_projection_dimensions_are_those_of_the_rows_and_the_other_options_the_presets(command):
    command("table16", "--seeds", "0")
    options = [config.method_options for config in command.training.ssl]
    assert [re.search(r"projection_dim=(\d+)", text)[1] for text in options] == ["64", "128", "256"]
    assert len({re.sub(r"projection_dim=\d+", "", text) for text in options}) == 1


@pytest.mark.parametrize(("table", "method"), [("table15", "simclr"), ("table17", "moco")])
def test_a_row_of_an_augmentation_is_trained_on_it_fold_by_fold(command, table, method):
    _, output, _ = command(table, "--folds", "1,3")
    assert {config.method for config in command.training.ssl} == {method}
    assert len({config.augment for config in command.training.ssl}) == 12
    line = lines_of(output)["pitchshift_2"]
    figure = 100 * FakeSSLTraining.ACCURACY.get(method, 0.4)
    assert line[0].endswith(f" / {figure + 2:.1f}") and line[2].endswith(f" / {figure + 6:.1f}")
    assert line[1].endswith(" / – (fold not run)") and line[5].endswith(f" / {figure + 4:.1f} ± 2.8")


def test_a_table_s_own_folds_are_those_that_the_data_set_has(command):
    command("table17")
    assert sorted({config.test_fold for config in command.training.ssl}) == [1, 2, 3]


def test_a_table_of_one_fold_is_run_on_all_where_all_are_asked_for(command):
    command("table16", "--seeds", "0")
    assert {config.test_fold for config in command.training.ssl} == {1}
    _, output, _ = command("table16", "--seeds", "0", "--folds", "all")
    assert {config.test_fold for config in command.training.ssl} == {1, 2, 3}
    assert "folds 1-3, seed 0" in output


def test_the_first_seed_is_through_before_the_next_begins(command):
    command("table3", "--seeds", "0,1")
    seeds = [config.seed for config in command.training.configs]
    assert seeds == sorted(seeds)


def test_the_answer_to_rq4_is_run_with_simclr_and_moco_v2_under_each_augmentation(command):
    _, output, _ = command("combinations", "--seeds", "0")
    views = [(config.method, Path(config.augment).name) for config in command.training.ssl]
    of_each = ["two_views", "original", "patch_stretch_shift", "patchaugment_1", "timestretch_1.2", "pitchshift_2"]
    expected = [name if name == "two_views" else f"{name}.yaml" for name in of_each]
    assert views == [(method, name) for method in ("simclr", "moco_v2") for name in expected]
    assert lines_of(output)["SimCLR, PatchAugment + TimeStretch + PitchShift"] == [
        "most consistent / 62.0", "– / 57.0", "– / +32.0"
    ]  # fmt: skip
    assert "strongest representation learning capabilities" in output


def test_no_run_is_trained_twice_and_all_ssl_tables_come_in_one_command(command):
    status, output, _ = command("all-ssl", "--seeds", "0", "--folds", "1")
    runs = {config.output_dir for config in command.training.configs}
    assert status == 0 and len(runs) == len(command.training.configs)
    assert output.count("\n# ") + output.startswith("# ") == 7
    command("all-ssl", "--seeds", "0", "--folds", "1", "--num-workers", "2", "--decode-once")
    assert len(command.training.configs) == len(runs)


@pytest.mark.parametrize(
    "size",
    [["--epochs", "3"], ["--image-size", "96"], ["--max-clips-per-class", "9"], ["--protocol", "paper"],
     ["--batch-size", "64"], ["--backbone", "mobilenet_v2"]],
)  # fmt: skip
def test_runs_of_another_size_lie_in_folders_of_their_own(command, size):
    command("table16", "--seeds", "0")
    before = {config.output_dir for config in command.training.configs}
    status, *_ = command("table16", "--seeds", "0", *size)
    later = [config for config in command.training.configs if config.output_dir not in before]
    assert status == 0 and len(later) == 3
    assert {str(getattr(config, size[0][2:].replace("-", "_"))) for config in later} == {size[1]}


def test_the_rate_rises_over_a_tenth_of_the_epochs_at_most(command):
    command("table16", "--seeds", "0", "--epochs", "1")
    command("table16", "--seeds", "0", "--epochs", "100")
    assert sorted({config.warmup_epochs for config in command.training.ssl}) == [0.1, 2.0]


def test_runs_that_fail_leave_the_others_standing_and_are_counted(command):
    command.training.broken = lambda config: (
        isinstance(config, SSLConfig) and (config.method == "byol" or (config.method, config.seed) == ("simclr", 1))
    )
    status, output, _ = command("table3")
    assert status == 1
    lines = lines_of(output.split("## Ours beside")[0])
    assert lines["SimCLR"][0] == "65.00% / 63.0 ± 1.4% (1 failed)"
    assert lines["BYOL"][0] == "46.00% / – (failed)"
    assert lines["SwAV"][0] == "39.00% / 43.0 ± 1.0%"


def test_runs_that_collapsed_are_counted_in_one_note(command):
    command.training.warnings = lambda config: (
        ["synthetic"] + [f"epoch 1: collapsed ({config.seed})"] * (config.backbone == "resnet18" and config.seed > 0)
    )
    _, output, _ = command("table16")
    notes = [line for line in output.splitlines() if line.startswith("- Ours: ")]
    assert notes == [
        "- Ours: synthetic.",
        "- Ours: runs that ended with a warning: 64: 2; 128: 2; 256: 2. The first of them: epoch 1: collapsed (1).",
    ]


def test_json_on_standard_output_is_what_the_files_hold(command):
    _, output, _ = command("table3", "--json")
    (printed,) = json.loads(output)
    assert printed == json.loads((command.folder / "table3.json").read_text())
    cell = printed["cells"][0]
    assert [entry["value"] for entry in cell["values"]] == pytest.approx([62, 63, 64])
    assert (cell["row"], cell["paper"], cell["run"]["method"]) == ("SimCLR", "65.00%", "simclr")
    (random,) = [line for line in printed["baselines"] if line["name"] == "Random encoder, frozen"]
    assert len(random["k-NN(%)"]) == 3


def test_a_dry_run_prints_commands_that_parse_and_trains_nothing(command):
    status, output, _ = command("table3", "--dry-run", "--seeds", "0")
    commands = [shlex.split(line) for line in output.splitlines()]
    assert status == 0 and len(commands) == 8 and not command.training.configs and not command.folder.exists()
    for line in commands:
        assert line[:2] == ["python", "-m"] and "--resume" in line
        (kind,) = [kind for kind in (SSLConfig, SupervisedConfig) if kind.module == line[2]]
        assert parse_config(kind, line[3:]).backbone == "resnet18"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["table19"], "combinations"),
        (["table3", "--backbone", "resnet19"], "resnet19"),
        (["table3", "--backbones", "resnet18,vgg16"], "one backbone"),
        (["table3", "--backbone", "vgg16", "--image-size", "31"], "at least 32 px"),
        (["table3", "--pretrained-file", "absent.safetensors"], "absent.safetensors"),
        (["table15", "--pretrained-file", "w.safetensors"], "no use with table15"),
        (["table3", "--pretrained-dir", "folder"], "--pretrained-file"),
        (["table3", "--folds", "4"], "1, 2, 3"),
        (["table3", "--batch-size", "1"], "--batch-size"),
        (["table9", "--batch-size", "8"], "no use with table9"),
    ],
)
def test_a_wrong_option_is_named_before_anything_is_trained(command, arguments, named):
    status, output, errors = command(*arguments)
    assert (status, output) == (2, "") and named in errors and errors.count("\n") == 1
    assert not command.training.configs


def train_here(run: Run, jobs: int) -> int:
    """Stands in for a process a run, of which each would import PyTorch anew; training is the real one."""
    with contextlib.redirect_stdout(sys.stderr):
        train_ssl(run.config) if run.kind is SSLConfig else train(run.config)
    return 0


@pytest.mark.weekly
def test_real_runs_fill_table_3_and_are_found_finished_by_the_next_command(sample_dataset, tmp_path, capsys):
    small = ["--epochs", "1", "--image-size", "32", "--max-clips-per-class", "8", "--json", "--seeds", "0"]
    arguments = ["table3", "--backbone", "test_efficientnet", *small, "--decode-once"]
    arguments += ["--dataset", str(sample_dataset), "--output-dir", str(tmp_path)]
    assert reproduce.main(arguments, train_here) == 0
    first = capsys.readouterr()
    assert reproduce.main(arguments, train_here) == 0
    second = capsys.readouterr()
    (table,) = json.loads(first.out)
    assert all(0 <= cell["values"][0]["value"] <= 100 for cell in table["cells"]) and len(table["cells"]) == 21
    assert len(table["baselines"]) == 7 + 6
    assert (tmp_path / "plots" / "confusion_matrices.png").is_file()
    assert second.out == first.out
    assert second.err.count("finished before") == 8 and "epoch 1" not in second.err
