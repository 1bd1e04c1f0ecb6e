"""bfloat16 on the command line, in a process of its own: Accelerate settles the precision once a process."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import torch
from launching import launch
from safetensors.torch import load_file
from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

from quaclrs import load_urbansound13
from quaclrs.labels import CLASS_NAMES
from quaclrs.transforms import ClipTransform

ROOT = Path(__file__).parents[3]


def test_a_run_in_bfloat16_says_so_and_saves_its_weights_in_float32(sample_dataset, tiny_classifier_folder, tmp_path):
    folder = tmp_path / "run"
    arguments = [
        "--mixed-precision", "bf16", "--dataset", str(sample_dataset), "--test-fold", "2", "--output-dir", str(folder),
        "--backbone", "mobilenetv3_small_050", "--image-size", "96", "--epochs", "1", "--batch-size", "13",
        "--max-clips-per-class", "2", "--mode", "finetune", "--init-from", str(tiny_classifier_folder),
    ]  # fmt: skip
    result = launch(arguments, processes=1)
    assert result.returncode == 0, result.stderr[-2000:]
    for file in ("environment.json", "metrics.json"):
        assert json.loads((folder / file).read_text())["mixed_precision"] == "bf16"
    (epoch,) = csv.DictReader((folder / "history.csv").open())
    assert 0 < float(epoch["train_loss"]) < math.inf
    assert 0 < float(epoch["validation_loss"]) < math.inf
    weights = load_file(folder / "model" / "model.safetensors")
    assert {tensor.dtype for name, tensor in weights.items() if "num_batches" not in name} == {torch.float32}

    # The predictions really were made in bfloat16: float32 gives others, but not far from them.
    model = AutoModelForAudioClassification.from_pretrained(folder / "model").eval()
    clips = load_urbansound13(sample_dataset, fold=2, split="test")
    heard = clips.with_transform(ClipTransform(AutoFeatureExtractor.from_pretrained(folder / "model")))[:]
    with torch.no_grad():
        exact = model(torch.from_numpy(heard["input_values"])).logits.softmax(-1).numpy()
    rows = list(csv.DictReader((folder / "predictions.csv").open()))
    predicted = np.array([[float(row[name]) for name in CLASS_NAMES] for row in rows])
    np.testing.assert_allclose(predicted.sum(axis=1), 1, atol=1e-4)
    assert 1e-5 < np.abs(predicted - exact).max() < 0.02
