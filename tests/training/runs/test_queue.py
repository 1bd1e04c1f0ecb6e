"""Runs side by side: `training.runs.queue`, and `reproduce` and its like on top of it."""

import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from training.runs.queue import environment_of_job, side_by_side, train_all


def test_so_many_are_under_way_at_a_time_and_results_come_in_the_order_of_the_items():
    two, lock, under_way, most = threading.Barrier(2, timeout=30), threading.Lock(), 0, 0

    def work(item: int) -> int:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        two.wait()  # a single worker would wait here for ever
        time.sleep(0.05 * (item == 0))  # the first ends last
        with lock:
            under_way -= 1
        return 10 * item

    assert side_by_side(work, range(6), jobs=2) == [0, 10, 20, 30, 40, 50]
    assert most == 2


def test_after_an_interruption_no_further_item_is_begun():
    begun = []

    def work(item: int) -> None:
        begun.append(item)
        if item == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        side_by_side(work, range(500), jobs=1)
    assert begun == [0, 1]


def test_each_process_has_its_share_of_the_processors_unless_numbers_of_threads_are_set(monkeypatch):
    monkeypatch.setattr("training.runs.queue.os.cpu_count", lambda: 8)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    assert "OMP_NUM_THREADS" not in environment_of_job(1)
    assert [environment_of_job(jobs)["OMP_NUM_THREADS"] for jobs in (2, 3, 16)] == ["4", "2", "1"]
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    shared = environment_of_job(2)
    assert (shared["OMP_NUM_THREADS"], shared["MKL_NUM_THREADS"]) == ("5", "4")


@dataclass(frozen=True)
class OneRun:
    folder: Path
    seed: int
    fold: int = 1

    @property
    def path(self) -> Path:
        return self.folder / f"seed-{self.seed}"

    def is_finished(self) -> bool:
        return (self.path / "metrics.json").is_file()


def test_runs_side_by_side_are_trained_once_each_and_those_that_fail_are_returned(tmp_path):
    runs = [OneRun(tmp_path, seed) for seed in range(5)]
    runs[3].path.mkdir()
    (runs[3].path / "metrics.json").write_text("{}")
    two, started, lines = threading.Barrier(2, timeout=30), [], []

    def start(run: OneRun, jobs: int) -> int:
        assert jobs == 2
        two.wait()
        started.append(run.path.name)
        run.path.mkdir()
        if run.seed == 2:
            return 1
        (run.path / "metrics.json").write_text("{}")
        return 0

    assert train_all([*runs, runs[0]], start, lines.append, jobs=2) == [runs[2]]
    assert sorted(started) == ["seed-0", "seed-1", "seed-2", "seed-4"]
    assert sum("finished before" in line for line in lines) == 1
    assert sum(line.endswith("seed 2 failed with status 1") for line in lines) == 1


def test_an_interrupted_run_ends_the_others_that_wait(tmp_path):
    started = []

    def start(run: OneRun, jobs: int) -> int:
        started.append(run)
        return 130

    with pytest.raises(KeyboardInterrupt):
        train_all([OneRun(tmp_path, seed) for seed in range(200)], start, lambda _: None)
    assert len(started) == 1
