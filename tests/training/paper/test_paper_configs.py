import dataclasses
import re
import statistics
from pathlib import Path

import pytest

from quaclrs.augment import load_policies
from quaclrs.augment.policy import variant_policy
from quaclrs.augment.variants import VARIANTS
from quaclrs.models import PAPER_BACKBONES
from training.paper.plan import Request, plan_table
from training.paper.tables import CONFIGS, SSL_TABLES, SUPERVISED_TABLES, load_table
from training.runs.options import read_options_file
from training.supervised.config import SupervisedConfig

TRAININGS = ("finetune", "linear_probe", "scratch", "mixed_precision")
PER_FOLD = {"table5": "table7", "table9": "table10", "table11": "table13"}


def settled(training, backbone, **overrides):
    """Every option of a recipe as a run settles it."""
    values = {**read_options_file(CONFIGS / f"{training}.yaml"), "backbone": backbone, **overrides}
    return dataclasses.asdict(SupervisedConfig(dataset="d", test_fold=1, output_dir="o", **values))


def difference(one, other):
    return {name: (one[name], other[name]) for name in one if one[name] != other[name]}


def figures(table):
    """Architecture -> the numbers in each printed figure, without their signs."""
    return {
        row.name: [[float(n) for n in re.findall(r"\d+(?:\.\d+)?", f)] for f in row.figures]
        for row in load_table(table).rows
    }


# The configs.


@pytest.mark.parametrize("training", TRAININGS)
@pytest.mark.parametrize("backbone", PAPER_BACKBONES)
def test_every_training_is_a_valid_recipe_for_every_backbone(training, backbone):
    config = settled(training, backbone)
    assert config["backbone"] == backbone
    assert config["mode"] == ("finetune" if training == "mixed_precision" else training)


@pytest.mark.parametrize("backbone", PAPER_BACKBONES)
@pytest.mark.parametrize("protocol", ["strict", "paper"])
def test_pretrained_and_scratch_differ_in_nothing_but_weights(backbone, protocol):
    finetune, scratch = (settled(training, backbone, protocol=protocol) for training in ("finetune", "scratch"))
    assert difference(finetune, scratch) == {
        "mode": ("finetune", "scratch"),
        "initial_weights": ("pretrained", "random"),
    }


@pytest.mark.parametrize("backbone", PAPER_BACKBONES)
def test_mixed_precision_differs_from_fine_tuning_in_its_precision_alone(backbone):
    assert difference(settled("mixed_precision", backbone), settled("finetune", backbone)) == {
        "mixed_precision": ("fp16", "no")
    }


@pytest.mark.parametrize("training", TRAININGS)
def test_what_the_paper_states_is_what_runs(training):
    config = settled(training, "resnet18")
    stated = {"epochs": 5, "optimizer": "adam", "class_weights": "inverse", "augment": "paper", "image_size": 224}
    assert {name: config[name] for name in stated} == stated
    assert config["lr_scheduler"] in ("cosine", "reduce_lr_on_plateau")


# The tables.


@pytest.mark.parametrize("name", SUPERVISED_TABLES)
def test_every_row_has_a_figure_for_every_column_and_a_recipe_for_every_training(name):
    table = load_table(name)
    for row in table.rows:
        assert len(row.figures) == len(table.columns)
        assert all(isinstance(figure, str) for figure in row.figures)
    assert set(table.backbones) <= set(PAPER_BACKBONES)
    assert {training.backbone for training in table.trainings(table.backbones)} == set(table.backbones)
    assert {training.recipe for training in table.trainings(table.backbones)} <= set(TRAININGS)


def test_figures_are_those_of_the_printed_page():
    # Read off the paper by eye, one or two a table.
    printed = {
        ("table2", "EfficientNet", 0): "82.09%",
        ("table2", "VGG16", 2): "60.36% - 71.21%",
        ("table5", "ResNet18", 3): "2.51%",
        ("table6", "VGG16", 4): "+8.99%",
        ("table6", "Average", 1): "77.97%",
        ("table7", "ConvNext", 8): "86.06%",
        ("table8", "VGG16", 0): "~25.1M",
        ("table8", "MobileNet", 2): "0.55x",
        ("table9", "ConvNext", 3): "5.83%",
        ("table10", "ResNet18", 0): "76.98%",
        ("table10", "VGG16", 9): "76.41%",
        ("table11", "MobileNet", 0): "83.00%",
        ("table12", "AlexNet", 2): "-2.61%",
        ("table13", "Inception", 1): "78.29%",
        ("table14", "MobileNet", 0): "1.00x (baseline)",
        ("table14", "AlexNet", 2): "34%",
    }
    for (name, architecture, column), figure in printed.items():
        (row,) = [row for row in load_table(name).rows if row.name == architecture]
        assert row.figures[column] == figure


@pytest.mark.parametrize(("average", "per_fold"), PER_FOLD.items())
def test_averages_ranges_and_ranks_are_those_of_the_fold_tables(average, per_fold):
    folds = {name: [f for (f,) in row] for name, row in figures(per_fold).items()}
    summary = figures(average)
    assert list(summary) == list(folds)
    for name, ((mean,), _, spread, _) in summary.items():
        assert mean == pytest.approx(statistics.mean(folds[name]), abs=0.0051)
        assert spread == [min(folds[name]), max(folds[name])]
    assert [rank for _, (rank,), _, _ in summary.values()] == list(range(1, len(summary) + 1))
    assert list(summary) == sorted(summary, key=lambda name: -summary[name][0][0])


@pytest.mark.parametrize(("average", "per_fold"), PER_FOLD.items())
def test_printed_deviations_contradict_the_fold_tables_in_the_known_places_only(average, per_fold):
    neither = {
        "table5": {"ConvNext", "EfficientNet", "ResNet18"},
        "table9": {"Inception", "MobileNet", "ConvNext", "ResNet18", "VGG16"},
        "table11": {"MobileNet", "ConvNext"},
    }
    folds, found = figures(per_fold), set()
    for name, (*_, (printed,)) in figures(average).items():
        values = [f for (f,) in folds[name]]
        nearest = min(abs(printed - statistics.stdev(values)), abs(printed - statistics.pstdev(values)))
        if nearest > 0.02:
            found.add(name)
    assert found == neither[average]
    notes = " ".join(load_table(average).notes)
    assert all(f"{name}'s" in notes for name in found)


@pytest.mark.parametrize(
    ("table", "column", "minuend", "subtrahend"),
    [
        ("table6", 2, "table5", "table2"),
        ("table6", 3, "table5", "table9"),
        ("table6", 4, "table5", "table11"),
        ("table12", 1, "table11", "table2"),
        ("table12", 2, "table11", "table9"),
    ],
)
def test_compared_accuracies_are_the_differences_of_the_tables_they_come_from(table, column, minuend, subtrahend):
    printed = {row.name: float(row.figures[column].rstrip("%")) for row in load_table(table).rows}
    mean = printed.pop("Average")
    one, other = figures(minuend), figures(subtrahend)
    for name, value in printed.items():
        assert value == pytest.approx(one[name][0][0] - other[name][0][0], abs=0.0051)
    assert mean == pytest.approx(statistics.mean(printed.values()), abs=0.0051)


def test_a_cell_that_two_tables_print_is_the_same_in_both():
    accuracy = {table: {name: row[0] for name, row in figures(table).items()} for table in SUPERVISED_TABLES}
    for name, row in figures("table6").items():
        if name != "Average":
            assert (row[0], row[1]) == (accuracy["table5"][name], accuracy["table2"][name])
    for name, row in figures("table12").items():
        assert name == "Average" or row[0] == accuracy["table11"][name]


def test_the_gains_named_in_the_text_follow_from_the_tables():
    finetuned, scratch, mixed = ([row[0][0] for row in sorted_rows(t)] for t in ("table2", "table9", "table11"))
    assert round(statistics.mean(scratch) - statistics.mean(finetuned), 2) == 3.12  # section A.1.2
    assert round(statistics.mean(mixed) - statistics.mean(finetuned), 2) == 0.94  # section A.1.3


def sorted_rows(table):
    return [row for _, row in sorted(figures(table).items())]


def test_the_estimated_speed_gains_of_table_14_are_those_of_its_times():
    for (before, *_), (after,), (gain,), _ in figures("table14").values():
        assert gain == round(100 * (1 - after / before))
    assert "estimated" in load_table("table14").footnote


# The self-supervised tables.


@pytest.mark.parametrize("name", SSL_TABLES)
def test_every_ssl_row_has_a_figure_for_every_column_and_a_training_that_can_begin(name):
    table = load_table(name)
    for row in table.rows:
        assert len(row.figures) == len(table.columns)
        assert all(isinstance(figure, str) for figure in row.figures)
    for training, runs in plan_table(table, [(1, 0)], Request("d", Path("o"), ["resnet18"])).items():
        config = runs[1, 0].config
        assert load_policies(config.augment, views=2)
        assert all(str(getattr(config, key)) == str(value) for key, value in training.options
                   if key not in ("augment", "method_options"))  # fmt: skip


def test_ssl_figures_are_those_of_the_printed_page():
    # Read off the paper by eye.
    printed = {
        ("table3", "SimCLR", 0): "65.00%",
        ("table3", "Barlow Twins", 2): "0.07",
        ("table4", "jackhammer", 1): "0.00",
        ("table4", "traffic", 0): "0.88",
        ("table4", "police", 6): "0.40",
        ("table15", "specaugment_0", 5): "48.76",
        ("table15", "patchaugment_1", 4): "–",
        ("table16", "128", 1): "82.72",
        ("table17", "patchaugment_1", 0): "79.30",
        ("table18", "16, 4096", 0): "38 minutes",
        ("combinations", "MoCo V2, patchaugment_1", 0): "69.34",
    }
    for (name, row_name, column), figure in printed.items():
        (row,) = [row for row in load_table(name).rows if row.name == row_name]
        assert row.figures[column] == figure


def test_the_f1_scores_of_table_4_average_to_those_of_table_3():
    classes = load_table("table4").rows
    for index, row in enumerate(load_table("table3").rows):
        macro = statistics.mean(float(of_class.figures[index]) for of_class in classes)
        assert macro == pytest.approx(float(row.figures[1]), abs=0.0075)


@pytest.mark.parametrize(("table", "off"), [("table15", 8), ("table17", 6)])
def test_averages_over_folds_contradict_the_folds_in_the_known_places_only(table, off):
    notes, found = " ".join(load_table(table).notes), []
    for row in load_table(table).rows:
        *folds, average = (float(figure) if figure != "–" else None for figure in row.figures)
        mean = statistics.mean(value for value in folds if value is not None)
        if abs(mean - average) > 0.15:
            found.append(row.name)
            noted = re.search(rf"{row.name} (\d+\.\d+)", notes)
            assert float(noted[1]) == pytest.approx(mean, abs=0.0051)
    assert len(found) == off


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_view_of_a_variant_is_the_original_s_with_the_variant_added(variant):
    original, view, wanted = (
        *(load_policies(CONFIGS / "views" / f"{name}.yaml")[0].to_dict() for name in ("original", variant)),
        {key: value for key, value in variant_policy(variant).to_dict().items() if key != "random_placement"},
    )
    assert view == {**original, **wanted}


def test_rq4_s_views_hold_the_combination_of_the_shipped_policy():
    original, view, shipped = (
        load_policies(name)[0].augmentations
        for name in (CONFIGS / "views" / "original.yaml", CONFIGS / "views" / "patch_stretch_shift.yaml",
                     "patch_stretch_shift")
    )  # fmt: skip
    assert view == {**original, **shipped}
