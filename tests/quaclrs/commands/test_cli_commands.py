"""`quaclrs timeline`, and what `predict` takes beside files: folders, standard input, a least score."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import warm_python

from quaclrs import QuaclrsError, load_classifier
from quaclrs.cli import main
from quaclrs.commands.timeline import FORMATS, format_segments
from quaclrs.inference.timeline import Segment

RATE = 48_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Three sounds in two folders, and a file that is none."""
    folder = tmp_path_factory.mktemp("sounds")
    (folder / "inner").mkdir()
    generator = np.random.default_rng(0)
    for name, level in (("b.wav", 0.1), ("a.flac", 0.3), ("inner/c.ogg", 0.2)):
        soundfile.write(folder / name, level * generator.standard_normal(2 * RATE).clip(-3, 3), RATE)
    (folder / "notes.txt").write_text("no sound")
    return folder


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    """Six seconds of noise, four of silence, as a stereo file of another rate."""
    file = tmp_path_factory.mktemp("recording") / "street.wav"
    noise = np.random.default_rng(0).normal(0, 0.2, (6 * 44_100, 2))
    soundfile.write(file, np.concatenate([noise, np.zeros((4 * 44_100, 2))]), 44_100)
    return file


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_a_folder_is_labelled_file_by_file_in_the_order_of_paths(folder, tiny_classifier_folder, capsys):
    assert run("predict", folder, "--model", tiny_classifier_folder, "--json", "--top-k", 13) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["file"] for answer in answers] == [str(folder / n) for n in ("a.flac", "b.wav", "inner/c.ogg")]
    classifier = load_classifier(tiny_classifier_folder, device="cpu")
    for answer, wanted in zip(answers, classifier.predict(folder), strict=True):
        assert [p["label"] for p in answer["predictions"]] == [p["label"] for p in wanted]


def test_standard_input_is_labelled_as_the_file_that_it_comes_from(folder, tiny_classifier_folder):
    command = ["-m", "quaclrs.cli", "predict", "-", "--model", str(tiny_classifier_folder), "--json"]
    child = warm_python.run(command, stdin=folder / "a.flac")
    assert child.returncode == 0, child.stderr
    answer = json.loads(child.stdout)
    assert answer["file"] == "-"
    wanted = load_classifier(tiny_classifier_folder, device="cpu").predict(folder / "a.flac", top_k=3)
    assert answer["predictions"] == [{**entry, "score": pytest.approx(entry["score"], abs=1e-5)} for entry in wanted]


def test_a_best_score_below_the_least_is_unsure_and_the_ranking_follows(folder, tiny_classifier_folder, capsys):
    model = ["--model", tiny_classifier_folder, "--json"]
    assert run("predict", folder / "a.flac", *model) == 0
    ranking = json.loads(capsys.readouterr().out)["predictions"]
    best = ranking[0]["score"]
    assert run("predict", folder / "a.flac", *model, "--min-score", min(1, best + 0.01)) == 0
    unsure, *rest = json.loads(capsys.readouterr().out)["predictions"]
    assert unsure == {"label": "unsure", "score": best} and rest == ranking
    assert run("predict", folder / "a.flac", *model, "--min-score", max(0, best - 0.01)) == 0
    assert json.loads(capsys.readouterr().out)["predictions"] == ranking


def test_digital_silence_scores_every_class_alike_and_is_silence_not_unsure(tiny_classifier_folder):
    classifier = load_classifier(tiny_classifier_folder, device="cpu")
    assert classifier.predict(np.zeros(RATE), min_score=0.2) == [{"label": "silence", "score": 1.0}]
    assert classifier.probabilities([np.zeros(RATE)])[0] == pytest.approx([1 / 13] * 13)


@pytest.fixture
def long(tmp_path) -> Path:
    """Eight seconds of noise, twelve of nothing, two of a tone."""
    sound = np.concatenate([0.1 * np.random.default_rng(0).normal(size=8 * RATE), np.zeros(12 * RATE)])
    sound = np.concatenate([sound, 0.4 * np.sin(np.arange(2 * RATE) / 20)])
    soundfile.write(tmp_path / "long.wav", sound, RATE, subtype="FLOAT")
    return tmp_path / "long.wav"


def test_all_of_a_long_file_is_heard_and_the_answer_says_how_much_it_is_of(
    long, folder, tiny_classifier_folder, capsys
):
    classifier = load_classifier(tiny_classifier_folder, device="cpu")
    samples, _ = soundfile.read(long, dtype="float32")
    parts = [samples[start * RATE : (start + 4) * RATE] for start in (0, 4, 18)]  # the last ends with the file
    wanted = dict(zip(classifier.labels, classifier.probabilities(parts).mean(0), strict=True))
    command = ("predict", long, folder / "a.flac", "--model", tiny_classifier_folder, "--top-k", "13")
    assert run(*command, "--json") == 0
    of_long, of_short = map(json.loads, capsys.readouterr().out.splitlines())
    assert {entry["label"]: entry["score"] for entry in of_long["predictions"]} == pytest.approx(wanted, abs=1e-4)
    assert (of_long["heard"], of_long["duration"]) == (12, 22)
    assert (of_short["heard"], of_short["duration"]) == (2, 2)
    assert run(*command) == 0
    of_long, of_short = capsys.readouterr().out.splitlines()
    assert of_long.endswith(" (heard 12 of 22 s)") and "heard" not in of_short


@pytest.mark.usefixtures("few_draws")
def test_the_middle_of_a_long_file_is_heard_where_it_is_asked_for_and_explained(long, tiny_classifier_folder, capsys):
    model = ("--model", tiny_classifier_folder)
    for crop, said in (("whole", "(heard 12 of 22 s)"), ("centre", ": silence 100.0% (heard 0 of 22 s)")):
        assert run("predict", long, *model, "--crop", crop) == 0
        assert capsys.readouterr().out.strip().endswith(said)
    assert run("explain", long, *model) == 2
    assert f"error: {long}: from 9.0 to 13.0 s, its middle, the sound is silent" in capsys.readouterr().err
    samples, _ = soundfile.read(long)
    soundfile.write(long, np.roll(samples, 11 * RATE), RATE)
    assert run("explain", long, *model) == 0
    assert " in 4 s from the middle of 22 s, picture: " in capsys.readouterr().out
    assert run("explain", long, *model, "--json") == 0
    assert {"heard": 4, "duration": 22}.items() <= json.loads(capsys.readouterr().out).items()


@pytest.mark.parametrize("style", FORMATS)
def test_every_format_of_a_timeline_holds_the_segments_that_the_library_finds(
    style, recording, tiny_classifier_folder, capsys
):
    expected = load_classifier(tiny_classifier_folder, device="cpu").predict_timeline(recording)
    assert [expected[-1].label, expected[-1].end] == ["silence", pytest.approx(10.0)]
    assert run("timeline", recording, "--model", tiny_classifier_folder, "--format", style) == 0
    printed = capsys.readouterr().out
    if style == "json":
        found = [(s["start"], s["end"], s["label"]) for s in json.loads(printed)]
    elif style == "csv":
        found = [(float(r["start"]), float(r["end"]), r["label"]) for r in csv.DictReader(io.StringIO(printed))]
    elif style == "audacity":
        found = [(float(a), float(b), label) for a, b, label in (line.split("\t") for line in printed.splitlines())]
    else:
        assert [line.split()[3] for line in printed.splitlines()] == [segment.label for segment in expected]
        return
    assert found == [(pytest.approx(s.start), pytest.approx(s.end), s.label) for s in expected]


def test_a_timeline_of_a_folder_has_the_segments_of_each_file_in_one_table(folder, tiny_classifier_folder, capsys):
    names = [str(folder / name) for name in ("a.flac", "b.wav", "inner/c.ogg")]
    model = ("--model", tiny_classifier_folder)
    assert run("timeline", folder, *model, "--format", "csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert list(dict.fromkeys(row["file"] for row in rows)) == names
    for name in names:
        assert run("timeline", name, *model, "--format", "csv") == 0
        alone = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
        assert [{**row, "file": name} for row in alone] == [row for row in rows if row["file"] == name]

    assert run("timeline", folder, *model, "--json") == 0
    objects = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [found["file"] for found in objects] == names
    assert run("timeline", folder, *model) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if line.endswith(":")] == [f"{n}:" for n in names]


def test_files_of_a_timeline_that_cannot_be_read_are_named_and_the_others_are_heard(
    folder, tiny_classifier_folder, capsys
):
    files = (folder / "notes.txt", folder / "a.flac", folder / "absent.wav")
    assert run("timeline", *files, "--model", tiny_classifier_folder, "--format", "csv") == 2
    output = capsys.readouterr()
    assert {row["file"] for row in csv.DictReader(io.StringIO(output.out))} == {str(folder / "a.flac")}
    assert [line.split()[1] for line in output.err.splitlines() if line.startswith("error:")] == [
        str(folder / "notes.txt"), str(folder / "absent.wav")
    ]  # fmt: skip


def test_names_that_stand_for_no_file_are_told_beside_the_labels_of_the_others(
    folder, tiny_classifier_folder, tmp_path, capsys, monkeypatch
):
    (tmp_path / "empty").mkdir()
    names = [folder / "a.flac", tmp_path / "empty", tmp_path / "*.flac"]
    assert run("predict", *names, "--model", tiny_classifier_folder) == 2
    output = capsys.readouterr()
    assert output.out.startswith(f"{folder / 'a.flac'}: ") and len(output.out.splitlines()) == 1
    assert [line.split(": ")[0] for line in output.err.splitlines()] == ["error"] * 2
    monkeypatch.setattr("sys.stdin", None)  # as of a service
    assert run("predict", "-", "--model", tiny_classifier_folder) == 2
    assert "standard input (-) is closed" in capsys.readouterr().err


def test_a_label_track_is_of_one_file(folder, expect_one_error_line):
    assert run("timeline", folder, "--format", "audacity") == 2
    expect_one_error_line("--format audacity is the label track of one file; give one, or --format csv")


def test_the_table_counts_minutes_and_seconds():
    text = format_segments([Segment(0, 59.96, "dog_bark", 0.5), Segment(59.96, 3723.5, "silence", 1.0)], "table")
    assert text.splitlines() == [
        "  0:00.0 -   1:00.0  dog_bark            50.0%",
        "  1:00.0 -  62:03.5  silence            100.0%",
    ]


def test_a_timeline_of_standard_input_is_that_of_the_file(recording, tiny_classifier_folder, capsys):
    command = ["-m", "quaclrs.cli", "timeline", "-", "--model", str(tiny_classifier_folder), "--json"]
    child = warm_python.run(command, stdin=recording)
    assert child.returncode == 0, child.stderr
    assert run("timeline", recording, "--model", tiny_classifier_folder, "--json") == 0
    ours, theirs = json.loads(child.stdout), json.loads(capsys.readouterr().out)
    assert [(s["start"], s["label"]) for s in ours] == [(s["start"], s["label"]) for s in theirs]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["predict", "-", "-"], "standard input (-) can be read once"),
        (["predict", "x.wav", "--min-score", "2"], "--min-score is 2; it must be from 0 to 1"),
        (["predict", "x.wav", "--threads", "0"], "--threads is 0; it must be 1 or more, or left out for all cores"),
        (["annotate", "x.wav", "--output", "t.csv", "--threads", "0"], "--threads is 0; it must be 1 or more"),
        (["timeline", "nowhere.wav"], "nowhere.wav does not exist"),
        (["timeline", "nowhere.wav", "--batch-size", "0"], "--batch-size is 0"),
    ],
)
def test_a_mistake_is_one_line(arguments, words, tiny_classifier_folder, expect_one_error_line):
    assert run(*arguments, "--model", tiny_classifier_folder) == 2
    expect_one_error_line(words)


def test_a_folder_without_sounds_is_named(tiny_classifier_folder, tmp_path):
    with pytest.raises(QuaclrsError, match="holds no sound files"):
        load_classifier(tiny_classifier_folder, device="cpu").predict(tmp_path)


def test_embeddings_are_the_networks_pooled_features(folder, tiny_classifier_folder):
    import torch

    classifier = load_classifier(tiny_classifier_folder, device="cpu")
    several, one = classifier.embed(folder, batch_size=2), classifier.embed(folder / "b.wav")
    inputs = torch.from_numpy(classifier.prepare([folder / "b.wav"]))
    with torch.no_grad():
        expected = classifier.model.quaclrs(input_values=inputs).pooler_output[0].numpy()
    assert several.shape == (3, len(expected)) and several.dtype == np.float32
    np.testing.assert_allclose(one, expected, atol=1e-5)
    np.testing.assert_allclose(several[1], expected, atol=1e-5)
