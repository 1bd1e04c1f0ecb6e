"""Cross-validation: `accelerate launch -m training.cross_validate --dataset DIR --output-dir OUT ...` (paper, 4.6).

Every fold and seed is a run of `train_supervised` with a folder of its own; then all of them are summed up.
"""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from accelerate import PartialState
from datasets import Dataset

from quaclrs.augment import parent_and_variant
from quaclrs.data import class_names, complete_folds, load_urbansound13
from quaclrs.errors import QuaclrsError, report_user_errors
from quaclrs.evaluation.cross_validation import FoldResult, summarise, summary_markdown
from quaclrs.evaluation.figures.confusion_matrix import confusion_matrix_figure
from quaclrs.evaluation.figures.cross_validation import fold_figures_figure
from quaclrs.evaluation.figures.style import save_figure
from quaclrs.evaluation.open_set import open_set_figures, open_set_intervals
from quaclrs.evaluation.result_files import OPEN_SET, PREDICTIONS, read_predictions
from quaclrs.evaluation.run_metrics import RunMetrics
from quaclrs.files import refuse_unwritable
from quaclrs.labels import OTHER

from .clips.background import kind_of
from .runs.folder import RunFolder
from .runs.heard import refuse_planned
from .runs.options import command_line, flag_of, option, parse_config, parse_numbers
from .runs.processes import join_processes, only_run_in
from .runs.queue import side_by_side
from .runs.run import Run
from .supervised.config import SupervisedConfig
from .supervised.results import describe_initial_weights
from .train_supervised import train

ALL_FOLDS = "all"

#: Options that each run has values of its own for.
_OF_A_RUN = frozenset({"test_fold", "seed", "output_dir", "resume"})


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
        QuaclrsError: as of `train`, a fold that is not complete, or another cross-validation writes the folder.
    """
    with only_run_in(config.output_dir, join_processes(config.ddp_timeout)):
        return _cross_validate(config)


def _cross_validate(config: CrossValidationConfig) -> dict[str, Any]:
    refuse_unwritable(config.output_dir, "--output-dir")
    dataset = load_urbansound13(config.dataset)
    complete = complete_folds(dataset, config.protocol)
    folds = list(complete) if config.folds == ALL_FOLDS else parse_numbers("--folds", config.folds)
    if wrong := sorted(set(folds) - set(complete)):
        raise QuaclrsError(f"fold {wrong[0]} is not complete; complete folds are {', '.join(map(str, complete))}")
    runs = [plan_run(config, fold, seed) for fold in folds for seed in parse_numbers("--seeds", config.seeds)]
    for run in runs:
        if not config.overwrite:
            run.refuse_other()
    refuse_planned(run.config for run in runs)
    waiting = [run for run in runs if config.overwrite or not run.is_finished()]
    if config.jobs > 1:
        _train_side_by_side(waiting, config.jobs)
    else:
        for run in waiting:
            train(run.config)

    metrics = [run.results() for run in runs]
    results = [read_result(run, metric, dataset) for run, metric in zip(runs, metrics, strict=True)]
    warnings = [warning for metric in metrics for warning in metric.warnings]
    summary = summarise(results, class_names(dataset), config.protocol, complete, warnings=warnings)
    if config.background:
        summary["open_set"] = summarise_open_set(runs, [*class_names(dataset), OTHER], dataset, config.duration)
    summary["training"] = {
        "command": command_of(config),
        "backbone": config.backbone,
        "mode": config.mode,
        "initial_weights": describe_initial_weights(config),
        "seconds": sum(metric.seconds for metric in metrics),
    }
    if PartialState().is_main_process:
        write_summary(config, summary)
    PartialState().wait_for_everyone()
    return summary


def plan_run(config: CrossValidationConfig, fold: int, seed: int) -> Run:
    """The run of a fold with a seed."""
    options = {
        entry.name: value
        for entry in dataclasses.fields(SupervisedConfig)
        if entry.name not in _OF_A_RUN and (value := getattr(config, entry.name)) is not None
    }
    options["resume"] = "no" if config.overwrite else "auto"
    if config.init_from:  # a network pre-trained for one fold has heard the clips of another
        options["init_from"] = config.init_from.replace("{fold}", str(fold)).replace("{seed}", str(seed))
    return Run(SupervisedConfig, Path(config.output_dir), fold, seed, tuple(options.items()))


def read_result(run: Run, metrics: RunMetrics, dataset: Dataset) -> FoldResult:
    """Predictions of a finished run, with the source and the recording of their clips."""
    found = read_predictions(run.path / PREDICTIONS, class_names(dataset), metrics.tested_clips)
    row_of_clip = {clip_id: row for row, clip_id in enumerate(dataset["clip_id"][:])}
    parents = [parent_and_variant(clip_id)[0] for clip_id in found.clip_ids]  # an augmented copy stands for its clip
    if unknown := sorted(set(parents) - row_of_clip.keys()):
        raise QuaclrsError(f"{run.path} predicted {unknown[0]}, which --dataset lacks; use the same data set")
    rows = [row_of_clip[clip_id] for clip_id in parents]
    known = dataset.select_columns(["source", "recording_id"]).select(rows)
    return FoldResult(
        fold=run.fold,
        seed=run.seed,
        labels=found.labels,
        probabilities=found.probabilities,
        sources=known["source"][:],
        recording_ids=known["recording_id"][:],
        clip_ids=found.clip_ids,
        controls=metrics.controls,
    )


def summarise_open_set(runs: list[Run], names: list[str], dataset: Dataset, seconds: float) -> dict[str, Any]:
    """`open_set_figures` of all test clips and of every kind of background, each by runs that had not heard them.

    Of several seeds the scores are averaged. Intervals are by bootstrap over recordings and over kinds.
    """
    recording_of = dict(zip(dataset["clip_id"][:], dataset["recording_id"][:], strict=True))
    found: dict[str, list[tuple[int, np.ndarray]]] = {}
    for run in runs:
        predictions = read_predictions(run.path / OPEN_SET, names)
        for clip_id, label, scores in zip(
            predictions.clip_ids, predictions.labels, predictions.probabilities, strict=True
        ):
            found.setdefault(clip_id, []).append((int(label), scores))
    kinds = [kind_of(clip_id) for clip_id in found]
    labels = np.array([of_clip[0][0] for of_clip in found.values()])
    probabilities = np.stack([np.mean([scores for _, scores in of_clip], axis=0) for of_clip in found.values()])
    groups = [kind or recording_of[clip_id] for clip_id, kind in zip(found, kinds, strict=True)]
    figures = open_set_figures(labels, probabilities, names, kinds, seconds)
    return figures | {"intervals": open_set_intervals(labels, probabilities, names, kinds, groups, seconds)}


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
    """The command that repeats it."""
    return command_line("python -m training.cross_validate", config)


def _train_side_by_side(runs: list[Run], jobs: int) -> None:
    """Train each run in a process of its own, so many at a time, with its share of the processors."""
    if PartialState().num_processes > 1:
        raise QuaclrsError("--jobs starts processes of its own; leave accelerate launch out, or --jobs 1")
    for run in runs:
        run.config  # noqa: B018 (a wrong option is an error now, before anything is trained)
    statuses = side_by_side(lambda run: run.start(jobs), runs, jobs)
    if failed := [run.path for run, status in zip(runs, statuses, strict=True) if status]:
        raise QuaclrsError(f"{len(failed)} of {len(runs)} runs failed, first {failed[0]}; its message is above")


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
