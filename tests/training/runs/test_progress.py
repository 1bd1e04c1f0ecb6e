"""What is shown of an epoch: its means, and where its time went."""

from __future__ import annotations

import io
import sys
import time

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from training.runs.progress import EpochProgress, StepFigures

#: Losses, and whether each clip is recognised, of batches of 4, 3 and 1 clips.
LOSSES = [0.1, 2.0, 7.0]
RECOGNISED = [[1, 1, 0, 1], [0, 0, 1], [0]]


def add_batch(progress: EpochProgress, batch: int) -> None:
    recognised = RECOGNISED[batch]
    progress.add(StepFigures(len(recognised), torch.tensor(LOSSES[batch]), torch.tensor(recognised).sum()))


def watched(progress: EpochProgress, batches: list[int]) -> EpochProgress:
    """The progress after those of the batches above."""
    for batch in progress.watch(batches):
        add_batch(progress, batch)
    return progress


@pytest.fixture
def accelerator() -> Accelerator:
    return Accelerator()


def test_means_are_over_clips_and_not_over_batches(accelerator):
    means = watched(EpochProgress(accelerator, "", 1), [0, 1, 2]).means()
    assert means["loss"] == pytest.approx(np.average(LOSSES, weights=[4, 3, 1]), rel=1e-6)
    assert means["correct"] == (3 + 1 + 0) / 8


def test_going_on_from_saved_sums_gives_the_means_of_an_epoch_that_never_stopped(accelerator):
    whole = watched(EpochProgress(accelerator, "", 10), [0, 1, 2])
    (saved,) = watched(EpochProgress(accelerator, "", 10), [0, 1]).totals()
    assert saved == {"steps": 2, "clips": 7, "loss": pytest.approx(4 * 0.1 + 3 * 2.0), "correct": 4}
    resumed = watched(EpochProgress(accelerator, "", 10, saved), [2])
    assert resumed.means() == whole.means()
    assert resumed.totals() == whole.totals()
    assert (resumed.steps, resumed.clips) == (3, 8)


def test_the_speed_of_a_resumed_epoch_counts_only_its_own_clips(accelerator):
    saved = {"steps": 500, "clips": 10_000_000, "loss": 1.0, "correct": 1.0}
    progress = EpochProgress(accelerator, "", 10, saved)
    time.sleep(0.05)
    watched(progress, [0, 1, 2])
    assert 0 < progress.clips_per_second <= 8 / 0.05


@pytest.mark.parametrize(("loading", "training", "least", "most"), [(0.08, 0, 0.6, 1), (0, 0.08, 0, 0.4)])
def test_the_waiting_share_is_that_of_the_loader(accelerator, loading, training, least, most):
    class Loader:
        def __len__(self):
            return 3

        def __iter__(self):
            for batch in range(3):
                time.sleep(loading)
                yield batch

    progress = EpochProgress(accelerator, "", 10)
    for batch in progress.watch(Loader()):
        time.sleep(training)
        add_batch(progress, batch)
    assert least <= progress.waiting_share <= most


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown_on(stream: io.StringIO, accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(sys, "stderr", stream)
    watched(EpochProgress(accelerator, "epoch 2/5", log_every=3), [0, 1, 2])
    return stream.getvalue()


def test_a_terminal_shows_loss_accuracy_speed_and_waiting(accelerator, monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    last = shown_on(Terminal(), accelerator, monkeypatch).split("\r")[-1]
    assert "epoch 2/5" in last
    assert "3/3" in last
    assert "loss=1.675" in last  # (4 * 0.1 + 3 * 2 + 7) / 8
    assert "accuracy=50.0%" in last  # 4 of 8
    assert "clips_s=" in last
    assert "data_wait=" in last


def test_nothing_is_printed_where_there_is_no_terminal(accelerator, monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    assert shown_on(io.StringIO(), accelerator, monkeypatch) == ""


def test_nothing_is_printed_where_tqdms_own_variable_says_so(accelerator, monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    assert shown_on(Terminal(), accelerator, monkeypatch) == ""
