"""The page of all tables: what stands on it comes from finished tables and from the paper's own figures."""

import json
import re
from pathlib import Path

import pytest
from datasets import Dataset
from fake_training import FakeSupervisedTraining

from training import reproduce
from training.paper import page, plan
from training.paper.kept import read_kept
from training.weights.imagenet import ImageNetWeights

ROOT = Path(__file__).parents[3]


class FakeBothProtocols(FakeSupervisedTraining):
    """Under `paper` the nine old classes gain 10 points and the four new ones 50."""

    def measure(self, config):
        metrics = super().measure(config)
        paper = config.protocol == "paper"
        metrics.figures |= {"accuracy_urbansound8k": 0.4 + 0.1 * paper, "accuracy_sirennet": 0.3 + 0.5 * paper}
        metrics.figures["accuracy"] += 0.2 * paper
        return metrics


@pytest.fixture
def tables(monkeypatch, tmp_path, capsys):
    """Makes finished tables: `tables(protocol, *arguments)` returns their folder."""
    rows = {"fold": [1, 1, 2, 2, 3, 3], "source": ["urbansound8k", "sirennet"] * 3}
    monkeypatch.setattr(plan, "load_urbansound13", lambda _: Dataset.from_dict({**rows, "fold_paper": rows["fold"]}))
    monkeypatch.setattr(reproduce, "_trains_on_cuda", lambda: False)

    def make(protocol, *arguments, missing="no network"):
        found = ImageNetWeights(missing=missing)
        monkeypatch.setattr(reproduce, "find_imagenet_weights", lambda names, *_, **__: dict.fromkeys(names, found))
        folder = tmp_path / "runs" / protocol
        words = [*arguments, "--protocol", protocol, "--dataset", "data", "--output-dir", str(folder)]
        assert reproduce.main(words, start=FakeBothProtocols()) == 0
        capsys.readouterr()
        return folder

    return make


def written(tmp_path, *folders, keep=False):
    """The page of folders."""
    words = ["page", "--results", *map(str, folders), "--page", str(tmp_path / "page.md")]
    words += ["--keep", str(tmp_path / "kept")] if keep else []
    assert reproduce.main(words) == 0
    return (tmp_path / "page.md").read_text(encoding="utf-8")


def line(text, table, row):
    """Cells of a row of a table's section."""
    (section,) = re.findall(rf"^### {table}: .*?(?=^##|\Z)", text, re.M | re.S)
    (found,) = re.findall(rf"^\| {re.escape(row)} +\|.*$", section, re.M)
    return [cell.strip() for cell in found.strip("|").split("|")][1:]


def test_the_repository_s_page_is_what_the_command_makes_of_the_kept_figures():
    kept = read_kept([ROOT / page.KEPT] if (ROOT / page.KEPT).is_dir() else [])
    assert (ROOT / page.PAGE).read_text(encoding="utf-8") == page.write_page(kept, (ROOT / page.PAGE).parent)
    for of in kept.values():
        assert of.file.stat().st_size < 20_000
        printed = {row.name: row.figures for row in page.load_table(of.table).rows}
        assert all(cell["paper"] in printed[row] for (row, _), cell in of.cells.items())


def test_a_row_has_the_paper_s_figures_and_ours_under_both_protocols(tables, tmp_path):
    folders = [tables(protocol, "table9", "--backbones", "resnet18") for protocol in ("strict", "paper")]
    text = written(tmp_path, *folders)
    # Accuracies 50, 60 and 70, and 20 points more under `paper`.
    assert line(text, "Table 9", "ResNet18") == [
        "82.49% · 5 · 76.98% - 90.29% · 4.22%",
        "60.0 ± 10.0%",
        "80.0 ± 10.0%",
    ]
    assert line(text, "Table 9", "VGG16") == ["71.19% · 7 · 63.76% - 76.41% · 4.29%", "–", "–"]


def test_a_table_of_folds_is_a_mean_and_a_range(tables, tmp_path):
    text = written(tmp_path, tables("strict", "table10", "--backbones", "resnet18"))
    assert line(text, "Table 10", "ResNet18") == ["82.5 (76.98 to 90.29)", "60.0 (50.0 to 70.0)"]
    assert line(text, "Table 15", "specaugment_0") == ["48.76 (11.21 to 28.69)"]


def test_what_the_paper_s_protocol_gives_away_is_shown_for_old_and_new_classes(tables, tmp_path):
    folders = [tables(protocol, "table9", "--backbones", "resnet18") for protocol in ("strict", "paper")]
    text = written(tmp_path, *folders)
    assert "changes by +20.0 points: +10.0 on the nine old classes, +50.0 on the four new ones." in text
    (row,) = re.findall(r"^\| ResNet18, from scratch +\|(.*)\|$", text, re.M)
    assert [cell.strip() for cell in row.split("|")] == ["60.0", "40.0", "30.0", "80.0", "50.0", "80.0"]


def test_a_figure_that_began_with_random_weights_in_place_of_imagenet_s_has_a_star(tables, tmp_path):
    folder = tables("strict", "all-supervised", "--backbones", "resnet18", "--folds", "1")
    text = written(tmp_path, folder)
    assert line(text, "Table 2", "ResNet18")[1] == r"\*50.0%"
    assert line(text, "Table 9", "ResNet18")[1] == "50.0%"
    assert "– (needs ImageNet's weights)" in text


def test_the_gain_of_scratch_over_pretrained_is_taken_where_weights_were_there(tables, tmp_path):
    tables("strict", "table9", "--backbones", "resnet18,vgg16", missing="")
    folder = tables("strict", "table2", "--backbones", "resnet18,vgg16", missing="")
    (row,) = re.findall(r"^\| Training from scratch beats .*$", written(tmp_path, folder), re.M)
    assert [cell.strip() for cell in row.split("|")][3:6] == [
        "+3.12 points",
        "+0.00 points",
        "– (needs ImageNet's weights)",
    ]


def test_sizes_name_networks_folds_epochs_and_clips(tables, tmp_path):
    text = written(tmp_path, tables("strict", "table9", "--backbones", "resnet18,vgg16", "--epochs", "2"))
    (row,) = re.findall(r"^\| strict +\|.*$", text, re.M)
    assert [cell.strip() for cell in row.strip("|").split("|")] == [
        *("strict", "224", "2", "1-3", "0", "400", "816", "resnet18, vgg16", "9")
    ]


def test_the_page_of_kept_figures_is_that_of_the_folders_they_were_read_from(tables, tmp_path):
    folders = [tables(protocol, "all-supervised", "--backbones", "resnet18") for protocol in ("strict", "paper")]
    text, kept = written(tmp_path, *folders), written(tmp_path, *folders, keep=True)
    assert written(tmp_path, tmp_path / "kept") == kept
    assert re.sub(r"\]\(.*?\)", "", kept) == re.sub(r"\]\(.*?\)", "", text)  # but for the links to the files
    assert len(list((tmp_path / "kept" / "paper").iterdir())) == 11
    assert "notes" not in json.loads((tmp_path / "kept" / "strict" / "table9.json").read_text())


def test_folders_that_cannot_be_shown_are_named(tables, tmp_path, capsys):
    folder = tables("strict", "table9", "--backbones", "resnet18", "--folds", "1")
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "table9.json").write_text((folder / "table9.json").read_text())
    (old := tmp_path / "old").mkdir()
    (old / "table9.json").write_text('{"table": "table9", "cells": []}')
    (empty := tmp_path / "empty").mkdir()
    for given, named in (
        ([folder, copy], "same table and protocol"),
        ([old], "table9.json is of another version ('protocol')"),
        ([empty], "empty holds no table"),
    ):
        words = ["page", "--results", *map(str, given), "--page", str(tmp_path / "page.md")]
        assert reproduce.main(words) == 2
        errors = capsys.readouterr().err
        assert named in errors and errors.count("\n") == 1
    assert not (tmp_path / "page.md").exists()


def test_every_claim_names_entries_of_the_list_of_contradictions_by_number(tables, tmp_path):
    text = written(tmp_path, tables("strict", "table9", "--backbones", "resnet18", "--folds", "1"))
    numbered = re.findall(r"^(\d+)\. \*\*", text, re.M)
    assert numbered == [str(n) for n in range(1, len(numbered) + 1)] and len(numbered) > 40
    (row,) = re.findall(r"^\| EfficientNet is the best pretrained network +\|.*$", text, re.M)
    number = row.strip("| ").split("|")[-1].strip()
    assert re.search(rf"^{number}\. .*MobileNet, 83.00%", text, re.M)
