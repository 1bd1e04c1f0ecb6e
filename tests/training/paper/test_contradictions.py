"""The list of the paper's contradictions, recomputed from its tables, printed figure by printed figure."""

import functools
import inspect
import re
import statistics

import pytest

from training.paper import tables
from training.paper.page import read_contradictions
from training.paper.tables import CONFIGS

load_table = functools.cache(tables.load_table)
ENTRIES = {entry["id"]: entry for group in read_contradictions().values() for entry in group}
NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")


def column(table, heading):
    """Row -> the first number of its figure in a column; rows without one are absent."""
    loaded = load_table(table)
    index = [of.heading for of in loaded.columns].index(heading)
    found = {row.name: NUMBER.search(row.figures[index]) for row in loaded.rows}
    return {name: float(number[0]) for name, number in found.items() if number}


def folds(table):
    """Row -> its figures of folds."""
    loaded = load_table(table)
    headings = [of.heading for of in loaded.columns if of.fold]
    of_folds = [column(table, heading) for heading in headings]
    return {row.name: [of[row.name] for of in of_folds if row.name in of] for row in loaded.rows}


def means(table):
    return {name: statistics.mean(values) for name, values in folds(table).items()}


def best(values):
    return max(values, key=values.get)


# Columns that follow from others: all that do not are in the list, with the right figure, and no others.


def off(printed, right, tolerance):
    return {name: value for name, value in right.items() if abs(printed[name] - value) > tolerance}


# Two decimals are printed of a mean and of each fold: together they explain 0.01.
@pytest.mark.parametrize(
    ("identity", "table", "heading", "right", "tolerance"),
    [
        ("table15-averages", "table15", "Avg Acc(%)", means("table15"), 0.01),
        ("table17-averages", "table17", "Avg Acc(%)", means("table17"), 0.01),
        *(
            (f"{table}-deviations", table, "Standard Deviation", {n: statistics.stdev(v) for n, v in of.items()}, 0.02)
            for table, of in (("table5", folds("table7")), ("table9", folds("table10")), ("table11", folds("table13")))
        ),
    ],
)
def test_every_average_and_deviation_that_does_not_follow_from_its_folds_is_in_the_list(
    identity, table, heading, right, tolerance
):
    listed = ENTRIES[identity]["cells"]
    wrong = off(column(table, heading), right, tolerance)
    assert set(listed) == set(wrong)
    for name, (printed, recomputed) in listed.items():
        assert float(printed.rstrip("%")) == column(table, heading)[name]
        assert float(recomputed) == pytest.approx(right[name], abs=0.0051)


def test_a_linear_classifier_has_far_fewer_parameters_than_table_8_prints():
    # Features as the networks' own papers give them.
    features = {
        "ConvNext": 768,
        "VGG16": 4096,
        "EfficientNet": 1280,
        "MobileNet": 1280,
        "ResNet18": 512,
        "Inception": 2048,
    }
    right = {name: f"{13 * (width + 1):,}" for name, width in features.items()}
    printed = {row.name: row.figures[0] for row in load_table("table8").rows}
    assert ENTRIES["table8-parameters"]["cells"] == {name: [printed[name], right[name]] for name in features}


def test_what_the_page_says_to_agree_agrees():
    for table, of_folds in (("table5", "table7"), ("table9", "table10"), ("table11", "table13")):
        printed, right = column(table, "Average Accuracy"), means(of_folds)
        assert off(printed, right, 0.0051) == {}
        assert list(column(table, "Performance Rank").values()) == list(range(1, len(printed) + 1))
        assert list(printed) == sorted(printed, key=printed.get, reverse=True)
        for row in load_table(table).rows:
            spread = [float(n) for n in re.findall(r"\d+\.\d+", row.figures[2])]
            assert spread == [min(folds(of_folds)[row.name]), max(folds(of_folds)[row.name])]
    average = {
        name: column(f"table{n}", "Average Accuracy") for n, name in ((2, "FT"), (5, "LP"), (9, "S"), (11, "MP"))
    }
    for table, heading, one, other in (
        ("table6", "LP vs. FT", "LP", "FT"),
        ("table6", "LP vs. Scratch", "LP", "S"),
        ("table6", "LP vs. MP", "LP", "MP"),
        ("table12", "MP vs. Standard", "MP", "FT"),
        ("table12", "MP vs. Scratch", "MP", "S"),
    ):
        printed = column(table, heading)
        mean = printed.pop("Average")
        assert off(printed, {name: average[one][name] - average[other][name] for name in printed}, 0.0051) == {}
        assert mean == pytest.approx(statistics.mean(printed.values()), abs=0.0051)
    for method, heading in zip(column("table3", "Macro Avg F1"), load_table("table4").columns, strict=True):
        macro = statistics.mean(column("table4", heading.heading).values())
        assert column("table3", "Macro Avg F1")[method] == pytest.approx(macro, abs=0.0051)


# Sentences, each by the figures that it is about. A function is named by its entry.


def simclr_against_itself():
    others = {name: value for name, value in column("table15", "Avg Acc(%)").items() if name != "specaugment_0"}
    assert column("table3", "Accuracy")["SimCLR"] == 65.00
    assert max(others.values()) == 25.61
    assert column("table16", "Avg Accuracy")["128"] == 82.72


def simclr_best_or_moco():
    leads = [means("table17")[name] - value for name, value in means("table15").items()]
    assert (round(min(leads)), round(max(leads))) == (29, 49)
    assert column("table3", "Accuracy")["SimCLR"] - column("table3", "Accuracy")["MoCo"] == 5


def best_pretrained():
    averages = [column(table, "Average Accuracy") for table in ("table2", "table5", "table11")]
    assert best(averages[0]) == "EfficientNet" and averages[0]["EfficientNet"] == 82.09
    assert max(value for of in averages for value in of.values()) == averages[2]["MobileNet"] == 83.00


def scratch_always_better():
    scratch = column("table9", "Average Accuracy")
    beaten = {
        (table, name): (value, scratch[name])
        for table in ("table2", "table5", "table11")
        for name, value in column(table, "Average Accuracy").items()
        if value > scratch[name]
    }
    assert beaten == {("table5", "VGG16"): (77.22, 71.19), ("table11", "MobileNet"): (83.00, 82.98)}
    finetuned = column("table2", "Average Accuracy")
    assert round(statistics.mean(scratch[name] - finetuned[name] for name in scratch), 2) == 3.12


def vgg16_transfer():
    against = column("table6", "LP vs. Scratch")
    assert {name: value for name, value in against.items() if value > 0} == {"VGG16": 6.03}
    assert len(against) == 1 + 5 + 1  # VGG16, the others, the average


def patchaugment_1_consistent():
    by_fold = zip(*(folds("table17")[name] for name in folds("table17")), strict=True)
    names = list(folds("table17"))
    assert [names[of.index(max(of))] for of in by_fold] == ["patchaugment_1", *["patchaugment_0"] * 3, "pitchshift_2"]


def patchaugment_across_frameworks():
    averages = column("table15", "Avg Acc(%)")
    assert best(averages) == "specaugment_0" and averages.pop("specaugment_0") == 48.76
    assert best(averages) == "timestretch_0.8" and averages["timestretch_0.8"] == 25.61


def specaugment_helps():
    averages = column("table17", "Avg Acc(%)")
    masked = [value for name, value in averages.items() if name.startswith("specaugment")]
    assert len(masked) == 3 and max(masked) == 49.77 < averages["original"] == 58.96


def noise_helps():
    averages = column("table17", "Avg Acc(%)")
    assert averages["noise_5dB"] == 57.68 < averages["original"] == 58.96


def barlow_twins_zeros():
    assert list(column("table4", "BarlowTwins").values()).count(0.00) == 6


def barlow_twins_best():
    scores = column("table4", "BarlowTwins")
    assert (best(scores), scores["police"], scores["dog_bark"], scores["firetruck"]) == ("police", 0.40, 0.25, 0.22)


def byol_worst():
    scores = column("table4", "BYOL")
    lowest = sorted(scores, key=scores.get)[:3]
    assert {name: scores[name] for name in lowest} == {"drilling": 0.0, "engine_idling": 0.02, "police": 0.04}


def moco_v2_second():
    figures = {row.name: row.figures for row in load_table("table3").rows}
    assert (figures["MoCo V2"][0], figures["MoCo"][0]) == ("62.00%", "60.00%")
    assert (figures["MoCo V2"][2], figures["MoCo"][2]) == ("0.59", "0.61")


def efficientnet_consistent():
    deviations = column("table2", "Std. Deviation")
    less = {name: value for name, value in deviations.items() if value < deviations["EfficientNet"]}
    assert less == {"MobileNet": 2.86, "ResNet18": 2.94} and deviations["EfficientNet"] == 3.36


def convnext_highest_fold():
    highest = {row.name: float(re.findall(r"\d+\.\d+", row.figures[2])[1]) for row in load_table("table2").rows}
    assert highest["ConvNext"] == 88.13 < highest["EfficientNet"] == 88.30


def moco_with_and_without_queue():
    # Rows of Table 18 share a name, so they are read one by one.
    assert max(int(row.figures[1].rstrip("%")) for row in load_table("table18").rows) == 51
    assert column("table3", "Accuracy")["MoCo"] == 60.00 and column("table17", "Avg Acc(%)")["original"] == 58.96


def below_supervised():
    best_method = max(column("table3", "Accuracy").values())
    assert best_method == 65.00
    gaps = [column(table, "Average Accuracy")["ResNet18"] - best_method for table in ("table2", "table9")]
    assert [round(gap) for gap in gaps] == [14, 17]


def table17_best_average():
    printed, right = column("table17", "Avg Acc(%)"), means("table17")
    assert best(printed) == "patchaugment_1" and printed["patchaugment_1"] == 69.34
    assert best(right) == "patchaugment_0" and round(right["patchaugment_0"], 2) == 69.54


def table15_specaugment_0():
    assert column("table15", "Avg Acc(%)")["specaugment_0"] == column("table17", "Avg Acc(%)")["specaugment_0"] == 48.76
    assert max(folds("table15")["specaugment_0"]) == 28.69
    assert round(means("table15")["specaugment_0"], 2) == 18.57


def table15_noise_copied():
    rows = {row.name: row.figures for row in load_table("table15").rows}
    assert rows["noise_5dB"][:2] == rows["timestretch_0.8"][:2]
    assert [rows["noise_5dB"][i] for i in (2, 4, 5)] == [rows["noise_15dB"][i] for i in (2, 4, 5)]


def table15_patchaugment_copied():
    averages, right = column("table15", "Avg Acc(%)"), means("table15")
    assert averages["patchaugment_0"] == averages["patchaugment_1"] == 24.06
    assert (round(right["patchaugment_0"], 2), round(right["patchaugment_1"], 2)) == (24.78, 24.05)


def table18_queue():
    rows = load_table("table18").rows
    assert rows[-1].name == rows[-2].name == "32, 4096"
    assert (rows[-1].figures[1], rows[-2].figures[1]) == ("51%", "44%")
    assert "queue_size=8192" in rows[-1].run["method_options"]


def table18_hours():
    minutes = sum(int(row.figures[0].removesuffix(" minutes")) for row in load_table("table18").rows)
    assert minutes == 2 * 60 + 19 and 5 * minutes == 11 * 60 + 35


def table14_estimated():
    times = [column("table14", heading) for heading in ("FP32 Training Time", "Mixed Precision Time")]
    gains = [round(100 * (1 - times[1][name] / times[0][name])) for name in times[0]]
    assert sorted(gains) == [34, *[35] * 6] and "estimated" in load_table("table14").footnote


def mixup_never_shown():
    assert not any("mix" in row.name.lower() for row in load_table("table17").rows)


def sequence_length():
    assert load_table("table18").row_heading == "Batch Size, Queue Length"


def fixed_precision():
    gains = column("table12", "MP vs. Standard")
    assert (gains["Average"], gains["VGG16"], gains["MobileNet"]) == (0.94, 2.50, 2.40)


def seven_backbones():
    assert [len(load_table(table).rows) for table in ("table2", "table9", "table11")] == [7] * 3


def alexnet_probe():
    assert all("AlexNet" not in [row.name for row in load_table(f"table{n}").rows] for n in (5, 6, 7, 8))
    assert all("AlexNet" in [row.name for row in load_table(f"table{n}").rows] for n in (2, 9, 10, 11, 12, 13, 14))


def one_caption():
    assert load_table("table6").title == load_table("table12").title
    assert load_table("table6").columns[2].heading.startswith("LP")
    assert load_table("table12").columns[1].heading.startswith("MP")


def timestretch_1():
    for table in ("table15", "table17"):
        (row,) = (row for row in load_table(table).rows if row.name == "timestretch_1")
        assert re.search(r"\b1\.2\b", (CONFIGS / row.run["augment"]).read_text())
        assert float(next(row.name for row in load_table(table).rows if "stretch" in row.name).split("_")[1]) == 0.8


def projection_sizes():
    assert [row.name for row in load_table("table16").rows] == ["64", "128", "256"]


SENTENCES = [
    *(simclr_against_itself, simclr_best_or_moco, best_pretrained, scratch_always_better, vgg16_transfer),
    *(patchaugment_1_consistent, patchaugment_across_frameworks, specaugment_helps, noise_helps, barlow_twins_zeros),
    *(barlow_twins_best, byol_worst, moco_v2_second, efficientnet_consistent, convnext_highest_fold),
    *(moco_with_and_without_queue, below_supervised, table17_best_average, table15_specaugment_0),
    *(table15_noise_copied, table15_patchaugment_copied, table18_queue, table18_hours, table14_estimated),
    *(mixup_never_shown, sequence_length, fixed_precision, seven_backbones, alexnet_probe, one_caption),
    *(timestretch_1, projection_sizes),
]


@pytest.mark.parametrize("recompute", SENTENCES, ids=lambda of: of.__name__)
def test_a_sentence_of_the_list_follows_from_the_tables(recompute):
    recompute()
    entry = ENTRIES[recompute.__name__.replace("_", "-")]
    said = decimals(f"{entry['printed']}; {entry['should_be']}")
    assert said <= decimals(inspect.getsource(recompute))  # what an entry says is what was compared


def decimals(text):
    """Numbers with a decimal point, but for those of sections (A.2.1)."""
    return {float(number) for number in re.findall(r"(?<![\w.])\d+\.\d+", text)}


def test_every_entry_is_recomputed_or_says_that_it_was_read():
    recomputed = {of.__name__.replace("_", "-") for of in SENTENCES} | {
        name for name, of in ENTRIES.items() if "cells" in of
    }
    assert {name for name, entry in ENTRIES.items() if entry["check"] == "tables"} == recomputed
    assert {entry["check"] for entry in ENTRIES.values()} == {"tables", "reading"}
