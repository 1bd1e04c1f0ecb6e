"""One answer for sirens that cannot be told apart, and scores by false alarms an hour."""

from __future__ import annotations

import numpy as np
import pytest

from quaclrs.errors import QuaclrsError
from quaclrs.inference.hearing import Heard
from quaclrs.inference.sirens import siren_score
from quaclrs.inference.timeline import label_windows
from quaclrs.inference.windows import Window

LABELS = ["ambulance", "dog_bark", "firetruck", "police", "other"]


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0.3, 0.1, 0.25, 0.25, 0.1], 0.8),  # none of the three stands out
        ([0.6, 0.1, 0.15, 0.05, 0.1], None),  # an ambulance, clearly
        ([0.2, 0.5, 0.1, 0.1, 0.1], None),  # a dog
        ([0.15, 0.1, 0.15, 0.15, 0.45], None),  # other has as much as all three
        ([0.2, 0.35, 0.2, 0.15, 0.1], 0.55),  # no vehicle is the best answer, a siren is
    ],
)
def test_a_siren_is_said_where_it_is_heard_and_no_vehicle_stands_out(scores, expected) -> None:
    assert siren_score(LABELS, np.array(scores)) == (None if expected is None else pytest.approx(expected))


def test_a_model_of_one_vehicle_has_no_sirens_to_group() -> None:
    assert siren_score(["ambulance", "dog_bark"], np.array([0.6, 0.4])) is None


def test_siren_comes_first_and_counts_among_the_labels_asked_for() -> None:
    heard = Heard(0, LABELS, np.array([0.2, 0.35, 0.2, 0.15, 0.1]), 4.0, 4.0)

    assert [entry["label"] for entry in heard.ranking(2, group_sirens=True)] == ["siren", "dog_bark"]
    assert [entry["label"] for entry in heard.ranking(2)] == ["dog_bark", "ambulance"]
    assert heard.ranking(1, min_score=0.5, group_sirens=True) == [{"label": "siren", "score": pytest.approx(0.55)}]
    assert heard.ranking(1, min_score=0.5)[0]["label"] == "unsure"


def test_moments_of_a_timeline_are_sirens_too() -> None:
    loud = np.full(10, 0.5, np.float32)
    scored = [
        (Window(float(second), loud, 10), np.array(scores))
        for second, scores in enumerate([[0.3, 0.1, 0.3, 0.2, 0.1], [0.8, 0.1, 0.0, 0.0, 0.1]])
    ]

    grouped = label_windows(scored, LABELS, 1.0, group_sirens=True)

    assert [(segment.label, round(segment.score, 6)) for segment in grouped] == [("siren", 0.8), ("ambulance", 0.8)]
    assert [segment.label for segment in label_windows(scored, LABELS, 1.0)] == ["ambulance"]


def test_a_score_by_false_alarms_is_the_models_and_another_number_is_refused(tiny_classifier_folder) -> None:
    from quaclrs import load_classifier

    classifier = load_classifier(tiny_classifier_folder, device="cpu")
    with pytest.raises(
        QuaclrsError, match=r"no threshold for 10 false alarms an hour \(known: none\); give --min-score"
    ):
        classifier.score_at(10)
    classifier.false_alarms = {"10": {"threshold": 0.7, "recall": 0.5}}
    assert classifier.score_at(10) == 0.7
