"""The folder of a training run: what it was, how it went, what came out. Every file is complete or absent."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
import yaml

from quaclrs.errors import QuaclrsError
from quaclrs.evaluation.result_files import write_csv, write_text
from quaclrs.evaluation.run_metrics import METRICS_FILE
from quaclrs.files import refuse_unwritable, written
from quaclrs.text_files import parse_yaml, read_mapping, read_yaml

from .checkpoints import list_checkpoints
from .former import FormerRun

_PACKAGES = ("quaclrs", "torch", "torchvision", "transformers", "datasets", "accelerate", "timm", "librosa", "numpy")

#: Options that a resumed run may change: its result is the same.
_WITHOUT_EFFECT = frozenset(
    {"output_dir", "resume", "overwrite", "num_workers", "decode_once", "log_every", "report_to", "keep_checkpoints"}
    | {"checkpoint_seconds", "ddp_timeout"}
)

#: What to do about a damaged file of a run.
_ADVICE = "restore the file, or train anew with --overwrite"


class RunFolder:
    """Paths and writers of one run.

    Args:
        path: the run's folder; `open` makes it.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"
        self.model = self.path / "model"
        self.plots = self.path / "plots"
        self._former = FormerRun(self.path)

    def refuse_existing(self, resume: bool, overwrite: bool) -> None:
        """Raise a `QuaclrsError` where the folder may not be touched under resume or overwrite, or not be written."""
        if self.path.exists() and not self.path.is_dir():
            raise QuaclrsError(f"{self.path} is a file; choose another --output-dir")
        refuse_unwritable(self.path, "--output-dir")
        if resume or not self.path.is_dir() or not any(self.path.iterdir()):
            return
        if not overwrite:
            raise QuaclrsError(f"{self.path} is not empty; choose another --output-dir, --resume auto or --overwrite")
        if not (self.path / "config.yaml").is_file():
            raise QuaclrsError(f"{self.path} holds no run, so it is not overwritten; choose another --output-dir")

    def options_that_differ(self, config: Any) -> dict[str, Any]:
        """Options that the run in this folder was begun with another value of, and that value; none of no effect.

        An option that came after the run has its default there.
        """
        now = dataclasses.asdict(config)
        began = {entry.name: entry.default for entry in dataclasses.fields(config)} | self._began_with()
        return {name: began[name] for name in sorted(now.keys() - _WITHOUT_EFFECT) if began[name] != now[name]}

    def _began_with(self) -> dict[str, Any]:
        return read_mapping(self.path / "config.yaml", _ADVICE)

    def options_that_refuse(self, config: Any) -> dict[str, Any]:
        """Changed options that forbid to go on: more epochs may follow where no schedule is planned over them."""
        differing = self.options_that_differ(config)
        if self.has_more_epochs(config, differing) and not config.tied_to_epochs:
            del differing["epochs"]
        return differing

    @staticmethod
    def has_more_epochs(config: Any, differing: dict[str, Any]) -> bool:
        """True where a run is asked for more epochs than it began with."""
        began = differing.get("epochs")
        return isinstance(began, int) and config.epochs > began

    def refuse_other_run(self, config: Any, policy: dict[str, Any] | None) -> None:
        """Raise a `QuaclrsError` where a run that is to be resumed began with other options or another policy."""
        if not (self.path / "config.yaml").is_file():
            if list_checkpoints(self.checkpoints):  # of a run that nobody knows
                raise QuaclrsError(f"{self.path} holds checkpoints but no config.yaml; choose another --output-dir")
            return
        differing = self.options_that_differ(config)
        if self.has_more_epochs(config, differing) and config.tied_to_epochs:
            raise QuaclrsError(
                f"{self.path} began with epochs {differing['epochs']}, over which {config.tied_to_epochs} is planned; "
                f"train {config.epochs} anew with --overwrite (under --lr-scheduler constant a run could go on)"
            )
        for name, value in self.options_that_refuse(config).items():
            if name not in self._began_with():
                told = f"{self.path / 'config.yaml'} does not say {name}"
                raise QuaclrsError(f"{told}: it is cut short, or of an earlier version; {_ADVICE}")
            raise QuaclrsError(
                f"{self.path} began with {name} {value}, not {getattr(config, name)}; resume with it, or --overwrite"
            )
        file = self.path / "policy.yaml"
        began = read_yaml(file, _ADVICE) if file.is_file() else None
        if began != (None if policy is None else parse_yaml(_as_yaml(policy))):
            raise QuaclrsError(f"{self.path} began under another augmentation policy; resume with it, or --overwrite")

    def open(self, config: Any, environment: dict[str, Any], resume: bool) -> None:
        """Make the folder (anew, unless resuming) with its configuration and environment.

        `keep` or `withdraw` it afterwards. What a new run replaces lies aside until then.
        """
        if not resume or not self.path.is_dir() or not any(self.path.iterdir()):
            self._former.set_aside()
        if (self.path / "config.yaml").is_file() and self.options_that_differ(config):
            (self.path / METRICS_FILE).unlink(missing_ok=True)  # the result of fewer epochs
        for folder in (self.checkpoints, self.plots):
            folder.mkdir(parents=True, exist_ok=True)
        self.write_yaml("config.yaml", dataclasses.asdict(config))
        self.write_json("environment.json", environment)

    def recover(self, resume: bool) -> None:
        """Put right what a killed process left: half of a run aside, or a new run that had done nothing yet.

        Args:
            resume: the new run is to go on, so what it replaces stays aside.
        """
        has_begun = list_checkpoints(self.checkpoints) or (self.path / "history.csv").is_file()
        self._former.recover(bool(has_begun), resume and (self.path / "config.yaml").is_file())

    def keep(self) -> None:
        """Delete what a new run replaces, as it has finished an epoch or has a checkpoint."""
        self._former.delete()

    def withdraw(self) -> None:
        """Take back a new run that has done nothing yet: the former one is there again, or no folder."""
        self._former.restore()

    @contextmanager
    def model_written(self) -> Iterator[Path]:
        """A place for the model's folder, which replaces the former one, or whatever lies there, once it is whole."""
        with written(self.model) as unfinished:
            yield unfinished
            if os.path.lexists(self.model):
                self.model.rename(unfinished.with_name("former"))

    def write_text(self, name: str, text: str) -> None:
        """Write a file so that a reader never sees half of it."""
        write_text(self.path / name, text)

    def write_yaml(self, name: str, values: Any) -> None:
        self.write_text(name, _as_yaml(values))

    def write_json(self, name: str, values: Any) -> None:
        self.write_text(name, json.dumps(values, indent=2, ensure_ascii=False) + "\n")

    def write_history(self, history: list[dict[str, Any]]) -> None:
        """`history.csv`: one row an epoch; a column for whatever any of them has, empty where one has it not."""
        columns = list(dict.fromkeys(name for row in reversed(history) for name in row))
        write_csv(self.path / "history.csv", columns, [[row.get(name) for name in columns] for row in history])


class _WithoutAliases(yaml.SafeDumper):
    """Writes what occurs twice twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _as_yaml(values: Any) -> str:
    return yaml.dump(values, Dumper=_WithoutAliases, sort_keys=False)


def describe_environment(num_processes: int, mixed_precision: str, device: str) -> dict[str, Any]:
    """Versions, commit and hardware of this run."""
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "commit": _commit(),
        "device": device,
        "accelerators": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "cpus": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "num_processes": num_processes,
        "mixed_precision": mixed_precision,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The checked-out commit, with `+changes` where the tree differs from it; None outside a clone."""
    try:
        git = ["git", "-C", str(Path(__file__).parent)]
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        status = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("+changes" if status.strip() else "")
