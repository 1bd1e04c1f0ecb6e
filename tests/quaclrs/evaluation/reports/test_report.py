"""`quaclrs report`: a page that needs no other file, from what a run leaves on disk."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import yaml

from quaclrs import QuaclrsError, load_urbansound13
from quaclrs.cli import main
from quaclrs.evaluation.metrics import classification_metrics
from quaclrs.evaluation.reports.page import sounds_of, write_report
from quaclrs.evaluation.reports.page_data import read_report_data
from quaclrs.evaluation.result_files import read_predictions, write_predictions
from quaclrs.labels import CLASS_NAMES


@pytest.fixture
def run(sample_dataset, tmp_path) -> Path:
    """A run's folder with made-up scores of the sample's fold 2."""
    rows = load_urbansound13(str(sample_dataset), fold=2, split="test")
    labels = np.array(rows["label"][:])
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 1, (len(labels), 13)) + 2 * np.eye(13)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    folder = tmp_path / "run"
    (folder / "plots").mkdir(parents=True)
    clip_ids, folds = rows["clip_id"][:], [2] * len(labels)
    write_predictions(folder / "predictions.csv", clip_ids, folds, labels, probabilities, CLASS_NAMES)
    metrics = {
        **classification_metrics(labels, probabilities, CLASS_NAMES, rows["source"][:]),
        "backbone": "resnet18", "mode": "scratch", "protocol": "strict", "test_fold": 2, "validation_fold": 1,
        "clips_train": 318, "clips_validation": 41, "epochs": 2, "seed": 0, "augment": "default", "image_size": 32,
        "train_seconds": 60.0, "device": "cpu", "warnings": ["synthesised <clips>"],
        "controls": {"length alone": {"accuracy": 0.25}}, "synthetic": False, "num_processes": 1, "seconds": 70.0,
        "mixed_precision": "no", "train_clips_per_second": 10.6, "peak_memory_bytes": 1_000_000_000,
    }  # fmt: skip
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "config.yaml").write_text(yaml.safe_dump({"dataset": str(sample_dataset), "test_fold": 2}))
    history = "epoch,train_loss,train_accuracy,validation_loss,validation_accuracy\n1,2,0.2,2,0.3\n2,1,0.5,1.5,0.4\n"
    (folder / "history.csv").write_text(history)
    return folder


class Page(HTMLParser):
    """Everything that a page asks a server for, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.sources += [value for name, value in attributes if name in ("src", "href")]

    def handle_data(self, data):
        self.words.append(data)


def test_predictions_are_read_back_as_they_were_written(run):
    found = read_predictions(run / "predictions.csv")
    assert found.class_names == list(CLASS_NAMES) and set(found.folds) == {2}
    assert found.probabilities.sum(axis=1) == pytest.approx(1, abs=1e-4)
    metrics = json.loads((run / "metrics.json").read_text())
    assert (found.probabilities.argmax(1) == found.labels).mean() == pytest.approx(metrics["accuracy"])


def test_the_page_holds_all_that_it_shows(run, capsys):
    assert main(["report", str(run), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer == {"html": str(run / "report.html"), "markdown": str(run / "report.md")}
    page = Page((run / "report.html").read_text())
    pictures = [source for source in page.sources if source.startswith("data:image/png;base64,")]
    players = [source for source in page.sources if source.startswith("data:audio/")]
    assert len(pictures) == 6 and len(pictures) + len(players) == len(page.sources)
    for picture in pictures:
        assert base64.b64decode(picture.split(",")[1]).startswith(b"\x89PNG")


def test_the_page_has_the_runs_figures_controls_warnings_and_command(run):
    main(["report", str(run)])
    metrics = json.loads((run / "metrics.json").read_text())
    text = " ".join(Page((run / "report.html").read_text()).words)
    for wanted in (f"{metrics['accuracy']:.1%}", f"{metrics['macro_f1']:.1%}", "25.0%", "synthesised <clips>"):
        assert wanted in text
    assert f"training.train_supervised --config {run / 'config.yaml'}" in text
    assert "test fold 2, validation fold 1" in text


def test_the_surest_mistakes_come_first_with_their_own_sound(run, sample_dataset):
    data = read_report_data(run)
    found = data.predictions
    mistakes = data.worst_mistakes(5)
    wrong = found.probabilities.argmax(1) != found.labels
    assert [m.score for m in mistakes] == sorted(found.probabilities.max(1)[wrong], reverse=True)[: len(mistakes)]
    sounds = sounds_of(str(sample_dataset), [m.clip_id for m in mistakes])
    rows = load_urbansound13(str(sample_dataset))
    for clip_id, sound in sounds.items():
        assert rows[rows["clip_id"][:].index(clip_id)]["audio"]["bytes"] == sound
    page, _ = write_report(data, run, sounds)
    players = re.findall(r"data:audio/\w+;base64,([^']+)'", page.read_text())
    assert [base64.b64decode(content) for content in players] == [sounds[m.clip_id] for m in mistakes]


def test_without_the_data_set_there_are_no_players_and_the_page_is_whole(run):
    (run / "config.yaml").write_text(yaml.safe_dump({"dataset": "nowhere/at/all", "test_fold": 2}))
    assert main(["report", str(run)]) == 0
    assert "<audio" not in (run / "report.html").read_text()
    assert "Surest mistakes" in (run / "report.html").read_text()


def test_markdown_shows_pictures_that_lie_beside_it(run, tmp_path):
    assert main(["report", str(run), "--output-dir", str(tmp_path / "page")]) == 0
    text = (tmp_path / "page" / "report.md").read_text()
    files = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    assert len(files) == 6
    assert all((tmp_path / "page" / file).read_bytes().startswith(b"\x89PNG") for file in files)


def test_a_folder_without_a_result_is_one_line(tmp_path, expect_one_error_line):
    assert main(["report", str(tmp_path)]) == 2
    expect_one_error_line("holds no finished run or cross-validation")


def test_a_damaged_predictions_file_is_named(run):
    (run / "predictions.csv").write_text("clip_id,fold,label,predicted,a\nx,2,unknown,a,0.5\n")
    with pytest.raises(QuaclrsError, match=r"predictions\.csv holds no predictions"):
        read_report_data(run)


@pytest.mark.parametrize("name", ["config.yaml", "metrics.json", "predictions.csv", "history.csv"])
@pytest.mark.parametrize("content", [b"", b"\x00\xff" * 40, b"[" * 50_000, b"a,b\n1\n", None])
def test_a_damaged_file_of_a_run_is_one_line_that_names_it(run, name, content, expect_one_error_line):
    whole = (run / name).read_bytes()
    (run / name).write_bytes(whole[: len(whole) * 3 // 4] if content is None else content)
    if (name, content) == ("config.yaml", None):
        (run / name).write_bytes(b"dataset: [cut o")
    assert main(["report", str(run)]) == 2
    expect_one_error_line(name)
