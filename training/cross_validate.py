"""Cross-validation: `accelerate launch -m training.cross_validate --dataset DIR --output-dir OUT ...` (paper, 4.6).

Every fold and seed is a run of `train_supervised` with a folder of its own; then all of them are summed up.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from accelerate import PartialState
from datasets import Dataset

from quaclrs.data import class_names, complete_folds, load_urbansound13
from quaclrs.errors import QuaclrsError, report_user_errors
from quaclrs.evaluation.cross_validation import FoldResult, summarise, summary_markdown
from quaclrs.evaluation.figures.cross_validation import fold_figures_figure
from quaclrs.evaluation.figures.plots import confusion_matrix_figure, save_figure
from quaclrs.evaluation.result_files import read_predictions

from .runs.folder import RunFolder
from .runs.options import command_line, flag_of, option, parse_config
from .runs.queue import environment_of_job, side_by_side
from .supervised.config import SupervisedConfig
from .supervised.results import describe_initial_weights
from .train_supervised import train

ALL_FOLDS = "all"


@dataclass
class CrossValidationConfig(SupervisedConfig):
    """Supervised training on several folds and with several seeds, summed up."""

    required: ClassVar[tuple[str, ...]] = ("dataset", "output_dir")

    folds: str = option(ALL_FOLDS, "folds to test on, one after another: all complete ones, or a list such as 1,3")
    seeds: str = option("0", "seeds to train each fold with, a list such as 0,1,2")
    jobs: int = option(1, "runs side by side, each a process; more than 1 not under accelerate launch", above=0)

    def __post_init__(self) -> None:
        self.folds, self.seeds = str(self.folds), str(self.seeds)  # YAML reads 1 as a number
        super().__post_init__()
        for name, alone in (("test_fold", "folds"), ("seed", "seeds")):
            if getattr(self, name):
                raise QuaclrsError(f"{flag_of(name)} is for a single run; pass {flag_of(alone)}")
        if self.resume == "auto":
            raise QuaclrsError("--resume auto is what cross-validation does with every run; leave it out")


def cross_validate(config: CrossValidationConfig) -> dict[str, Any]:
    """Train every fold and seed that is not finished yet, and write and return the summary of all of them.

    `OUT/fold-K-seed-S` is the folder of a run. One that was interrupted goes on; one that was begun with other options
    is an error, unless `overwrite`.

    Raises:
        QuaclrsError: as of `train`, or a fold that is not complete.
    """
    dataset = load_urbansound13(config.dataset)
    complete = complete_folds(dataset, config.protocol)
    folds = complete if config.folds == ALL_FOLDS else _numbers("folds", config.folds)
    if wrong := sorted(set(folds) - set(complete)):
        raise QuaclrsError(f"fold {wrong[0]} is not complete; complete folds are {', '.join(map(str, complete))}")
    runs = [run_config(config, fold, seed) for fold in folds for seed in _numbers("seeds", config.seeds)]
    waiting = [run for run in runs if not is_finished(run)]
    if config.jobs == 1:
        for run in waiting:
            train(run)
    else:
        _train_side_by_side(waiting, config.jobs)

    metrics = [json.loads((Path(run.output_dir) / "metrics.json").read_text(encoding="utf-8")) for run in runs]
    results = [read_result(run, metric["controls"], dataset) for run, metric in zip(runs, metrics, strict=True)]
    names = class_names(dataset)
    warnings = [warning for metric in metrics for warning in metric["warnings"]]
    summary = summarise(results, names, config.protocol, complete, warnings=warnings)
    summary["training"] = {
        "command": command_of(config),
        "backbone": config.backbone,
        "mode": config.mode,
        "initial_weights": describe_initial_weights(config),
        "seconds": sum(metric["seconds"] for metric in metrics),
    }
    if PartialState().is_main_process:
        write_summary(config, summary)
    PartialState().wait_for_everyone()
    return summary


def run_config(config: CrossValidationConfig, fold: int, seed: int) -> SupervisedConfig:
    """The options of one run."""
    own = {entry.name for entry in dataclasses.fields(SupervisedConfig)}
    options = {name: value for name, value in dataclasses.asdict(config).items() if name in own}
    folder = Path(config.output_dir) / f"fold-{fold}-seed-{seed}"
    resume = "no" if config.overwrite else "auto"
    if config.init_from:  # a network pre-trained for one fold has heard the clips of another
        options["init_from"] = config.init_from.replace("{fold}", str(fold)).replace("{seed}", str(seed))
    return SupervisedConfig(**{**options, "test_fold": fold, "seed": seed, "output_dir": str(folder), "resume": resume})


def is_finished(config: SupervisedConfig) -> bool:
    """Whether the run's folder holds the result of just these options."""
    run = RunFolder(config.output_dir)
    if config.overwrite or not (run.path / "metrics.json").is_file():
        return False
    for name in run.options_that_differ(config):
        raise QuaclrsError(f"{run.path} was run with another {name}; choose another --output-dir, or --overwrite")
    return True


def read_result(config: SupervisedConfig, controls: dict[str, Any], dataset: Dataset) -> FoldResult:
    """Predictions of a finished run, with what the data set knows of their clips."""
    found = read_predictions(Path(config.output_dir) / "predictions.csv")
    row_of_clip = {clip_id: row for row, clip_id in enumerate(dataset["clip_id"][:])}
    if unknown := sorted(set(found.clip_ids) - row_of_clip.keys()):
        raise QuaclrsError(f"{config.output_dir} predicted {unknown[0]}, which --dataset lacks; use the same data set")
    rows = [row_of_clip[clip_id] for clip_id in found.clip_ids]
    known = dataset.select_columns(["source", "recording_id"]).select(rows)
    return FoldResult(
        fold=config.test_fold,
        seed=config.seed,
        labels=found.labels,
        probabilities=found.probabilities,
        sources=known["source"][:],
        recording_ids=known["recording_id"][:],
        clip_ids=found.clip_ids,
        controls=controls,
    )


def write_summary(config: CrossValidationConfig, summary: dict[str, Any]) -> None:
    """`summary.json`, `summary.md` and the plots, beside the runs."""
    folder = RunFolder(config.output_dir)
    title = f"{config.backbone}, {config.mode} ({describe_initial_weights(config)})"
    folder.write_json("summary.json", summary)
    folder.write_text("summary.md", summary_markdown(summary, title, command_of(config)))
    matrix = confusion_matrix_figure(
        summary["confusion_matrix"], summary["class_names"], f"{title}\n{summary['scope']}, all seeds"
    )
    save_figure(matrix, folder.plots / "confusion_matrix.png")
    save_figure(fold_figures_figure(summary, title), folder.plots / "folds.png")


def command_of(config: CrossValidationConfig) -> str:
    """What to type to repeat it."""
    return command_line("python -m training.cross_validate", config)


def _train_side_by_side(runs: list[SupervisedConfig], jobs: int) -> None:
    """Each run in a process of its own, so many at a time, with its share of the processors."""
    if PartialState().num_processes > 1:
        raise QuaclrsError("--jobs starts processes of its own; leave accelerate launch out, or --jobs 1")

    def start(run: SupervisedConfig) -> int:
        file = Path(run.output_dir).with_suffix(".yaml")
        RunFolder(file.parent).write_yaml(file.name, dataclasses.asdict(run))
        command = [sys.executable, "-m", "training.train_supervised", "--config", str(file)]
        status = subprocess.run(command, env=environment_of_job(jobs), check=False).returncode
        file.unlink()
        return status

    for run in runs:
        Path(run.output_dir).parent.mkdir(parents=True, exist_ok=True)
    statuses = side_by_side(start, runs, jobs)
    if failed := [run.output_dir for run, status in zip(runs, statuses, strict=True) if status]:
        raise QuaclrsError(f"{len(failed)} of {len(runs)} runs failed, first {failed[0]}; its message is above")


def _numbers(name: str, text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts) or len(set(parts)) != len(parts):
        raise QuaclrsError(f"{flag_of(name)} is {text!r}; give different numbers with commas between, such as 1,2")
    return [int(part) for part in parts]


@report_user_errors
def main(arguments: list[str] | None = None) -> int:
    config = parse_config(CrossValidationConfig, arguments)
    summary = cross_validate(config)
    if PartialState().is_main_process:
        print(summary["headline"])
        for warning in summary["warnings"]:
            print(f"warning: {warning}")
        print(f"summary: {Path(config.output_dir) / 'summary.md'}")
    PartialState().destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main())
