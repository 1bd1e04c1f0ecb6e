"""Run the experiments behind a table of the paper and print its figures beside ours.

python -m training.reproduce table9 --dataset DIR --output-dir DIR --folds 1,2 --backbones resnet18,mobilenet_v2
python -m training.reproduce table3 --dataset DIR --output-dir DIR --seeds 0,1,2 --backbone resnet18
python -m training.reproduce questions --dataset DIR --output-dir DIR --noise DIR --jobs 2
python -m training.reproduce page --results runs/strict runs/paper
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import parse_flag_from_env

from quaclrs.errors import CommandParser, QuaclrsError, report_user_errors
from quaclrs.evaluation.figures.confusion_matrix import confusion_matrices_figure
from quaclrs.evaluation.figures.style import save_figure
from quaclrs.files import refuse_unwritable
from quaclrs.folds import PROTOCOLS
from quaclrs.locks import only_writer
from quaclrs.models import Backbone, BackboneError

from .paper.baselines import baselines_of
from .paper.cells import fill_table
from .paper.gains import knn_gain_intervals
from .paper.page import main as write_page
from .paper.plan import Key, Plan, Request, check_image_size, in_order, plan_table, select_folds
from .paper.report import Report
from .paper.tables import TABLE_NAMES, PaperTable, select_backbones, select_tables
from .questions.command import main as answer_questions
from .runs.folder import RunFolder
from .runs.heard import refuse_planned
from .runs.options import flag_of, parse_numbers
from .runs.queue import Starter, train_all
from .runs.run import Run
from .weights.imagenet import ImageNetWeights, find_imagenet_weights

#: In place of a table, with options of their own: the paper's research questions, and the page of all tables.
QUESTIONS, PAGE = "questions", "page"


@report_user_errors
def main(arguments: list[str] | None = None, start: Starter = Run.start) -> int:
    """The command.

    Args:
        arguments: of the command line.
        start: trains a run.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == [QUESTIONS]:
        return answer_questions(arguments[1:])
    if arguments[:1] == [PAGE]:
        return write_page(arguments[1:])
    options = _parse(arguments)
    tables = select_tables(options.table)
    _refuse_what_has_no_use(options, tables)
    options.backbones = select_backbones(tables, options.backbones)
    check_image_size(options.image_size, options.backbones)
    folds = select_folds(tables, options.dataset, options.protocol, options.folds)
    request = Request(
        weights=_find_weights(options, tables),
        half_precision="fp16" if _trains_on_cuda() else "bf16",
        **{entry.name: getattr(options, entry.name) for entry in dataclasses.fields(Request) if entry.name in options},
    )
    keys = {table.name: [(f, s) for f in folds[table.name] for s in options.seeds or table.seeds] for table in tables}
    plans = {table.name: plan_table(table, keys[table.name], request) for table in tables}
    runs = in_order(list(plans.values()), request.backbones)
    refuse_planned(run.config for run in runs)  # this, or a wrong option, is an error now, before anything is trained
    if options.dry_run:
        for run in runs:
            print(shlex.join(["python", "-m", *run.arguments]))
        return 0
    with only_writer(request.output_dir):
        refuse_unwritable(request.output_dir, "--output-dir")
        failed = train_all(runs, start, _tell, options.jobs)
        folder = RunFolder(request.output_dir)
        folder.path.mkdir(parents=True, exist_ok=True)
        written = []
        for table in tables:
            report = _report(table, request, keys[table.name], plans[table.name], failed)
            written.append(report.to_json())
            if not options.json:
                print(report.to_markdown(), flush=True)
            folder.write_text(f"{table.name}.md", report.to_markdown())
            folder.write_json(f"{table.name}.json", written[-1])
            if table.confusion_panel:
                _draw_confusion_panel(report, folder.plots / "confusion_matrices.png")
        if options.json:
            print(json.dumps(written, indent=2))
        return 1 if failed else 0


def _report(table: PaperTable, request: Request, keys: Sequence[Key], plan: Plan, failed: Sequence[Run]) -> Report:
    finished = {training: {k: run for k, run in runs.items() if run not in failed} for training, runs in plan.items()}
    results = {training: {k: run.results() for k, run in runs.items()} for training, runs in finished.items()}
    cells = fill_table(table, results, keys, request.backbones)
    intervals = knn_gain_intervals(finished, request.dataset) if table.baselines else {}
    return Report(table, request, cells, results, baselines_of(table, results, intervals) if table.baselines else ())


def _refuse_what_has_no_use(options: argparse.Namespace, tables: Sequence[PaperTable]) -> None:
    """Raise a `QuaclrsError` for an option that is for other tables."""
    useless = {"batch_size": "leave it out", "pretrained_file": "leave it out"}
    if tables[0].is_self_supervised:
        useless = {"pretrained_dir": "give --pretrained-file"}
        if not any(table.baselines for table in tables):
            useless["pretrained_file"] = "leave it out"
    for name, advice in useless.items():
        if getattr(options, name) is not None:
            raise QuaclrsError(f"{flag_of(name)} has no use with {options.table}; {advice}")


def _find_weights(options: argparse.Namespace, tables: Sequence[PaperTable]) -> dict[str, ImageNetWeights]:
    """Weights of the backbones whose trainings begin with them, found before days of training."""
    if options.pretrained_file is not None:
        (backbone,) = options.backbones
        try:
            Backbone(backbone).load_weights(options.pretrained_file)
        except BackboneError as error:
            raise QuaclrsError(f"--pretrained-file: {error}; give another file") from error
        return {backbone: ImageNetWeights(options.pretrained_file)}
    trainings = [training for table in tables for training in table.trainings(options.backbones)]
    names = dict.fromkeys(training.backbone for training in trainings if training.backbone and training.from_pretrained)
    weights = find_imagenet_weights(names, options.pretrained_dir, download=not options.dry_run)
    for name, found in weights.items():
        if found.missing:
            _tell(f"no ImageNet weights of {name} ({found.missing}): random init")
    return weights


def _draw_confusion_panel(report: Report, file: Path) -> None:
    """The confusion matrices of a table's methods, each the sum over folds and seeds; none where all failed."""
    methods = {name: runs for name, runs in report.methods.items() if runs}
    matrices = {name: np.sum([run.of()["confusion_matrix"] for run in runs], axis=0) for name, runs in methods.items()}
    if matrices:
        names = next(iter(methods.values()))[0].class_names
        title = f"Linear probes of frozen encoders\n{report.runs.removeprefix('Ours: ').removesuffix('.')}"
        save_figure(confusion_matrices_figure(matrices, names or (), title), file)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = CommandParser(prog="python -m training.reproduce", description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "table",
        metavar="TABLE",
        help=f"{', '.join(TABLE_NAMES)}; or {QUESTIONS} or {PAGE}, which have options of their own",
    )
    parser.add_argument(
        "--dataset", required=True, metavar="DIR", help="folder that the builder wrote, or a repository"
    )
    parser.add_argument("--output-dir", required=True, type=Path, metavar="DIR", help="folder for tables and runs")
    parser.add_argument("--folds", metavar="1,2|all", help="test folds (default: all, or the SSL table's)")
    parser.add_argument("--seeds", metavar="0,1", help="seeds (default: 0, or an SSL table's)")
    parser.add_argument(
        "--backbones",
        "--backbone",
        type=_names,
        metavar="A,B",
        help="backbones (default: all of the table, or resnet18 for SSL)",
    )
    parser.add_argument("--epochs", type=_positive, metavar="N", help="epochs of each training (default: the paper's)")
    parser.add_argument(
        "--batch-size", type=_positive, metavar="N", help="clips a step of SSL, where a table names none"
    )
    parser.add_argument(
        "--max-clips-per-class", type=_positive, metavar="N", help="keep at most this many training clips a class"
    )
    parser.add_argument(
        "--fill-per-fold",
        type=_not_negative,
        metavar="N",
        help="with --protocol paper: rows of every class and fold, copies included (default: the paper's 449)",
    )
    parser.add_argument(
        "--image-size", type=_positive, metavar="PX", help="picture size in pixels (default: the backbone's own)"
    )
    parser.add_argument(
        "--protocol", choices=PROTOCOLS, default="strict", help="strict (default), or paper, which leaks"
    )
    parser.add_argument(
        "--pretrained-dir", type=Path, metavar="DIR", help="folder of ImageNet weights, BACKBONE.safetensors"
    )
    parser.add_argument("--pretrained-file", type=Path, metavar="FILE", help="table3: ImageNet weights to compare with")
    parser.add_argument("--num-workers", type=_not_negative, default=0, metavar="N", help="processes that decode clips")
    parser.add_argument("--decode-once", action="store_true", help="keep decoded clips on disk")
    parser.add_argument(
        "--jobs", type=_positive, default=1, metavar="N", help="runs side by side, which share the processors"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the commands, train nothing")
    parser.add_argument("--json", action="store_true", help="print JSON in place of Markdown")
    options = parser.parse_args(arguments)
    if options.seeds is not None:
        options.seeds = sorted(parse_numbers("--seeds", options.seeds))
    if options.folds is not None:  # none of them stands for all
        options.folds = [] if options.folds == "all" else parse_numbers("--folds", options.folds)
    return options


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _not_negative(text: str) -> int:
    return 0 if text == "0" else _positive(text)


def _trains_on_cuda() -> bool:
    return torch.cuda.is_available() and not parse_flag_from_env("ACCELERATE_USE_CPU")


def _tell(text: str) -> None:
    """Progress, on standard error beside what the runs print."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
