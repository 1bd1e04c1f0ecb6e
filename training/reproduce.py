"""Run the experiments behind a table of the paper and print its figures beside ours.

python -m training.reproduce table9 --dataset DIR --output-dir DIR --folds 1,2 --backbones resnet18,mobilenet_v2
python -m training.reproduce table3 --dataset DIR --output-dir DIR --seeds 0,1,2 --backbone resnet18
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from accelerate.utils import parse_flag_from_env

from quaclrs.errors import CommandParser, QuaclrsError, report_user_errors
from quaclrs.folds import PROTOCOLS

from .paper.cells import fill_table
from .paper.report import notes_of, to_json, to_markdown
from .paper.runs import (
    Request,
    Run,
    Runner,
    check_image_size,
    plan_run,
    results_of,
    select_folds,
    start_cross_validation,
    start_module,
    train_all,
)
from .paper.ssl_reproduce import reproduce_ssl
from .paper.ssl_runs import SSLRequest
from .paper.ssl_tables import ALL_SSL, SSL_TABLES, select_ssl_tables
from .paper.tables import ALL_SUPERVISED, SUPERVISED_TABLES, Experiment, select_backbones, select_tables
from .runs.folder import RunFolder
from .runs.options import flag_of
from .weights.imagenet import ImageNetWeights, find_imagenet_weights

Plan = dict[tuple[Experiment, int, int], Run]


@report_user_errors
def main(
    arguments: list[str] | None = None, runner: Runner = start_cross_validation, ssl_runner: Runner = start_module
) -> int:
    """The command.

    Args:
        arguments: of the command line.
        runner: trains one fold of a supervised table, given the arguments of `python -m training.cross_validate`.
        ssl_runner: trains one fold of a self-supervised table, given the arguments of `python -m`.
    """
    options = _parse(arguments)
    if options.table not in (*SUPERVISED_TABLES, ALL_SUPERVISED):
        return _reproduce_ssl(options, ssl_runner)
    for name in ("batch_size", "pretrained_file"):
        if getattr(options, name) is not None:
            raise QuaclrsError(f"{flag_of(name)} has no use with {options.table}; leave it out")
    return _reproduce_supervised(options, runner)


def _reproduce_ssl(options: argparse.Namespace, runner: Runner) -> int:
    tables = select_ssl_tables(options.table)
    if options.pretrained_dir is not None:
        raise QuaclrsError(f"--pretrained-dir has no use with {options.table}; give --pretrained-file")
    if options.backbones and len(options.backbones) > 1:
        raise QuaclrsError(f"--backbone: {options.table} compares methods with one backbone; give one")
    request = SSLRequest(
        dataset=options.dataset,
        output_dir=options.output_dir,
        protocol=options.protocol,
        epochs=options.epochs,
        max_clips_per_class=options.max_clips_per_class,
        backbone=options.backbones[0] if options.backbones else None,
        image_size=options.image_size,
        batch_size=options.batch_size,
        pretrained_file=options.pretrained_file,
        num_workers=options.num_workers,
        decode_once=options.decode_once,
    )
    return reproduce_ssl(
        tables,
        request,
        options.folds,
        options.seeds,
        runner,
        _tell,
        options.jobs,
        dry_run=options.dry_run,
        as_json=options.json,
    )


def _reproduce_supervised(options: argparse.Namespace, runner: Runner) -> int:
    tables = select_tables(options.table)
    backbones = select_backbones(tables, options.backbones)
    request = Request(
        dataset=options.dataset,
        output_dir=options.output_dir,
        protocol=options.protocol,
        epochs=options.epochs,
        max_clips_per_class=options.max_clips_per_class,
        image_size=options.image_size,
        num_workers=options.num_workers,
        decode_once=options.decode_once,
        half_precision="fp16" if _trains_on_cuda() else "bf16",
    )
    check_image_size(request.image_size, backbones)
    folds = select_folds(request.dataset, request.protocol, options.folds)
    experiments = dict.fromkeys(experiment for table in tables for experiment in table.experiments(backbones))
    weights = find_imagenet_weights(
        dict.fromkeys(experiment.backbone for experiment in experiments if experiment.from_pretrained),
        options.pretrained_dir,
        download=not options.dry_run,
    )
    for name, found in weights.items():
        if found.missing:
            _tell(f"no ImageNet weights of {name} ({found.missing}): random init")
    plan = plan_runs(list(experiments), backbones, folds, options.seeds or [0], request, weights)
    if options.dry_run:
        for run in dict.fromkeys(plan.values()):
            print(shlex.join(["python", "-m", "training.cross_validate", *run.arguments]))
        return 0
    failed = train_all(plan.values(), runner, _tell, options.jobs)
    results = results_of(plan, failed)
    folder = RunFolder(request.output_dir)
    folder.path.mkdir(parents=True, exist_ok=True)
    as_json = []
    for table in tables:
        cells = fill_table(table, results, backbones, folds)
        notes = notes_of(table, cells, weights)
        markdown = to_markdown(table, cells, notes)
        as_json.append(to_json(table, cells, notes))
        folder.write_text(f"{table.name}.md", markdown)
        folder.write_json(f"{table.name}.json", as_json[-1])
        if not options.json:
            print(markdown)
    if options.json:
        print(json.dumps(as_json, indent=2, ensure_ascii=False))
    return 1 if failed else 0


def plan_runs(
    experiments: Sequence[Experiment],
    backbones: Sequence[str],
    folds: Sequence[int],
    seeds: Sequence[int],
    request: Request,
    weights: Mapping[str, ImageNetWeights],
) -> Plan:
    """The run of every experiment, fold and seed; several share one where their recipes come to the same.

    All trainings of a backbone on a fold follow each other, as their times are compared.
    """
    return {
        (experiment, fold, seed): plan_run(
            experiment, fold, seed, request, weights[backbone] if experiment.from_pretrained else None
        )
        for backbone in backbones
        for fold in folds
        for seed in seeds
        for experiment in experiments
        if experiment.backbone == backbone
    }


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = CommandParser(prog="python -m training.reproduce", description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "table", metavar="TABLE", help=", ".join((*SUPERVISED_TABLES, ALL_SUPERVISED, *SSL_TABLES, ALL_SSL))
    )
    parser.add_argument(
        "--dataset", required=True, metavar="DIR", help="folder that the builder wrote, or a repository"
    )
    parser.add_argument("--output-dir", required=True, type=Path, metavar="DIR", help="for tables and runs")
    parser.add_argument(
        "--folds", type=_folds, metavar="1,2|all", help="test folds; where absent all, or the SSL table's"
    )
    parser.add_argument("--seeds", type=_whole_numbers, metavar="0,1", help="0, or an SSL table's, where absent")
    parser.add_argument(
        "--backbones",
        "--backbone",
        type=_names,
        metavar="A,B",
        help="all of the table, or SSL's resnet18, where absent",
    )
    parser.add_argument("--epochs", type=_positive, metavar="N", help="the paper's where absent")
    parser.add_argument("--batch-size", type=_positive, metavar="N", help="of SSL, where a table names none")
    parser.add_argument("--max-clips-per-class", type=_positive, metavar="N", help="thin the training clips")
    parser.add_argument("--image-size", type=_positive, metavar="PX", help="the backbone's own where absent")
    parser.add_argument("--protocol", choices=PROTOCOLS, default="strict", help="strict where absent; paper leaks")
    parser.add_argument("--pretrained-dir", type=Path, metavar="DIR", help="of BACKBONE.safetensors or .pth files")
    parser.add_argument("--pretrained-file", type=Path, metavar="FILE", help="table3: ImageNet weights to compare with")
    parser.add_argument("--num-workers", type=_not_negative, default=0, metavar="N", help="processes that decode clips")
    parser.add_argument("--decode-once", action="store_true", help="keep decoded clips on disk")
    parser.add_argument(
        "--jobs", type=_positive, default=1, metavar="N", help="runs side by side, which share the processors"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the commands, train nothing")
    parser.add_argument("--json", action="store_true", help="print JSON in place of Markdown")
    return parser.parse_args(arguments)


def _whole_numbers(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of whole numbers such as 1,2,3")
    return sorted({int(part) for part in parts})


def _folds(text: str) -> list[int]:
    """None of them stands for all."""
    return [] if text == "all" else _whole_numbers(text)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
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
