"""What the tests of training share; this file also lets the folders below import the helpers beside it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import warm_python
from huggingface_hub import DatasetCard
from launching import ROOT
from matplotlib.figure import Figure

from quaclrs.evaluation import shortcuts
from quaclrs.evaluation.figures.style import save_figure
from training import cross_validate
from training.ssl import results as of_ssl
from training.supervised import results as supervised


@pytest.fixture(scope="session", autouse=True)
def short_ends_of_runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Spare the many runs of these tests what takes longer than their training: a large forest and plots.

    A plot of each name is drawn once for numbers of each shape, and copied from then on. Runs in child processes are
    as users have them.
    """
    drawn = tmp_path_factory.mktemp("drawn")

    def later(draw: Callable[..., Figure]) -> Callable[..., partial[Figure]]:
        return lambda *arguments: partial(draw, *arguments)

    def save(draw: partial[Figure], path: Path) -> Path:
        shapes = [np.shape(argument) for argument in draw.args if not isinstance(argument, str)]
        first = drawn / f"{shapes} {path.name}"
        if not first.exists():
            save_figure(draw(), first)
        path.parent.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(first, path))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shortcuts, "TREES", 10)
        for module in (supervised, of_ssl, cross_validate):
            patch.setattr(module, "save_figure", save)
            for name in [name for name in vars(module) if name.endswith("_figure") and name != "save_figure"]:
                patch.setattr(module, name, later(getattr(module, name)))
        yield


@pytest.fixture(scope="session")
def small_sample(sample_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded sample with one clip of each class in each fold, for runs that are but compared with each other."""
    folder = tmp_path_factory.mktemp("small") / "sample"
    (folder / "data").mkdir(parents=True)
    card = DatasetCard.load(sample_dataset / "README.md")
    for info in card.data.dataset_info:
        del info["splits"]  # numbers of rows
    card.save(folder / "README.md")
    for file in sorted((sample_dataset / "data").iterdir()):
        table = pq.read_table(file)
        first = {label: row for row, label in reversed(list(enumerate(table["label"].to_pylist())))}
        pq.write_table(table.take(sorted(first.values())), folder / "data" / file.name)
    return folder


@pytest.fixture
def warm_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that a command starts in processes of their own have PyTorch imported, and come one after the other."""

    def run(command: list[str], env: dict[str, str], **_) -> subprocess.CompletedProcess:
        finished = warm_python.run(command[1:], env=env, cwd=ROOT)
        print(finished.stdout, finished.stderr, file=sys.stderr)
        return finished

    monkeypatch.setattr("training.runs.run.subprocess.run", run)
