"""The metric of the `evaluate` library: by hand, by scikit-learn, offline, in batches and in several processes."""

from __future__ import annotations

import doctest
import json
import os
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest
import warm_python
import yaml
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

import quaclrs.evaluation.urban_sound_classification as metric_package
from quaclrs.errors import QuaclrsError
from quaclrs.evaluation.metrics import classification_metrics
from quaclrs.evaluation.urban_sound_classification import UrbanSoundClassification
from quaclrs.labels import CLASS_NAMES

FOLDER = Path(metric_package.__file__).parent
NAMES = ["car_horn", "police", "traffic"]


def scored_clips(clips: int = 60) -> dict:
    """Probabilities of all 13 classes, a few of them hit, with both sources."""
    generator = np.random.default_rng(2)
    labels = np.concatenate([np.arange(13), generator.integers(0, 13, clips - 13)])
    probabilities = generator.random((clips, 13)) + 0.4 * np.eye(13)[labels]
    return {
        "predictions": probabilities / probabilities.sum(axis=1, keepdims=True),
        "references": labels,
        "sources": np.where(labels % 3 == 0, "sirennet", "urbansound8k").tolist(),
    }


def test_three_clips_score_what_they_score_by_hand(tmp_path: Path) -> None:
    figures = UrbanSoundClassification(cache_dir=str(tmp_path)).compute(
        predictions=[[0.7, 0.2, 0.1], [0.1, 0.5, 0.4], [0.2, 0.6, 0.2]], references=[0, 2, 1], class_names=NAMES
    )
    # The traffic clip is called police. Its probability of traffic is the highest all the same, and so in every class.
    assert figures["accuracy"] == pytest.approx(2 / 3)
    assert figures["macro_f1"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert figures["macro_roc_auc"] == 1
    assert figures["per_class"]["police"] == pytest.approx(
        {"precision": 1 / 2, "recall": 1, "f1": 2 / 3, "roc_auc": 1, "support": 1}
    )
    assert figures["confusion_matrix"] == [[1, 0, 0], [0, 1, 0], [0, 1, 0]]


def test_batches_score_as_scikit_learn_scores_all_clips_and_classes_are_urbansound13s_by_default(
    tmp_path: Path,
) -> None:
    clips = scored_clips()
    metric = UrbanSoundClassification("by_source", cache_dir=str(tmp_path))
    for rows in np.split(np.arange(60), [7, 8, 40]):
        metric.add_batch(
            predictions=clips["predictions"][rows],
            references=clips["references"][rows],
            sources=[clips["sources"][row] for row in rows],
        )
    figures = metric.compute()

    labels, predicted = clips["references"], clips["predictions"].argmax(axis=1)
    new = np.array(clips["sources"]) == "sirennet"
    assert figures["accuracy"] == pytest.approx(accuracy_score(labels, predicted))
    assert figures["weighted_f1"] == pytest.approx(f1_score(labels, predicted, average="weighted"))
    assert figures["macro_roc_auc"] == pytest.approx(roc_auc_score(labels, clips["predictions"], multi_class="ovr"))
    assert figures["accuracy_sirennet"] == pytest.approx(accuracy_score(labels[new], predicted[new]))
    assert list(figures["per_class"]) == list(CLASS_NAMES)
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures


def test_probabilities_keep_their_64_bits(tmp_path: Path) -> None:
    close = [[0.5, 0.5 + 1e-12], [0.5 + 1e-12, 0.5]]  # one number in 32 bits
    figures = UrbanSoundClassification(cache_dir=str(tmp_path)).compute(
        predictions=close, references=[1, 0], class_names=["a", "b"]
    )
    assert (figures["accuracy"], figures["macro_roc_auc"]) == (1, 1)


def run_python(code: str, arguments: list[str], home: Path, standard_input: str = "") -> str:
    """What a child process prints; it has an empty cache of its own and may not ask the Hub."""
    environment = os.environ | {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    (home / "input").write_text(standard_input)
    child = warm_python.run(["-c", code, *arguments], env=environment, stdin=home / "input")
    assert child.returncode == 0, child.stderr
    return child.stdout


LOAD = """
import socket, sys
def refuse(*arguments): raise AssertionError("a connection was opened")
socket.socket.connect = socket.create_connection = refuse
import evaluate
for path in sys.argv[1:]:
    metric = evaluate.load(path, "by_source")
    metric.add(prediction=[0.9, 0.1], reference=0, sources="urbansound8k")
    metric.add_batch(predictions=[[0.2, 0.8]], references=[0], sources=["sirennet"])
    figures = metric.compute(class_names=["a", "b"])
    print(metric.name, figures["accuracy"], figures["accuracy_sirennet"])
"""


def test_evaluate_loads_the_folder_or_its_file_without_a_network(tmp_path: Path) -> None:
    printed = run_python(LOAD, [str(FOLDER), str(FOLDER / "urban_sound_classification.py")], tmp_path)
    assert printed.splitlines() == ["urban_sound_classification 0.5 0.0"] * 2


PROCESSES = """
import json, multiprocessing, os, sys
from quaclrs.evaluation.urban_sound_classification import UrbanSoundClassification

def score(process, processes, experiment, batches):
    metric = UrbanSoundClassification(
        "by_source", num_process=processes, process_id=process, experiment_id=experiment, cache_dir=sys.argv[1]
    )
    for batch in batches:
        metric.add_batch(**batch)
    return os.getpid(), metric.compute()

with multiprocessing.get_context("fork").Pool(2) as pool:
    results = [
        pool.starmap(score, [(i, 2, f"experiment {n}", share) for i, share in enumerate(shares)], chunksize=1)
        for n, shares in enumerate(json.load(sys.stdin))
    ]
json.dump(results, sys.stdout)
"""


def test_two_processes_with_uneven_shares_or_none_give_what_one_gives(tmp_path: Path) -> None:
    clips = scored_clips()
    experiments = [
        [
            [
                {name: [np.asarray(column)[row].tolist() for row in batch] for name, column in clips.items()}
                for batch in np.array_split(rows, 3)
            ]
            for rows in (np.arange(first), np.arange(first, 60))
        ]
        for first in (43, 0)
    ]
    cache = tmp_path / "shared"
    printed = run_python(PROCESSES, [str(cache)], tmp_path, json.dumps(experiments))

    alone = UrbanSoundClassification("by_source", cache_dir=str(tmp_path / "alone")).compute(**clips)
    assert alone == classification_metrics(clips["references"], clips["predictions"], CLASS_NAMES, clips["sources"])
    for (first_process, first), (second_process, second) in json.loads(printed):
        assert first_process != second_process
        assert first == alone and first["clips"] == 60
        assert second is None
    assert not list(cache.rglob("*.arrow"))


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ([[0.5, 0.5]], "each of the 13 classes in every clip, not 2; .*class_names"),
        ([[1 / 13] * 13, [1 / 12] * 12], "each of the 13 classes in every clip, not 12"),
        ([[float("nan")] * 13], "NaN"),
    ],
)
def test_predictions_that_do_not_fit_are_refused(predictions: list, message: str, tmp_path: Path) -> None:
    with pytest.raises(QuaclrsError, match=message):
        UrbanSoundClassification(cache_dir=str(tmp_path)).compute(
            predictions=predictions, references=[0] * len(predictions)
        )


def test_an_unknown_configuration_is_refused_with_the_two_there_are(tmp_path: Path) -> None:
    with pytest.raises(QuaclrsError, match="'by_class'; choose default or by_source"):
        UrbanSoundClassification("by_class", cache_dir=str(tmp_path))


def test_the_cards_examples_give_the_figures_that_the_card_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evaluate.config.HF_METRICS_CACHE", str(tmp_path))
    outcome = doctest.testfile(str(FOLDER / "README.md"), module_relative=False, encoding="utf-8")
    assert outcome.attempted == 9 and outcome.failed == 0


def test_the_card_and_the_files_it_names_are_those_of_a_gradio_space() -> None:
    header = yaml.safe_load((FOLDER / "README.md").read_text(encoding="utf-8").split("---")[1])
    assert header["sdk"] == "gradio"
    assert {"evaluate", "metric"} <= set(header["tags"])
    assert (FOLDER / header["app_file"]).is_file()
    assert "quaclrs" in (FOLDER / "requirements.txt").read_text().split()


def test_the_spaces_app_scores_the_rows_of_its_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Gradio is no dependency: a stand-in takes its place, and the load goes to a cache of its own.
    monkeypatch.setitem(sys.modules, "gradio", MagicMock(Error=RuntimeError))
    loaded = UrbanSoundClassification(cache_dir=str(tmp_path))
    monkeypatch.setitem(sys.modules, "evaluate", SimpleNamespace(load=lambda path: loaded))
    score = runpy.run_path(str(FOLDER / "app.py"))["score"]
    table = [["[0.9, 0.1]", 0], ["[0.3, 0.7]", 0.0], ["", None]]
    assert score(table, "car_horn, police")["per_class"]["car_horn"]["recall"] == 0.5
    with pytest.raises(RuntimeError, match="each of the 1 classes"):
        score(table, "car_horn")
