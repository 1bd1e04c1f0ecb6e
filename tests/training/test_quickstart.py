import json
import shutil
from pathlib import Path

import pytest
import warm_python

from training import quickstart

ROOT = Path(__file__).parents[2]


@pytest.fixture
def sample_in_place(sample_dataset, small_sample, monkeypatch) -> list[tuple[str, ...]]:
    """Spares the synthesis of a second sample: the command that would write it is noted and gets a small one."""
    commands: list[tuple[str, ...]] = []

    def copy(*command: str) -> None:
        commands.append(command)
        output = command[command.index("--output") + 1]
        shutil.copytree(sample_dataset, output, ignore=shutil.ignore_patterns("data", "README.md"))
        shutil.copytree(small_sample, output, dirs_exist_ok=True)

    monkeypatch.setattr(quickstart, "subprocess_of", copy)
    return commands


def test_quickstart_leaves_model_figures_and_plots(sample_in_place, tmp_path, capsys):
    shorter = quickstart.QuickstartConfig(output_dir=tmp_path / "quickstart", epochs=1, image_size=32)
    assert quickstart.run(shorter) == 0
    assert [command[:2] for command in sample_in_place] == [("dataset_builder", "sample")]
    output = capsys.readouterr().out
    metrics = json.loads((tmp_path / "quickstart" / "run" / "metrics.json").read_text())
    assert metrics["synthetic"]
    for name in ("model/model.safetensors", "plots/confusion_matrix.png", "plots/training_curves.png"):
        assert (tmp_path / "quickstart" / "run" / name).is_file()
        assert str(tmp_path / "quickstart" / "run" / Path(name).parent.name) in output
    assert output.count(".wav: ") == 3  # the clips it labelled
    assert "python -m dataset_builder build" in output


@pytest.mark.weekly
def test_quickstart_as_a_user_types_it_learns_the_sample(tmp_path):
    """At least 60 % on a held-out fold of 13 classes: chance is 8 %, a random network's k-NN about 45 %."""
    result = warm_python.run(["-m", "training.quickstart", "--output-dir", str(tmp_path / "quickstart")], cwd=ROOT)
    assert result.returncode == 0, result.stderr[-2000:]
    assert json.loads((tmp_path / "quickstart" / "run" / "metrics.json").read_text())["accuracy"] >= 0.60


def test_quickstart_removes_nothing_that_it_did_not_make(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("years of work")
    assert quickstart.main(["--output-dir", str(tmp_path)]) == 2
    assert "thesis.txt" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
