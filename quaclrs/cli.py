"""The `quaclrs` command. Torch is imported only by what needs it, so `--help` answers at once."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from .commands.annotate import add_annotate_command
from .commands.augment import add_augment_command
from .commands.evaluate import add_evaluate_command
from .commands.explain import add_explain_command
from .commands.export import add_export_command
from .commands.info import add_info_command
from .commands.learn import add_learn_command
from .commands.listen import add_listen_command
from .commands.predict import add_predict_command
from .commands.report import add_report_command
from .commands.search import add_search_command
from .commands.suggest import add_suggest_command
from .commands.summary import add_summary_command
from .commands.timeline import add_timeline_command
from .errors import CommandParser, report_user_errors
from .extras import named_extra, require


class _Version(argparse.Action):
    """Prints the version; looking it up takes time, so nothing else does."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from . import __version__

        print(f"quaclrs {__version__}")
        parser.exit()


def make_parser() -> CommandParser:
    parser = CommandParser(prog="quaclrs", description="Classify urban sounds.")
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_predict_command(commands)
    add_timeline_command(commands)
    add_annotate_command(commands)
    add_summary_command(commands)
    add_listen_command(commands)
    add_explain_command(commands)
    add_learn_command(commands)
    add_suggest_command(commands)
    add_search_command(commands)
    add_evaluate_command(commands)
    add_report_command(commands)
    add_augment_command(commands)
    add_info_command(commands)
    add_export_command(commands)
    return parser


@report_user_errors
def main(arguments: list[str] | None = None) -> int:
    options = make_parser().parse_args(arguments)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # for PyTorch: see `training/__init__.py`
    if extra := getattr(options, "extra", None):
        require(extra)
    with named_extra():
        return options.run(options)


if __name__ == "__main__":
    sys.exit(main())
