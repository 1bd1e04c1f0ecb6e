import json
from pathlib import Path

import pytest
import warm_python

from training.quickstart import main

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_quickstart_learns_the_sample_and_leaves_model_figures_and_plots(tmp_path):
    """At least 60 % on a held-out fold of 13 classes: chance is 8 %, a random network's k-NN about 45 %."""
    result = warm_python.run(["-m", "training.quickstart", "--output-dir", str(tmp_path / "quickstart")], cwd=ROOT)
    assert result.returncode == 0, result.stderr[-2000:]
    metrics = json.loads((tmp_path / "quickstart" / "run" / "metrics.json").read_text())
    assert metrics["accuracy"] >= 0.60
    assert metrics["synthetic"]
    for name in ("model/model.safetensors", "plots/confusion_matrix.png", "plots/training_curves.png"):
        assert (tmp_path / "quickstart" / "run" / name).is_file()
        assert str(tmp_path / "quickstart" / "run" / Path(name).parent.name) in result.stdout
    assert result.stdout.count(".wav: ") == 3  # the clips it labelled
    assert "python -m dataset_builder build" in result.stdout


def test_quickstart_removes_nothing_that_it_did_not_make(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("years of work")
    assert main(["--output-dir", str(tmp_path)]) == 2
    assert "thesis.txt" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
