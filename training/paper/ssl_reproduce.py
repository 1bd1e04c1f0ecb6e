"""Runs the self-supervised tables: what must be trained, what came out, and the tables and figures of it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from quaclrs.data import complete_folds, load_urbansound13
from quaclrs.errors import QuaclrsError
from quaclrs.evaluation.figures.confusion_matrix import confusion_matrices_figure
from quaclrs.evaluation.figures.style import save_figure
from quaclrs.models import Backbone, BackboneError

from ..runs.folder import RunFolder
from .runs import Results, Runner, check_image_size, select_folds, train_all
from .ssl_baselines import KNN_GAIN, KNN_GAIN_BALANCED, baselines_of
from .ssl_cells import SSLResults, evaluation, fill_ssl_table
from .ssl_gains import knn_gain_interval
from .ssl_report import describe_runs, ssl_json, ssl_markdown, ssl_notes
from .ssl_runs import SSLRequest, SSLRun, plan_ssl_run
from .ssl_tables import IMAGENET, SUPERVISED, SSLTable, SSLTraining

#: Runs of each training of a table, by (fold, seed).
SSLPlan = dict[SSLTraining, dict[tuple[int, int], SSLRun]]


def reproduce_ssl(
    tables: Sequence[SSLTable],
    request: SSLRequest,
    folds: Sequence[int] | None,
    seeds: Sequence[int] | None,
    runner: Runner,
    announce: Callable[[str], None],
    jobs: int = 1,
    dry_run: bool = False,
    as_json: bool = False,
) -> int:
    """Train what the tables need, write and print them, and return 1 where a run failed.

    Args:
        tables: of the paper.
        request: what was asked for.
        folds, seeds: None for each table's own; no folds for all complete ones.
        runner: runs `python -m` with arguments.
        announce: takes a line of progress.
        jobs: runs side by side.
        dry_run: print the commands, train nothing.
        as_json: print JSON in place of Markdown.
    """
    check_image_size(request.image_size, [request.shared["backbone"]])
    _check_pretrained_file(request, tables)
    folds_of = {table.name: _folds_of(table, request, folds) for table in tables}
    seeds_of = {table.name: list(seeds or table.seeds) for table in tables}
    plans = {table.name: plan_table(table, folds_of[table.name], seeds_of[table.name], request) for table in tables}
    distinct = dict.fromkeys(run for plan in plans.values() for of_one in plan.values() for run in of_one.values())
    runs = sorted(distinct, key=lambda run: run.seed)  # when the first seed is through, a whole table can be had
    for run in runs:
        run.config  # noqa: B018 (a wrong option is an error now, before anything is trained)
    if dry_run:
        for run in runs:
            print(shlex.join(["python", "-m", *run.arguments]))
        return 0
    failed = train_all(runs, runner, announce, jobs)
    folder = RunFolder(request.output_dir)
    folder.path.mkdir(parents=True, exist_ok=True)
    written = []
    for table in tables:
        results = read_results(plans[table.name], failed)
        cells = fill_ssl_table(table, results, folds_of[table.name], seeds_of[table.name])
        baselines = []
        if table.baselines:
            intervals = _intervals(plans[table.name], failed, request.dataset)
            baselines = baselines_of(table, results, request.pretrained_file is not None, intervals)
        about, notes = describe_runs(table, results), ssl_notes(table, results)
        markdown = ssl_markdown(table, cells, baselines, about, notes)
        written.append(ssl_json(table, cells, baselines, about, notes))
        folder.write_text(f"{table.name}.md", markdown)
        folder.write_json(f"{table.name}.json", written[-1])
        if table.confusion_panel:
            draw_confusion_panel(table, results, folder.plots / "confusion_matrices.png", about)
        if not as_json:
            print(markdown)
    if as_json:
        print(json.dumps(written, indent=2, ensure_ascii=False))
    return 1 if failed else 0


def plan_table(table: SSLTable, folds: Sequence[int], seeds: Sequence[int], request: SSLRequest) -> SSLPlan:
    """The runs of a table, and of its baselines where it has them."""
    trainings = list(table.trainings)
    if table.baselines:
        trainings += [SUPERVISED, *([IMAGENET] if request.pretrained_file else [])]
    return {
        training: {
            (fold, seed): plan_ssl_run(training, fold, seed, table.epochs, request) for fold in folds for seed in seeds
        }
        for training in trainings
    }


def read_results(plan: SSLPlan, failed: Sequence[SSLRun]) -> dict[SSLTraining, Results]:
    """What the runs of a plan measured; those that failed are absent."""
    return {
        training: {key: run.results() for key, run in runs.items() if run not in failed}
        for training, runs in plan.items()
    }


def _intervals(
    plan: SSLPlan, failed: Sequence[SSLRun], dataset: str
) -> dict[SSLTraining, dict[str, tuple[float, float]]]:
    rows = load_urbansound13(dataset)
    recording_of_clip = dict(zip(rows["clip_id"][:], rows["recording_id"][:], strict=True))
    intervals: dict[SSLTraining, dict[str, tuple[float, float]]] = {}
    for training, runs in plan.items():
        if training.kind == "ssl":
            finished = {key: run for key, run in runs.items() if run not in failed}
            for column, balanced in ((KNN_GAIN, False), (KNN_GAIN_BALANCED, True)):
                if interval := knn_gain_interval(finished, recording_of_clip, balanced):
                    intervals.setdefault(training, {})[column] = interval
    return intervals


def draw_confusion_panel(table: SSLTable, results: SSLResults, file: Path, about: str) -> None:
    """The confusion matrices of a table's methods, each the sum over folds and seeds; none where all failed."""
    matrices: dict[str, Any] = {}
    names: Sequence[str] = ()
    for training, name in table.trainings.items():
        runs: Sequence[Mapping[str, Any]] = list(results.get(training, {}).values())
        if runs:
            matrices[name] = np.sum([evaluation(run)["confusion_matrix"] for run in runs], axis=0)
            names = runs[0]["class_names"]
    if matrices:
        title = f"Linear probes of frozen encoders\n{about.removeprefix('Ours: ').removesuffix('.')}"
        save_figure(confusion_matrices_figure(matrices, names, title), file)


def _check_pretrained_file(request: SSLRequest, tables: Sequence[SSLTable]) -> None:
    """Raise a `QuaclrsError` where a file of weights has no use or does not fit, before days of training."""
    if request.pretrained_file is None:
        return
    if not any(table.baselines for table in tables):
        raise QuaclrsError(f"--pretrained-file has no use with {tables[0].name}; leave it out")
    try:
        Backbone(request.shared["backbone"]).load_weights(request.pretrained_file)
    except BackboneError as error:
        raise QuaclrsError(f"--pretrained-file: {error}; give another file") from error


def _folds_of(table: SSLTable, request: SSLRequest, wanted: Sequence[int] | None) -> list[int]:
    """The folds asked for; or those of the table that the data set has, or all it has where that is none."""
    if wanted is not None:
        return select_folds(request.dataset, request.protocol, wanted)
    complete = complete_folds(load_urbansound13(request.dataset), request.protocol)
    return [fold for fold in table.folds if fold in complete] or select_folds(request.dataset, request.protocol, None)
