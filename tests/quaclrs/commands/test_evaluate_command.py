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

from quaclrs import load_urbansound13
from quaclrs.cli import main
from quaclrs.commands.evaluate import parse_snrs
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


def test_a_fold_that_the_models_run_did_not_keep_for_its_test_is_warned_of(
    capsys, tiny_classifier_folder: Path, sample_dataset: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_classifier_folder, tmp_path / "model")
    command = ("--model", tmp_path / "model", "--dataset", sample_dataset)

    def warnings(*more: object) -> str:
        return " ".join(run_json(capsys, *command, *more)["warnings"])

    assert "fold 2" not in warnings("--fold", 2)
    (tmp_path / "config.yaml").write_text("test_fold: 1\nprotocol: strict\n")
    assert "kept fold 1 (strict)" in warnings("--fold", 2)
    assert "kept fold" not in warnings("--fold", 1)
    (tmp_path / "config.yaml").write_text("something: else\n")
    assert "kept fold" not in warnings("--fold", 2)


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
    assert child.stderr == f"warning: {siren_folder}: 1 file that is no sound was passed over: map.yaml\n"
