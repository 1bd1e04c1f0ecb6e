"""`quaclrs learn`: learn a model of your own sounds from labelled clips."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import QuaclrsError, printable

if TYPE_CHECKING:
    from ..learning import LearnReport


def add_learn_command(commands: Any) -> None:
    """Register the command with the subparsers of `quaclrs`."""
    parser = commands.add_parser(
        "learn",
        help="learn your own sounds from labelled clips",
        description="Learn a model of your own sounds from a handful of labelled clips, and say what it is worth.",
    )
    add = parser.add_argument
    add(
        "sources",
        nargs="+",
        metavar="DIR_OR_TABLE",
        help="a folder with a folder of clips for each label; or a table of file, label, start, end (CSV, Raven, …)",
    )
    add("--output", required=True, type=Path, metavar="DIR", help="folder of the model; an older model is replaced")
    add(
        "--background",
        action="append",
        default=[],
        metavar="DIR",
        help="sounds outside your labels; repeatable",
    )
    add("--no-background", action="store_true", help="leave out the background that comes with the package")
    add("--keep-classes", action="store_true", help="add to the base model's classes in place of having others")
    add("--unlabelled", metavar="DIR", help="learn from these recordings too, which have no labels")
    add("--model", metavar="DIR_OR_REPO", help="base whose encoder hears the clips (default: the package's own)")
    add("--no-grouping", action="store_true", help="do not look for clips of one recording by what they hold")
    add("--seed", type=int, default=0, metavar="N", help="seed of the folds (default 0)")
    add("--json", action="store_true", help="print one JSON object, as in learned.json")
    parser.set_defaults(run=run_learn)


def run_learn(options: argparse.Namespace) -> int:
    """Learn, write the model's folder and say what it is worth."""
    if options.seed < 0:
        raise QuaclrsError(f"--seed is {options.seed}; it must be 0 or more")
    from ..learning import LearnOptions, learn
    from ..learning.head import HeadOptions

    learned = learn(
        options.sources,
        options.output,
        LearnOptions(
            background=tuple(options.background),
            own_background=not options.no_background,
            keep_classes=options.keep_classes,
            unlabelled=options.unlabelled,
            model=options.model,
            by_content=not options.no_grouping,
            head=HeadOptions(seed=options.seed),
        ),
        progress=None,
    )
    if options.json:
        print(json.dumps({"folder": str(options.output), **learned.report.to_dict()}, ensure_ascii=False))
    else:
        print("\n".join(_lines_of(learned.report, options.output)))
    return 0


def _lines_of(report: LearnReport, folder: Path) -> list[str]:
    from ..evaluation.reports.tables import counted, percent, percent_range
    from ..learning.background import why_dropped
    from ..learning.card import summary_line

    width = max(len(printable(entry.label)) for entry in report.worth.classes)
    classes, clips = counted(len(report.worth.classes), "class", "classes"), counted(report.clips, "clip")
    lines = [f"{classes} from {clips} in {report.seconds:.1f} s"]
    for entry in report.worth.classes:
        known = f"{percent(entry.recall):>6} ({percent_range(entry.interval)})" if entry.recall is not None else ""
        told = "  ".join(part for part in (known, entry.judged) if part)
        lines.append(
            f"  {printable(entry.label):<{width}}  {entry.clips:>4} {'clip ' if entry.clips == 1 else 'clips'}  {told}"
        )
    lines.append(summary_line(report))
    lines += [
        f"background: {kind} left out, {why_dropped(kind, printable(label))}"
        for kind, label in report.background_dropped.items()
    ]
    if report.worth.suspects:
        lines.append("perhaps mislabelled, listen to them:")
        lines += [f"  {printable(s.name)}: {s.label}, sounds like {s.heard}" for s in report.worth.suspects[:5]]
    return [*lines, f"model: {printable(str(folder))}; report: {printable(str(folder / 'report.html'))}"]
