"""The service of the documentation, asked as its clients ask."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

testclient = pytest.importorskip("fastapi.testclient", reason="no service test: fastapi is not installed")

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def client() -> testclient.TestClient:
    return testclient.TestClient(runpy.run_path(str(ROOT / "examples" / "service.py"))["app"])


def test_a_sound_is_answered_with_its_labels(client):
    answer = client.post("/predict?top_k=2", content=(ROOT / "spaces/examples/dog_bark.ogg").read_bytes())
    assert answer.status_code == 200
    assert [set(entry) for entry in answer.json()] == [{"label", "score"}] * 2
    assert answer.json()[0]["label"] == "dog_bark"


@pytest.mark.parametrize(("content", "words"), [(b"hello", "text, no sound"), (b"", "empty (0 bytes)")])
def test_what_is_no_sound_is_refused_in_one_line(content, words, client):
    answer = client.post("/predict", content=content)
    assert answer.status_code == 422
    assert words in answer.json()["detail"] and "\n" not in answer.json()["detail"]


def test_a_number_of_labels_that_makes_no_sense_is_refused(client):
    assert client.post("/predict?top_k=0", content=b"x").status_code == 422
