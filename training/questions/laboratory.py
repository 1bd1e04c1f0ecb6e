"""Trains what the questions need, in the order that lets a budget end anywhere, and chooses by the validation fold."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from quaclrs.data import complete_folds, load_urbansound13
from quaclrs.errors import QuaclrsError
from quaclrs.ssl import METHODS

from ..clips.few_labels import count_labelled_clips
from ..runs.queue import side_by_side
from ..runs.run import Run
from ..runs.warm import WarmProcesses
from . import plan, under_noise
from .config import QuestionsConfig
from .plan import Chosen
from .trainings import FURTHER, Trainings

Work = TypeVar("Work")


def knn_of(run: Run) -> list[float]:
    """Accuracy of k-NN on the validation clips, in [0, 1], before training and after every epoch."""
    history = run.results().history or {}
    return [float(value or 0.0) for value in history["knn_accuracy"]]


class Laboratory:
    """Does the runs.

    Attributes:
        config: of the command.
        trainings: makes the runs.
        folds: complete ones, for question 3.
        failed: runs that ended with an error, which the answers lack.
    """

    def __init__(self, config: QuestionsConfig, processes: WarmProcesses) -> None:
        self.config, self._processes = config, processes
        seeds = dict.fromkeys([*config.all_seeds, *config.all_encoder_seeds])
        clips = count_labelled_clips(config.dataset, config.test_fold, config.amounts, seeds)
        self.trainings = Trainings(config, clips)
        self.folds = list(complete_folds(load_urbansound13(config.dataset), "strict"))
        self.failed: list[Run] = []
        self._ends = time.monotonic() + 3600 * (config.budget_hours or 1e6)

    def work(self) -> Chosen:
        """Do all runs that the budget has room for, and return what was chosen on the way.

        Raises:
            QuaclrsError: the budget ended before the encoders of the first seed were there.
        """
        trainings, seeds = self.trainings, self.config.all_encoder_seeds
        trainings.write_policies()
        first = [trainings.encoder(method, seeds[0]) for method in METHODS]
        ways = [trainings.further(way, seeds[0]) for way in FURTHER]
        self.train([*ways, *first])
        self.train(trainings.encoder(method, seed) for seed in seeds[1:] for method in METHODS)
        chosen = self.choose()
        self.train(trainings.further(chosen.further, seed) for seed in seeds[1:])
        noisy = {run for runs in plan.under_noise(trainings, chosen).values() for run in runs.values()}
        for stage in plan.stages(trainings, chosen, self.folds):
            self.train(stage)
            self._test_in_noise(run for run in stage if run in noisy)
        return chosen

    def choose(self) -> Chosen:
        """The methods by k-NN on the validation clips, seeds averaged, and the way to train YAMNet further."""

        def score(runs: Iterable[Run]) -> float:
            found = [knn_of(run)[-1] for run in runs if run.is_finished()]
            return statistics.mean(found) if found else -1.0

        seeds = self.config.all_encoder_seeds
        methods = {method: score(self.trainings.encoder(method, seed) for seed in seeds) for method in METHODS}
        ways = {way: score([self.trainings.further(way, seeds[0])]) for way in FURTHER}
        if min(methods.values()) < 0 or max(ways.values()) < 0:
            raise QuaclrsError(
                "the first encoders are missing: the budget ended, or they failed; run the command again"
            )
        return Chosen(sorted(methods, key=lambda method: -methods[method]), max(ways, key=lambda way: ways[way]))

    def train(self, runs: Iterable[Run]) -> None:
        """Train the runs that are not finished, each once, while the budget lasts; a line for each that fails."""
        waiting = [run for run in dict.fromkeys(runs) if not run.is_finished()]
        self._each(waiting, "trained", lambda run: self._processes(run, self.config.jobs))

    def _test_in_noise(self, runs: Iterable[Run]) -> None:
        noise = self.config.noise
        waiting = [run for run in runs if run.is_finished() and not under_noise.is_measured(run, noise)]
        self._each(waiting, "tested in noise", lambda run: self._processes.do(under_noise.measure, run, noise))

    def _each(self, runs: Sequence[Run], done: str, work: Callable[[Run], int]) -> None:
        begun = time.monotonic()

        def one(number: int) -> None:
            if time.monotonic() > self._ends:
                return
            run = runs[number]
            status = work(run)
            name = f"{run.folder.name}, fold {run.fold}, seed {run.seed}"
            if status in (130, 143):
                raise KeyboardInterrupt
            if status:
                self.failed.append(run)
            told = f"failed with status {status}" if status else done
            minutes = (time.monotonic() - begun) / 60
            print(f"[{number + 1}/{len(runs)}, {minutes:.0f} min] {name}: {told}", file=sys.stderr, flush=True)

        side_by_side(one, range(len(runs)), self.config.jobs)
