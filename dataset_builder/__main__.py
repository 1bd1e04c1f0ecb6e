"""Command line of the builder: `python -m dataset_builder build ...` and `python -m dataset_builder sample ...`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from quaclrs.errors import CommandParser, QuaclrsError, report_user_errors

from .sources import SourceReport, scan_sirennet, scan_urbansound8k

# What only one command needs is imported where it runs: worker processes import this file again.


def make_parser() -> CommandParser:
    parser = CommandParser(prog="python -m dataset_builder", description="Build the UrbanSound13 data set.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    build = commands.add_parser("build", help="build the data set from folders of recordings")
    build.add_argument("--urbansound8k", type=Path, metavar="DIR", help="folder with metadata/ and audio/fold1…10")
    build.add_argument("--sirennet", type=Path, metavar="DIR", help="folder with ambulance/, firetruck/, …")
    build.add_argument("--output", type=Path, required=True, metavar="DIR", help="new folder for the data set")
    build.add_argument("--num-proc", type=int, default=1, metavar="N", help="processes that transcode (default 1)")
    sample = commands.add_parser("sample", help="synthesise a small sample and build the data set of it")
    sample.add_argument("--output", type=Path, required=True, metavar="DIR", help="new folder for sample and data set")
    sample.add_argument("--seed", type=int, default=0, metavar="N", help="another seed is another sample (default 0)")
    return parser


@report_user_errors
def main(arguments: list[str] | None = None) -> int:
    options = make_parser().parse_args(arguments)
    if options.command == "sample":
        return build_sample(options.output, options.seed)
    return build(options.urbansound8k, options.sirennet, options.output, options.num_proc)


def build(urbansound8k: Path | None, sirennet: Path | None, output: Path, num_proc: int) -> int:
    """Build the data set from the sources that are given."""
    if num_proc < 1:
        raise QuaclrsError(f"--num-proc is {num_proc}; it must be 1 or more")
    reports = scan_sources(urbansound8k, sirennet)
    from .urbansound13 import BuildConfig, build_urbansound13

    _print_summary(build_urbansound13(reports, output, BuildConfig(num_proc=num_proc)), output)
    return 0


def scan_sources(urbansound8k: Path | None, sirennet: Path | None) -> list[SourceReport]:
    """Find the clips of the sources that are given and print what is missing by fold and class."""
    if urbansound8k is None and sirennet is None:
        raise QuaclrsError("no source given; pass --urbansound8k DIR, --sirennet DIR or both")
    reports = []
    if urbansound8k is not None:
        reports.append(scan_urbansound8k(urbansound8k))
    if sirennet is not None:
        reports.append(scan_sirennet(sirennet))
    for report in reports:
        print(f"{report.source}: {len(report.clips)} clips found, {report.missing.total()} missing")
        if report.missing:
            print(report.describe_missing())
    return reports


def build_sample(output: Path, seed: int) -> int:
    """Write the synthetic recordings and, beside them in the same folder, the data set that is built from them."""
    from .sample import write_sample
    from .urbansound13 import build_urbansound13, written_at_once

    with written_at_once(output) as folder:
        print(f"synthesising the sample (seed {seed}); it proves plumbing, not accuracy")
        write_sample(folder, seed=seed)
        reports = scan_sources(folder, folder)
        figures = build_urbansound13(reports, folder / "built")
        for item in (folder / "built").iterdir():
            item.rename(folder / item.name)
        (folder / "built").rmdir()
    _print_summary(figures, output)
    return 0


def _print_summary(figures: dict[str, Any], output: Path) -> None:
    complete = ", ".join(map(str, figures["complete_folds"])) or "none"
    kind = " synthetic" if figures["synthetic"] else ""
    print(
        f"{output}: {figures['clips']}{kind} clips of {figures['recordings']} recordings in "
        f"{len(figures['clips_by_class'])} classes; complete folds: {complete}"
    )


if __name__ == "__main__":
    sys.exit(main())
