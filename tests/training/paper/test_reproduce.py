import json
import re
import shlex
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from fake_training import FakeSupervisedTraining

from quaclrs.folds import PAPER_PROTOCOL_WARNING
from quaclrs.models import Backbone
from training import reproduce
from training.paper import plan
from training.paper.report import as_ranges
from training.paper.tables import Training
from training.runs.options import parse_config
from training.supervised.config import SupervisedConfig
from training.weights.imagenet import ImageNetWeights


@pytest.fixture
def command(monkeypatch, tmp_path, capsys):
    """Runs the command on a data set whose folds 1 to 3 are complete, and returns (status, output, errors)."""
    rows = {"fold": [1, 1, 2, 2, 3, 3, 4], "source": ["urbansound8k", "sirennet"] * 3 + ["urbansound8k"]}
    dataset = Dataset.from_dict({**rows, "fold_paper": rows["fold"]})
    monkeypatch.setattr(plan, "load_urbansound13", lambda _: dataset)
    monkeypatch.setattr(reproduce, "_trains_on_cuda", lambda: False)

    class Command:
        missing = "no network"
        training = FakeSupervisedTraining()
        folder = tmp_path

        def __call__(self, *arguments):
            found = ImageNetWeights(missing=self.missing)
            monkeypatch.setattr(reproduce, "find_imagenet_weights", lambda names, *_, **__: dict.fromkeys(names, found))
            status = reproduce.main(
                [*arguments, "--dataset", "data", "--output-dir", str(tmp_path)], start=self.training
            )
            return (status, *capsys.readouterr())

    return Command()


def ours(output, column, architecture):
    """The last cell of a line of the printed table."""
    (cell,) = re.findall(rf"^\| {re.escape(column)} +\| {architecture} +\|.*\| (.*?) +\|$", output, re.M)
    return cell


def test_a_cell_shows_ours_beside_the_papers_with_folds_epochs_clips_and_protocol(command):
    status, output, _ = command("table9", "--backbones", "resnet18", "--epochs", "2")
    assert status == 0
    # Accuracies 50, 60 and 70: mean 60, sample deviation 10; 390, 400 and 410 training clips, 271 + 272 + 273 tested.
    assert ours(output, "Average Accuracy", "ResNet18") == (
        "60.0 ± 10.0% (random init, f1-3, 2 ep, 400/816 clips, 224 px, strict)"
    )
    assert re.search(r"\| ResNet18 +\| 82\.49% +\| 60\.0", output)
    assert ours(output, "Accuracy Range", "ResNet18").startswith("50.0% - 70.0% (")
    assert ours(output, "Standard Deviation", "ResNet18").startswith("10.0% (")


def test_rows_are_ranked_among_those_that_were_run(command):
    _, output, _ = command("table9", "--backbones", "vgg16,mobilenet_v2,resnet18")
    ranks = {name: ours(output, "Performance Rank", name)[:6] for name in ("MobileNet", "ResNet18", "VGG16")}
    assert ranks == {"MobileNet": "1 of 3", "ResNet18": "2 of 3", "VGG16": "3 of 3"}


def test_cells_that_were_not_run_keep_the_papers_figure_and_say_why(command):
    _, output, _ = command("table10", "--backbones", "resnet18", "--folds", "2")
    assert ours(output, "Fold 2", "ResNet18").startswith("60.0% (random init, f2,")
    assert ours(output, "Fold 3", "ResNet18") == "– (fold not run)"
    assert ours(output, "Fold 2", "VGG16") == "– (not among --backbones)"
    for figure in ("79.71%", "68.27%"):
        assert figure in output
    _, output, _ = command("table9", "--backbones", "resnet18", "--folds", "2")
    assert ours(output, "Standard Deviation", "ResNet18") == "– (one run has no deviation)"


def test_a_row_whose_weights_cannot_be_had_is_called_random_init_everywhere(command):
    _, output, errors = command("table6", "--backbones", "resnet18")
    written = json.loads((command.folder / "table6.json").read_text())
    cells = [cell for cell in written["cells"] if cell["backbone"] == "resnet18"]
    assert cells and all(cell["initial_weights"] == ["random init"] for cell in cells)
    assert not re.search(r"\(pretrained", output) and "resnet18 (no network)" in output + errors
    assert {config.initial_weights for config in command.training.configs} == {"random"}
    assert all("(random init, " in ours(output, cell["column"], "ResNet18") for cell in cells)


def test_a_row_whose_weights_are_there_is_called_pretrained_and_scratch_is_not(command):
    command.missing = ""
    command("table2", "--backbones", "resnet18")
    _, output, _ = command("table9", "--backbones", "resnet18")
    assert ours((command.folder / "table2.md").read_text(), "Average Accuracy", "ResNet18").startswith(
        "60.0 ± 10.0% (pretrained, f1-3"
    )
    assert "(random init, f1-3" in ours(output, "Average Accuracy", "ResNet18")
    assert [config.mode for config in command.training.configs] == ["finetune"] * 3 + ["scratch"] * 3


def test_no_run_is_trained_twice_whether_by_another_table_or_by_another_command(command):
    command("all-supervised", "--backbones", "resnet18")
    runs = {config.output_dir for config in command.training.configs}
    # Scratch (which fine-tuning of random weights is), linear probe and mixed precision, on three folds.
    assert len(command.training.configs) == len(runs) == 9
    command("table2", "--backbones", "resnet18")
    command("table8", "--backbones", "resnet18", "--num-workers", "2", "--decode-once")
    assert len(command.training.configs) == 9
    command.missing = ""
    command("all-supervised", "--backbones", "resnet18")
    assert len(command.training.configs) == 18  # all but those from scratch begin anew, and fine-tuning joins them


@pytest.mark.parametrize(
    "size", [["--epochs", "3"], ["--image-size", "96"], ["--max-clips-per-class", "9"], ["--protocol", "paper"]]
)
def test_runs_of_another_size_or_protocol_lie_in_folders_of_their_own(command, size):
    command("table9", "--backbones", "resnet18", "--folds", "1")
    command("table9", "--backbones", "resnet18", "--folds", "1", *size)
    first, second = command.training.configs
    assert first.output_dir != second.output_dir
    assert str(getattr(second, size[0][2:].replace("-", "_"))) == size[1]


def test_a_run_that_began_with_other_options_is_not_taken_for_finished(command):
    command("table9", "--backbones", "resnet18", "--folds", "1")
    file = Path(command.training.configs[0].output_dir) / "config.yaml"
    file.write_text(file.read_text().replace("batch_size: 32", "batch_size: 16"))
    command.training.broken = lambda config: True
    status, output, errors = command("table9", "--backbones", "resnet18", "--folds", "1")
    assert status == 1 and "failed with status 1" in errors
    assert ours(output, "Average Accuracy", "ResNet18") == "– (failed)"


def test_a_run_that_fails_leaves_the_others_standing(command):
    command.training.broken = lambda config: config.test_fold == 2 and config.backbone == "resnet18"
    status, output, _ = command("table9", "--backbones", "resnet18,vgg16")
    assert status == 1
    assert ours(output, "Average Accuracy", "ResNet18").startswith("60.0 ± 14.1% (random init, f1,3,")
    assert ours(output, "Average Accuracy", "VGG16").startswith("50.0 ± 10.0% (random init, f1-3,")


def test_an_average_over_rows_is_over_the_folds_that_all_of_them_have(command):
    command.training.broken = lambda config: config.test_fold == 2 and config.backbone == "resnet18"
    _, output, _ = command("table6", "--backbones", "resnet18,vgg16")
    # (50 + 40) / 2 and (70 + 60) / 2; VGG16 has fold 2 too.
    assert ours(output, "Full Fine-tuning", "Average").startswith("55.0 ± 14.1% (mean of 2 rows, random init, f1,3,")


def test_differences_are_taken_fold_by_fold_and_averaged_over_the_rows_that_were_run(command):
    _, output, _ = command("table6", "--backbones", "resnet18,vgg16")
    # A linear probe is 20 points below fine-tuning in every fold, so the difference has no deviation.
    assert ours(output, "LP vs. FT", "ResNet18").startswith("-20.0 ± 0.0% (")
    assert ours(output, "Full Fine-tuning", "Average").startswith("55.0 ± 10.0% (mean of 2 rows, random init, f1-3")
    assert ours(output, "LP vs. MP", "Average").startswith("-21.0 ± 0.0% (")


def test_parameters_time_and_memory_are_measured_against_the_same_backbone(command):
    _, output, _ = command("table8", "--backbones", "resnet18", "--epochs", "4")
    assert ours(output, "Training Parameters", "ResNet18").startswith("6,669 (")
    assert ours(output, "Training Time (Relative)", "ResNet18").startswith("0.25 ± 0.00x (")
    assert ours(output, "Memory Usage (Relative)", "ResNet18").startswith("0.75 ± 0.00x (")


def test_table_14_counts_from_mobilenet_which_must_be_run_for_it(command):
    _, output, _ = command("table14", "--backbones", "resnet18")
    assert ours(output, "FP32 Training Time", "ResNet18") == "– (needs mobilenet_v2 among --backbones)"
    assert ours(output, "Speed Improvement", "ResNet18").startswith("50 ± 0% (")
    assert {config.backbone for config in command.training.configs} == {"resnet18"}
    _, output, _ = command("table14", "--backbones", "resnet18,mobilenet_v2")
    assert ours(output, "Mixed Precision Time", "ResNet18").startswith("0.50 ± 0.00x (")


@pytest.mark.parametrize(("cuda", "precision"), [(False, "bf16"), (True, "fp16")])
def test_mixed_precision_is_what_the_machine_can_do_and_the_cell_names_it(command, monkeypatch, cuda, precision):
    monkeypatch.setattr(reproduce, "_trains_on_cuda", lambda: cuda)
    _, output, _ = command("table11", "--backbones", "resnet18")
    assert {config.mixed_precision for config in command.training.configs} == {precision}
    assert f"strict, {precision})" in ours(output, "Average Accuracy", "ResNet18")


def test_under_the_papers_protocol_copies_stand_for_augmentation_and_cells_say_so(command):
    command.missing = ""
    command("table6", "--backbones", "resnet18", "--folds", "1")
    assert {config.augment_on for config in command.training.configs} == {"device"}
    command.training.configs.clear()
    _, output, _ = command("table6", "--backbones", "resnet18", "--folds", "1", "--protocol", "paper")
    assert len(command.training.configs) == 4
    assert {config.augment_on for config in command.training.configs} == {"none"}
    assert ours(output, "Full Fine-tuning", "ResNet18").endswith(" paper)")


def test_under_the_papers_protocol_fewer_copies_make_other_runs(command):
    for size in ([], ["--fill-per-fold", "100"], ["--fill-per-fold", "0"]):
        command("table9", "--backbones", "resnet18", "--folds", "1", "--protocol", "paper", *size)
    assert [config.fill_per_fold for config in command.training.configs] == [449, 100, 0]
    assert len({config.output_dir for config in command.training.configs}) == 3


def test_the_papers_figures_are_called_optimistic_even_beside_strict_ones(command):
    _, output, _ = command("table9", "--backbones", "resnet18")
    assert PAPER_PROTOCOL_WARNING in output


def test_seeds_are_runs_of_their_own_and_named(command):
    _, output, _ = command("table10", "--backbones", "resnet18", "--folds", "1", "--seeds", "0,1")
    assert "(random init, f1, seeds 0-1, 5 ep, 390/271 clips" in ours(output, "Fold 1", "ResNet18")
    assert [config.seed for config in command.training.configs] == [0, 1]


def test_json_on_standard_output_is_what_the_files_hold(command):
    _, output, _ = command("table9", "--backbones", "resnet18", "--json")
    (printed,) = json.loads(output)
    assert printed == json.loads((command.folder / "table9.json").read_text())
    cell = next(c for c in printed["cells"] if c["backbone"] == "resnet18" and c["column"] == "Average Accuracy")
    assert [entry["value"] for entry in cell["values"]] == pytest.approx([50, 60, 70])
    assert (cell["paper"], cell["folds"], cell["epochs"], cell["clips_test"]) == ("82.49%", [1, 2, 3], [5], 816)


def test_a_dry_run_prints_commands_that_parse_and_trains_nothing(command):
    status, output, _ = command("table8", "--backbones", "resnet18", "--dry-run")
    commands = [shlex.split(line) for line in output.splitlines()]
    assert status == 0 and len(commands) == 6 and not command.training.configs
    assert not any(command.folder.iterdir())
    for line in commands:
        assert line[:3] == ["python", "-m", "training.train_supervised"]
        assert parse_config(SupervisedConfig, line[3:]).backbone == "resnet18"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["table1"], "table2"),
        (["table5", "--backbones", "alexnet"], "inception_v3"),
        (["table9", "--backbones", "resnet19"], "resnet18"),
        (["table9", "--folds", "1,4"], "1, 2, 3"),
        (["table9", "--folds", "one"], "--folds"),
        (["table9", "--epochs", "0"], "--epochs"),
        (["table9", "--fill-per-fold", "9"], "--fill-per-fold is for --protocol paper"),
        (["table9", "--image-size", "74"], "at least 75 px"),
        (["table9", "--backbones", "alexnet", "--image-size", "62"], "at least 63 px"),
    ],
)
def test_a_wrong_option_is_named_with_the_choices_before_anything_is_trained(command, arguments, named):
    status, output, errors = command(*arguments)
    assert (status, output) == (2, "") and named in errors and errors.count("\n") == 1
    assert not command.training.configs


@pytest.mark.parametrize(("backbone", "least"), plan.SMALLEST_PICTURE.items())
def test_the_least_picture_is_the_smallest_that_the_network_takes(backbone, least):
    with torch.device("meta"), torch.no_grad():  # shapes alone
        network = Backbone(backbone).eval()
        assert network(torch.zeros(1, 3, least, least))[1].shape == (1, network.hidden_size)
        with pytest.raises(Exception):  # noqa: B017 (each network fails in a way of its own)
            network(torch.zeros(1, 3, least - 1, least - 1))


@pytest.mark.parametrize(("numbers", "text"), [([1], "1"), ([1, 2, 3, 5], "1-3,5"), ([1, 3, 4], "1,3-4"), ([], "")])
def test_folds_are_written_as_ranges(numbers, text):
    assert as_ranges(numbers) == text


def test_a_local_file_reaches_its_runs_which_are_not_taken_for_those_of_the_hub(command, tmp_path):
    training = Training("finetune", (("backbone", "resnet18"),))

    def run_with(weights):
        return plan.plan_run(training, 1, 0, plan.Request("d", tmp_path, ["resnet18"], weights={"resnet18": weights}))

    run = run_with(ImageNetWeights(tmp_path / "resnet18.pth"))
    command.training(run, 1)
    assert command.training.configs[0].pretrained_file == str(tmp_path / "resnet18.pth")
    assert run.is_finished()
    assert not run_with(ImageNetWeights()).is_finished()


@pytest.mark.slow
@pytest.mark.usefixtures("warm_runs")
def test_real_runs_fill_a_table_and_are_found_finished_by_the_next_command(sample_dataset, tmp_path, capsys):
    small = ["--epochs", "1", "--image-size", "48", "--max-clips-per-class", "4", "--folds", "1", "--json"]
    command = ["table8", "--backbones", "resnet18", *small]
    command += ["--dataset", str(sample_dataset), "--output-dir", str(tmp_path)]
    statuses, outputs = zip(*((reproduce.main(command), capsys.readouterr()) for _ in range(2)), strict=True)
    first, second = outputs
    assert statuses == (0, 0), first.err + second.err
    cells = [cell for cell in json.loads(first.out)[0]["cells"] if cell["backbone"] == "resnet18"]
    assert cells[0]["ours"] == f"{13 * (512 + 1):,}"
    assert all(cell["values"][0]["value"] > 0 and cell["clips_train"] == 52 for cell in cells)
    assert second.out == first.out
    assert second.err.count("finished before") == 2 and "epoch 1" not in second.err
