"""`python -m training.push` of a folder that `quaclrs learn` wrote."""

from __future__ import annotations

import json

import pytest
from launching import ROOT

from quaclrs.learning import learn
from training.push import main

EXAMPLE = ROOT / "spaces" / "examples" / "dog_bark.ogg"

#: A light install, and Transformers with the code in the repository.
LABEL = """
import sys
sys.modules.update(dict.fromkeys(("torch", "transformers", "timm")))
from quaclrs.cli import main
sys.exit(main(["predict", sys.argv[1], "--model", "ns/name", "--json"]))
"""
LOAD = """
import json
from transformers import AutoModelForAudioClassification
model = AutoModelForAudioClassification.from_pretrained("ns/name", trust_remote_code=True)
print(json.dumps([model.config.id2label[i] for i in range(model.config.num_labels)]))
"""


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("learned")
    return learn(ROOT / "examples" / "sounds.csv", folder / "model", cache=folder / "cache")


def test_a_learned_model_is_published_and_labels_from_the_hub_as_it_does_here(learned, hub_stand_in, tmp_path):
    process = hub_stand_in.run_client(
        "-m", "training.push", str(learned.folder), "--repo", "ns/name", home=tmp_path / "pusher"
    )
    assert process.returncode == 0, process.stderr
    files = hub_stand_in.repos["models", "ns/name"].commits[-1].files
    assert {"model.safetensors", "model.onnx", "report.html", "LICENSE", "modeling_quaclrs.py"} <= set(files)
    assert "--model ns/name" in files["README.md"].content.decode()

    reader = hub_stand_in.run_client("-c", LABEL, str(EXAMPLE), home=tmp_path / "sensor")
    assert reader.returncode == 0, reader.stderr
    found = {entry["label"]: entry["score"] for entry in json.loads(reader.stdout)["predictions"]}
    here = {entry["label"]: entry["score"] for entry in learned.classifier.predict(EXAMPLE)}
    assert found == pytest.approx(here, abs=1e-3)

    loader = hub_stand_in.run_client("-c", LOAD, home=tmp_path / "reader")
    assert loader.returncode == 0, loader.stderr
    assert json.loads(loader.stdout) == ["bark", "hammer", "other"]


@pytest.mark.parametrize(
    ("options", "words"),
    [([], "--repo NAMESPACE/NAME"), (["--repo", "ns/name", "--example", str(EXAMPLE)], "--example")],
)
def test_what_a_learned_model_cannot_be_pushed_with_is_one_line(options, words, learned, expect_one_error_line):
    assert main([str(learned.folder), *options]) == 2
    expect_one_error_line(words)
