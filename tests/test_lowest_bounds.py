"""The lowest versions that pyproject.toml allows: which ones were tried together, and that they work."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from quaclrs.data import load_urbansound13
from quaclrs.default_model import DEFAULT_MODEL

tomllib = pytest.importorskip("tomllib")

ROOT = Path(__file__).parents[1]

#: What the weekly test below was last run with.
TRIED = Path(__file__).with_name("lowest_versions.txt")

#: Extras that users install; those of developers need nothing old. An extra that holds others names them.
EXTRAS = ("torch", "train", "space")


def lowest_versions() -> list[str]:
    """`name==version` of every dependency and of the extras, the lowest that is allowed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(line for extra in EXTRAS for line in project["optional-dependencies"][extra])]
    wanted = [line for line in wanted if not line.startswith("quaclrs[")]
    bounds = [re.match(r"([\w.-]+)>=([\d.]+)(,|$)", line) for line in wanted]
    assert all(bounds), "a dependency has no lower bound"
    return [f"{bound[1]}=={bound[2]}" for bound in bounds if bound]


def test_the_lowest_versions_are_those_that_were_tried_together() -> None:
    """Whoever changes a bound runs `pytest -m weekly tests/test_lowest_bounds.py`, and writes down what was tried."""
    assert lowest_versions() == TRIED.read_text(encoding="utf-8").split()


@pytest.mark.weekly
def test_the_lowest_versions_build_train_evaluate_explain_and_export(tmp_path: Path, sample_dataset: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    (tmp_path / "wanted.txt").write_text("\n".join(lowest_versions()) + "\n")
    subprocess.run([python, "-m", "pip", "install", "-q", "-r", str(tmp_path / "wanted.txt")], check=True)

    def run(*arguments: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")}
        done = subprocess.run(
            [python, "-m", *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=1200
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    sound = str(ROOT / "spaces" / "examples" / "dog_bark.ogg")
    assert "dog_bark" in run("quaclrs.cli", "predict", sound)
    run("dataset_builder", "sample", "--output", "sample")
    # Grouped as by the versions here: beside numpy 1.26 and scipy 1.11 the same clips made 184 recordings, not 244.
    found, wanted = (load_urbansound13(folder)["recording_id"][:] for folder in (tmp_path / "sample", sample_dataset))
    assert found == wanted
    small = ("--dataset", "sample", "--test-fold", "1", "--backbone", "mobilenetv3_small_050", "--image-size", "64")
    run("training.train_supervised", *small, "--mode", "scratch", "--epochs", "1", "--output-dir", "run")
    run(
        "training.train_ssl", *small, "--method", "simclr", "--epochs", "1", "--batch-size", "32", "--output-dir", "ssl"
    )
    run(
        "quaclrs.cli",
        "evaluate",
        "--dataset",
        "sample",
        "--fold",
        "1",
        "--model",
        "run/model",
        "--output-dir",
        "figures",
    )
    run("quaclrs.cli", "report", "run")
    run("quaclrs.cli", "explain", sound, "--output", "explained.png")
    # The packaged model: torch 2.8 exports a network of one epoch with differences that are refused.
    run("quaclrs.cli", "export", "--output-dir", "onnx")
    assert "dog_bark" in run("quaclrs.cli", "predict", sound, "--model", "onnx", "--backend", "onnx")
    shutil.copytree(DEFAULT_MODEL, tmp_path / "own")
    run("quaclrs.cli", "export", "--in-place", "--model", "own")
    assert "dog_bark" in run("quaclrs.cli", "predict", sound, "--model", "own", "--backend", "onnx")
    every = "import torch; from quaclrs.models import *\nfor name in PAPER_BACKBONES:\n with torch.device('meta'):"
    (tmp_path / "backbones.py").write_text(f"{every}\n  QuaclrsForAudioClassification(QuaclrsConfig(backbone=name))\n")
    run("backbones")
