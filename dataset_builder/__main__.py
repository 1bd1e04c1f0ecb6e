"""Command line of the builder: `python -m dataset_builder build`, `sample`, `leaks` and `push`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from quaclrs.errors import CommandParser, QuaclrsError, report_user_errors
from quaclrs.files import refuse_used_folder
from quaclrs.labels import SIRENNET, URBANSOUND8K
from quaclrs.locks import only_writer

from .push import add_push_command
from .recordings.leaks import add_leaks_command
from .sources.inputs import Inputs, add_input_options, read_inputs, scan_inputs
from .stopping import told_when_stopped
from .table.pictures import CONTENT_OF_KIND

# What only one command needs is imported where it runs: worker processes import this file again.


def make_parser() -> CommandParser:
    parser = CommandParser(prog="python -m dataset_builder", description="Build the UrbanSound13 data set.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    build = commands.add_parser("build", help="build the data set from recordings")
    add_input_options(build)
    build.add_argument("--output", type=Path, required=True, metavar="DIR", help="new folder for the data set")
    build.add_argument("--skip-broken", action="store_true", help="leave out files that cannot be decoded")
    build.add_argument("--num-proc", type=int, default=1, metavar="N", help="processes that transcode (default 1)")
    holds = "; ".join(f"{kind}: {content}" for kind, content in CONTENT_OF_KIND.items())
    build.add_argument("--config", choices=list(CONTENT_OF_KIND), default="audio", help=f"what a row holds. {holds}")
    build.set_defaults(run=run_build)
    sample = commands.add_parser("sample", help="synthesise a small sample and build the data set of it")
    sample.add_argument("--output", type=Path, required=True, metavar="DIR", help="new folder for sample and data set")
    sample.add_argument("--seed", type=int, default=0, metavar="N", help="another seed is another sample (default 0)")
    sample.set_defaults(run=run_sample)
    add_leaks_command(commands)
    add_push_command(commands)
    return parser


@report_user_errors
def main(arguments: list[str] | None = None) -> int:
    options = make_parser().parse_args(arguments)
    return options.run(options)


def run_build(options: argparse.Namespace) -> int:
    """Build the data set from the sources that are given."""
    if options.num_proc < 1:
        raise QuaclrsError(f"--num-proc is {options.num_proc}; it must be 1 or more")
    inputs = read_inputs(options)
    with told_when_stopped(), only_writer(options.output, "--output"):
        refuse_used_folder(options.output, "--output")
        reports = scan_inputs(inputs)
        from .urbansound13 import BuildConfig, build_urbansound13

        config = BuildConfig(options.num_proc, options.skip_broken, options.config)
        figures = build_urbansound13(reports, options.output, config)
    _print_summary(figures, options.output)
    return 0


def run_sample(options: argparse.Namespace) -> int:
    """Write the synthetic recordings and, beside them in the same folder, the data set that is built from them."""
    from .sample import write_sample
    from .urbansound13 import build_urbansound13, written_at_once

    with told_when_stopped(), only_writer(options.output, "--output"), written_at_once(options.output) as folder:
        print(f"synthesising the sample (seed {options.seed}); it shows that all works, and says nothing about streets")
        write_sample(folder, seed=options.seed)
        reports = scan_inputs(Inputs({URBANSOUND8K: folder, SIRENNET: folder}))
        figures = build_urbansound13(reports, folder / "built")
        for item in (folder / "built").iterdir():
            item.rename(folder / item.name)
        (folder / "built").rmdir()
    _print_summary(figures, options.output)
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
