"""`quaclrs evaluate`: its figures against transformers' pipeline, its outputs, and the mistakes that it names."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import warm_python
from transformers import pipeline

from quaclrs import load_classifier, load_urbansound13
from quaclrs.cli import main
from quaclrs.commands.evaluate import parse_snrs
from quaclrs.evaluation.training_data import TrainingData
from quaclrs.folds import PROTOCOLS
from quaclrs.labels import CLASS_NAMES

RATE = 48_000


def run(*arguments: object) -> int:
    return main(["evaluate", *(str(argument) for argument in arguments)])


def run_json(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    capsys.readouterr()
    assert run(*arguments, "--json", "--device", "cpu") == 0
    (line,) = capsys.readouterr().out.splitlines()
    return json.loads(line)


@pytest.fixture(scope="module")
def expected(tiny_classifier_folder: Path, sample_dataset: Path) -> list[tuple[str, str, dict[str, float]]]:
    """Clip, true class and score of every class for fold 2's test split, by soundfile and transformers' pipeline."""
    classify = pipeline("audio-classification", model=str(tiny_classifier_folder), device="cpu")
    found = []
    for row in load_urbansound13(sample_dataset, fold=2, split="test"):
        waveform, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="float32")
        assert rate == RATE
        scores = {entry["label"]: entry["score"] for entry in classify(waveform, top_k=13)}
        found.append((row["clip_id"], CLASS_NAMES[row["label"]], scores))
    return found


@pytest.fixture(scope="module")
def siren_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sounds of another data set: dogs, horns and rain, in sub-folders."""
    folder = tmp_path_factory.mktemp("sirens")
    generator = np.random.default_rng(0)
    for name in ("dog/1", "dog/2", "horn/1", "horn/2", "horn/3", "rain/1"):
        (folder / name).parent.mkdir(exist_ok=True)
        soundfile.write(folder / f"{name}.wav", 0.1 * generator.standard_normal(30_000), 22_050)
    (folder / "map.yaml").write_text("dog: dog_bark\nhorn: car_horn\n")
    return folder


def test_the_figures_are_those_counted_from_the_pipelines_predictions(
    capsys, expected, tiny_classifier_folder: Path, sample_dataset: Path, tmp_path: Path
) -> None:
    output = tmp_path / "results"
    found = run_json(
        capsys, "--model", tiny_classifier_folder, "--dataset", sample_dataset, "--fold", 2, "--output-dir", output
    )

    right = {clip_id: max(scores, key=scores.__getitem__) == label for clip_id, label, scores in expected}
    assert found["accuracy"] == pytest.approx(np.mean(list(right.values())))
    for source in ("urbansound8k", "sirennet"):
        of_source = [value for clip_id, value in right.items() if clip_id.startswith(source)]
        assert found[f"accuracy_{source}"] == pytest.approx(np.mean(of_source))
    for name, of_class in found["per_class"].items():
        recalled = [right[clip_id] for clip_id, label, _ in expected if label == name]
        assert of_class["support"] == len(recalled)
        assert of_class["recall"] == pytest.approx(np.mean(recalled))
    assert found["clips"] == len(expected)
    assert (found["fold"], found["split"], found["protocol"]) == (2, "test", "strict")
    assert found["predicted_classes"] == list(CLASS_NAMES)
    assert "robustness" not in found

    assert json.loads((output / "metrics.json").read_text()) == found
    with (output / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row, (clip_id, label, scores) in zip(rows, expected, strict=True):
        assert (row["clip_id"], row["label"], row["fold"]) == (clip_id, label, "2")
        assert row["predicted"] == max(scores, key=scores.__getitem__)
        for name in CLASS_NAMES:
            assert float(row[name]) == pytest.approx(scores[name], abs=1e-5)


def test_the_curve_under_noise_does_not_depend_on_the_batch_size_and_begins_at_the_clean_figures(
    capsys, tiny_classifier_folder: Path, sample_dataset: Path
) -> None:
    command = ("--model", tiny_classifier_folder, "--dataset", sample_dataset, "--fold", 2, "--noise", "gaussian")
    clean = run_json(capsys, *command[:-2])
    found = run_json(capsys, *command, "--snr", "clean,10,-5")
    assert found["robustness"]["noise"] == "gaussian"
    conditions = found["robustness"]["conditions"]
    assert [condition["snr_db"] for condition in conditions] == ["clean", 10, -5]
    assert conditions[0]["confusion_matrix"] == clean["confusion_matrix"] == found["confusion_matrix"]
    assert conditions[2]["confusion_matrix"] != clean["confusion_matrix"]

    again = run_json(capsys, *command, "--snr=-5,10", "--batch-size", 7)["robustness"]["conditions"]
    assert [condition["confusion_matrix"] for condition in again] == [c["confusion_matrix"] for c in conditions]
    other_seed = run_json(capsys, *command, "--snr", "-5", "--seed", 1)["robustness"]["conditions"]
    assert [condition["snr_db"] for condition in other_seed] == ["clean", -5]
    assert other_seed[1]["macro_roc_auc"] != conditions[2]["macro_roc_auc"]


def test_real_background_noise_makes_table_and_figure(
    capsys, shared_data: Path, tiny_classifier_folder: Path, sample_dataset: Path, tmp_path: Path
) -> None:
    command = ("--model", tiny_classifier_folder, "--dataset", sample_dataset, "--fold", 2, "--output-dir", tmp_path)
    assert run(*command, "--noise", shared_data / "noise", "--snr", "20,0", "--device", "cpu") == 0
    printed = capsys.readouterr().out
    for row in ("| SNR (dB) |", "| clean ", "| 20 ", "| 0 "):
        assert row in printed
    assert printed.strip() == (tmp_path / "results.md").read_text().strip()
    with (tmp_path / "robustness.csv").open(newline="") as file:
        assert [row["snr_db"] for row in csv.DictReader(file)] == ["clean", "20.0", "0.0"]
    assert (tmp_path / "plots" / "accuracy_over_snr.png").stat().st_size > 10_000


@pytest.mark.parametrize("only", [False, True])
def test_another_data_set_is_scored_through_a_label_map(
    only: bool, capsys, siren_folder: Path, tiny_classifier_folder: Path
) -> None:
    found = run_json(
        capsys,
        *("--model", tiny_classifier_folder, "--dataset", siren_folder, "--label-map", siren_folder / "map.yaml"),
        *(["--only-mapped-classes"] if only else []),
    )
    classify = pipeline("audio-classification", model=str(tiny_classifier_folder), device="cpu")
    right = []
    for name, label in (("dog", "dog_bark"), ("horn", "car_horn")):
        for file in sorted((siren_folder / name).iterdir()):
            waveform, rate = soundfile.read(file, dtype="float32")
            scores = classify({"array": waveform, "sampling_rate": rate}, top_k=13)
            open_to = [entry["label"] for entry in scores if not only or entry["label"] in ("dog_bark", "car_horn")]
            right.append(open_to[0] == label)
    assert found["accuracy"] == pytest.approx(np.mean(right))
    assert found["clips"] == 5
    assert found["left_out"] == {"rain": 1}
    assert found["predicted_classes"] == (["car_horn", "dog_bark"] if only else list(CLASS_NAMES))
    assert found["only_mapped_classes"] == only
    assert found["warnings"] == []


def test_clips_longer_than_the_window_are_heard_as_predict_hears_them(
    capsys, tiny_classifier_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "data" / "dog_bark").mkdir(parents=True)
    time = np.arange(22 * 16_000) / 16_000
    long = np.where(time < 9, np.random.default_rng(0).normal(0, 0.1, len(time)), 0.4 * np.sin(2000 * time))
    soundfile.write(tmp_path / "data" / "dog_bark" / "long.wav", long, 16_000, subtype="FLOAT")
    scores = []
    for crop in ("whole", "centre"):
        command = ("--model", tiny_classifier_folder, "--dataset", tmp_path / "data", "--crop", crop)
        found = run_json(capsys, *command, "--output-dir", tmp_path / crop, "--batch-size", 3)
        assert (found["clips"], found["crop"]) == (1, crop)
        (row,) = csv.DictReader((tmp_path / crop / "predictions.csv").open(newline=""))
        heard = load_classifier(tiny_classifier_folder).predict(tmp_path / "data" / "dog_bark" / "long.wav", crop=crop)
        scores.append({entry["label"]: entry["score"] for entry in heard})
        assert {name: float(row[name]) for name in CLASS_NAMES} == pytest.approx(scores[-1], abs=1e-5)
    assert scores[0] != pytest.approx(scores[1], abs=0.01)


@pytest.fixture
def told_model(tiny_classifier_folder: Path, sample_dataset: Path, tmp_path: Path) -> Path:
    """A model that says that it was trained with test fold 2 of the sample."""
    shutil.copytree(tiny_classifier_folder, tmp_path / "told")
    about = {"dataset": "sample", "protocol": "strict", "test_fold": 2, "validation_fold": 1}
    heard = TrainingData.of_training(load_urbansound13(sample_dataset, fold=2, split="train"), **about)
    config = json.loads((tmp_path / "told" / "config.json").read_text())
    (tmp_path / "told" / "config.json").write_text(json.dumps({**config, "training_data": heard.to_dict()}))
    return tmp_path / "told"


def test_an_evaluation_on_clips_that_the_model_has_heard_says_so(
    capsys, told_model: Path, sample_dataset: Path
) -> None:
    found = run_json(capsys, "--model", told_model, "--dataset", sample_dataset, "--fold", 3)
    assert (found["held_out"], found["heard_clips"]) == (False, found["clips"])
    assert "kept from fold 2 (strict protocol)" in found["warnings"][0]


def test_training_clips_in_folders_are_known_through_a_label_map_too_and_foreign_sounds_are_not(
    capsys, told_model: Path, sample_dataset: Path, tmp_path: Path
) -> None:
    (tmp_path / "map.yaml").write_text("barking: dog_bark\nhorn: car_horn\n")
    for name in ("barking", "horn"):
        (tmp_path / "sounds" / name).mkdir(parents=True)
        soundfile.write(tmp_path / "sounds" / name / "mine.wav", np.full(4_800, 0.1), RATE)
    command = ("--model", told_model, "--dataset", tmp_path / "sounds", "--label-map", tmp_path / "map.yaml")
    foreign = run_json(capsys, *command)
    assert (foreign["held_out"], foreign["warnings"]) == (None, [])  # they may have been renamed

    train = load_urbansound13(sample_dataset, fold=2, split="train")
    label = CLASS_NAMES.index("dog_bark")
    row = next(row for row in train if row["label"] == label)
    samples, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]))
    copy = tmp_path / "sounds" / "barking" / f"{row['clip_id'].split('/')[-1]}.ogg"
    soundfile.write(copy, samples, rate)
    heard = run_json(capsys, *command)
    assert (heard["held_out"], heard["heard_clips"]) == (False, 1)
    assert "has heard 1 of these 3 clips, known by file name" in heard["warnings"][0]


def test_clips_that_cannot_be_decoded_are_named_and_left_out_where_asked(
    capsys, tiny_classifier_folder: Path, siren_folder: Path, tmp_path: Path
) -> None:
    sounds = tmp_path / "sounds"
    shutil.copytree(siren_folder, sounds)
    (sounds / "dog" / "bad.wav").write_bytes(b"")
    (sounds / "horn" / "page.wav").write_text("<html>")
    model = ("--model", tiny_classifier_folder, "--label-map", siren_folder / "map.yaml")
    command = (*model, "--dataset", sounds, "--output-dir", tmp_path / "out")

    capsys.readouterr()
    assert run(*command, "--device", "cpu") == 2
    output = capsys.readouterr()
    *others, error = output.err.splitlines()
    broken = [line for line in others if line.startswith("broken: ")]
    assert output.out == "" and not (tmp_path / "out").exists()
    assert error.startswith("error: ") and "--skip-broken" in error
    assert [Path(line.split()[1]).name for line in broken] == ["bad.wav", "page.wav"]

    assert run(*command, "--skip-broken", "--json", "--device", "cpu") == 0
    output = capsys.readouterr()
    found, good = json.loads(output.out), run_json(capsys, *model, "--dataset", siren_folder)
    assert list(found["broken"]) == ["dog/bad.wav", "horn/page.wav"]
    assert [line.split()[0] for line in output.err.splitlines()].count("broken:") == 2
    assert (found["clips"], found["confusion_matrix"]) == (5, good["confusion_matrix"])
    assert "cannot be decoded: 2 of 7: dog/bad.wav" in (tmp_path / "out" / "results.md").read_text()


@pytest.mark.parametrize("layout", ["audiofolder", "ESC-50", "UrbanSound8K on Kaggle", "split folders"])
def test_the_layouts_of_others_give_the_figures_of_class_folders(
    layout: str, capsys, tiny_classifier_folder: Path, siren_folder: Path, tmp_path: Path
) -> None:
    sounds = {"dog": ["1", "2"], "horn": ["1", "2", "3"]}
    files = {f"{label}{number}.wav": (label, siren_folder / label / f"{number}.wav")
             for label, numbers in sounds.items() for number in numbers}  # fmt: skip
    place, table, header = {
        "audiofolder": ("data/{}", "metadata.csv", "file_name,label"),
        "ESC-50": ("audio/{}", "meta/esc50.csv", "filename,category"),
        "UrbanSound8K on Kaggle": ("fold1/{}", "UrbanSound8K.csv", "slice_file_name,class"),
        "split folders": ("", "", ""),
    }[layout]
    rows = [header]
    for name, (label, source) in files.items():
        target = tmp_path / "data set" / (place.format(name) if place else f"test/{label}/{name}")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
        rows.append(f"{place.format(name) if layout == 'audiofolder' else name},{label}")
    if table:
        (tmp_path / "data set" / table).parent.mkdir(exist_ok=True)
        (tmp_path / "data set" / table).write_text("\n".join(rows))
    command = ("--model", tiny_classifier_folder, "--label-map", siren_folder / "map.yaml")
    found = run_json(capsys, *command, "--dataset", tmp_path / "data set")
    wanted = run_json(capsys, *command, "--dataset", siren_folder)
    assert (found["clips"], found["confusion_matrix"]) == (5, wanted["confusion_matrix"])
    assert found["labels_from"] == ([table] if table else [])
    assert found["split"] == ("test" if layout == "split folders" else None)


def test_a_list_of_ratios_is_put_in_order_with_clean_clips_first() -> None:
    assert parse_snrs("-5, 20,clean,0.5,20") == (math.inf, 20.0, 0.5, -5.0)
    assert parse_snrs("-5") == (math.inf, -5.0)
    assert parse_snrs("clean") == (math.inf,)


def test_the_protocols_of_the_command_are_those_of_the_folds(capsys) -> None:
    with pytest.raises(SystemExit):
        run("--help")
    assert "{" + ",".join(PROTOCOLS) + "}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "MODEL"], "--dataset"),
        (["--model", "/no/model", "--dataset", "DATA"], "/no/model"),
        (["--model", "MODEL", "--dataset", "/no/data"], "/no/data"),
        (["--model", "MODEL", "--dataset", "DATA", "--fold", "77"], "fold 77"),
        (["--model", "MODEL", "--dataset", "DATA", "--fold", "1", "--split", "exam"], "exam"),
        (["--model", "MODEL", "--dataset", "DATA", "--split", "test"], "--split has no use without --fold"),
        (["--model", "MODEL", "--dataset", "DATA", "--protocol", "paper"], "--protocol paper has no use without"),
        (["--model", "MODEL", "--dataset", "DATA", "--protocol", "loose"], "loose"),
        (["--model", "MODEL", "--dataset", "DATA", "--snr", "5"], "--snr has no use without --noise"),
        (["--model", "MODEL", "--dataset", "DATA", "--noise", "gaussian", "--snr", "5,loud"], "'loud'"),
        (["--model", "MODEL", "--dataset", "DATA", "--noise", "gaussian", "--snr", "200"], "'200'"),
        (["--model", "MODEL", "--dataset", "DATA", "--noise", "gaussian", "--snr", "nan"], "'nan'"),
        (["--model", "MODEL", "--dataset", "DATA", "--noise", "gaussian", "--seed", "-1"], "seed is -1"),
        (["--model", "MODEL", "--dataset", "DATA", "--noise", "/no/noise"], "/no/noise"),
        (["--model", "MODEL", "--dataset", "DATA", "--only-mapped-classes"], "without --label-map"),
        (["--model", "MODEL", "--dataset", "DATA", "--label-column", "label"], "without --label-map"),
        (["--model", "MODEL", "--dataset", "DATA", "--label-map", "/no/map.yaml"], "/no/map.yaml"),
        (["--model", "MODEL", "--dataset", "DATA", "--batch-size", "0"], "--batch-size is 0"),
        (["--model", "MODEL", "--dataset", "DATA", "--device", "toaster"], "toaster"),
        (["--model", "MODEL", "--dataset", "DATA", "--output-dir", "MODEL"], "is not empty"),
    ],
)
def test_a_wrong_command_is_status_2_and_one_line_on_stderr(
    arguments: list[str], words: str, expect_one_error_line, tiny_classifier_folder: Path, sample_dataset: Path
) -> None:
    stands_for = {"MODEL": str(tiny_classifier_folder), "DATA": str(sample_dataset)}

    assert run(*[stands_for.get(argument, argument) for argument in arguments]) == 2

    expect_one_error_line(words)


def test_a_child_process_prints_one_object_and_on_a_stderr_that_is_no_terminal_warnings_alone(
    siren_folder: Path, tiny_classifier_folder: Path, tmp_path: Path
) -> None:
    environment = {**os.environ, "PATH": str(tmp_path), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    environment.pop("TQDM_DISABLE", None)
    command = ["--model", str(tiny_classifier_folder), "--dataset", str(siren_folder), "--json"]
    mapped = [*command, "--label-map", str(siren_folder / "map.yaml"), "--noise", "gaussian", "--snr", "0"]

    child = warm_python.run(["-m", "quaclrs.cli", "evaluate", *mapped], env=environment)

    assert child.returncode == 0, child.stderr
    assert json.loads(child.stdout)["clips"] == 5
    assert len(child.stdout.splitlines()) == 1
    assert child.stderr == f"warning: {siren_folder}: 1 file that is not a sound was passed over: map.yaml\n"
