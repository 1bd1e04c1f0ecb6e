"""`quaclrs annotate`: label every recording of an archive."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ..errors import print_error
from .model_options import (
    add_answer_options,
    add_channel_option,
    add_model_options,
    load_model,
    min_score_of,
    refuse_no_threads,
)

#: Formats, as `archive.tables` has them; here so that `--help` imports no more.
_FORMATS = ("parquet", "csv", "jsonl", "audacity", "raven")


def add_annotate_command(commands: Any) -> None:
    """Register the command with the subparsers of `quaclrs`."""
    parser = commands.add_parser(
        "annotate",
        help="label every recording of an archive, in one table",
        description="Say what is heard when in every recording below folders. Stopped and started again, or started on "
        "several machines at once, it goes on with the next file.",
    )
    add = parser.add_argument
    add("sounds", nargs="+", metavar="FILE_OR_DIR", help="WAV, FLAC, Ogg, MP3, AIFF …, or a folder of them")
    add("--output", type=Path, required=True, metavar="TABLE", help="ends in .parquet, .csv or .jsonl; or a folder")
    add("--format", choices=_FORMATS, help="audacity or raven: a table for each file, in the folder --output")
    add_model_options(parser)
    add("--hop", type=float, metavar="S", help="seconds from one window to the next (default: the model's window)")
    add("--refine", type=int, default=1, metavar="N", help="extra windows between two that differ (default 1)")
    add_answer_options(parser, "a moment is")
    add("--batch-size", type=int, metavar="N", help="windows at once (default: 1 by ONNX Runtime, 16 by PyTorch)")
    add_channel_option(parser)
    add("--embeddings", type=Path, metavar="DIR", help="keep the embeddings of all windows, an .npy for each file")
    add("--quiet", action="store_true", help="show no progress")
    parser.set_defaults(run=run_annotate)


def run_annotate(options: argparse.Namespace) -> int:
    """Write the tables and name broken files on stderr; 2 if there are any, but 0 as one of several processes."""
    from ..archive.annotate import Part, annotate
    from ..archive.hearing import HearingOptions
    from ..archive.page import duration
    from ..archive.tables import format_of
    from ..errors import QuaclrsError
    from ..evaluation.reports.tables import counted
    from ..inference.onnx import OnnxClassifier, usable_cores

    if options.batch_size is not None and options.batch_size < 1:
        raise QuaclrsError(f"--batch-size is {options.batch_size}; it must be 1 or more")
    refuse_no_threads(options)
    format_of(options.output, options.format)
    part = Part.of_environment()
    threads = options.threads or max(1, usable_cores() // part.on_this_machine)
    options.threads = 1
    if options.device == "cuda" and part.on_this_machine > 1:
        options.device = f"cuda:{part.local_rank}"
    classifier = load_model(options)
    # PyTorch shares one batch among its threads; ONNX Runtime runs a batch a thread, which waits for nobody.
    workers = threads if isinstance(classifier, OnnxClassifier) else 1
    if not isinstance(classifier, OnnxClassifier):
        import torch

        torch.set_num_threads(threads)
    names = ("hop", "refine", "channel", "group_sirens")
    asked = HearingOptions(
        batch_size=options.batch_size or (1 if isinstance(classifier, OnnxClassifier) else 16),
        **{name: getattr(options, name) for name in names},
        min_score=min_score_of(options, classifier),
        embeddings=options.embeddings,
    )
    outcome = annotate(
        classifier,
        options.sounds,
        options.output,
        asked,
        model=_digest_of(options.model),
        style=options.format,
        workers=workers,
        progress=not options.quiet,
        part=part,
    )
    if part.rank:
        return 0
    for error in outcome.broken.values():
        print_error(error)
    heard = f"{duration(3600 * outcome.hours)} in {outcome.files - len(outcome.broken):,}"
    print(f"{options.output}: {heard} of {counted(outcome.files, 'file')}", file=sys.stderr)
    # Launchers of several processes take any other status than 0 for a crash, and end the rest.
    return 2 if outcome.broken and part.processes == 1 else 0


def _digest_of(model: str | None) -> str:
    """Digest of a model's weights, or of the graph of an export."""
    from ..files import digest_of
    from ..saved_model import GRAPH, WEIGHTS, find_model_folder

    folder = find_model_folder(model)
    with (folder / (WEIGHTS if (folder / WEIGHTS).is_file() else GRAPH)).open("rb") as file:
        return digest_of(file, "sha256")
