"""One training that a command starts beside others: what it trains, where its folder is, and what came out."""

from __future__ import annotations

import functools
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quaclrs.errors import QuaclrsError
from quaclrs.evaluation.run_metrics import METRICS_FILE, RunMetrics, run_folder

from .config import TrainingConfig
from .folder import RunFolder
from .former import is_amid_moving
from .options import flag_of, parse_config
from .queue import environment_of_job


@dataclass(frozen=True)
class Run:
    """One training on one fold with one seed.

    Attributes:
        kind: dataclass of its options, `SupervisedConfig` or `SSLConfig`, which names the module that trains it.
        folder: of the experiment, which holds the runs of all folds and seeds.
        fold: to test on.
        seed: of every draw.
        options: other options of the run, as (name, value); `config` names a YAML file below them.
    """

    kind: type[TrainingConfig]
    folder: Path
    fold: int
    seed: int
    options: tuple[tuple[str, Any], ...]

    @property
    def path(self) -> Path:
        """The run's own folder."""
        return run_folder(self.folder, self.fold, self.seed)

    @property
    def arguments(self) -> list[str]:
        """Arguments of `python -m`: the module, then its options. A run that was interrupted goes on."""
        own = {"test_fold": self.fold, "seed": self.seed, "output_dir": self.path}
        words = [self.kind.module]
        for name, value in ({"resume": "auto"} | dict(self.options) | own).items():
            words += [flag_of(name), str(value)]
        return words

    @functools.cached_property
    def config(self) -> Any:
        """Every option as the run settles it; `QuaclrsError` where one is wrong."""
        return parse_config(self.kind, self.arguments[1:])

    def is_finished(self) -> bool:
        """True where the folder holds the result of just these options."""
        found = all((self.path / name).is_file() for name in (METRICS_FILE, "config.yaml"))
        return found and not is_amid_moving(self.path) and not RunFolder(self.path).options_that_differ(self.config)

    def refuse_other(self) -> None:
        """Raise a `QuaclrsError` where the folder holds a result of other options."""
        if (self.path / METRICS_FILE).is_file() and not is_amid_moving(self.path):
            for name in RunFolder(self.path).options_that_refuse(self.config):
                raise QuaclrsError(
                    f"{self.path} was run with another {name}; choose another --output-dir, or --overwrite"
                )

    def start(self, jobs: int = 1) -> int:
        """Train in a process of its own and return its exit status.

        Its peak memory is then its own. It prints to standard error, as standard output is for tables.

        Args:
            jobs: runs side by side, this one among them, which share the processors.
        """
        command = [sys.executable, "-m", *self.arguments]
        return subprocess.run(command, stdout=2, check=False, env=environment_of_job(jobs)).returncode

    def results(self) -> RunMetrics:
        """The metrics of a finished run."""
        return RunMetrics.read(self.path)
