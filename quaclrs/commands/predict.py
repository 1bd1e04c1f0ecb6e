"""`quaclrs predict`: labels of sound files, of whole folders, or of standard input."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any

from ..errors import QuaclrsError, print_error, printable
from ..evaluation.reports.tables import percent
from .model_options import add_channel_option, add_model_options, load_model
from .one_sound import expand_sounds, read_sound


def add_predict_command(commands: Any) -> None:
    """Register the command with the subparsers of `quaclrs`."""
    parser = commands.add_parser(
        "predict", help="label sound files", description="Label sound files, or all below a folder."
    )
    add = parser.add_argument
    add("files", nargs="+", metavar="FILE_OR_DIR", help="WAV, FLAC, Ogg, MP3, AIFF …; - for standard input")
    add_model_options(parser)
    add("--top-k", type=int, default=3, metavar="N", help="labels a file (default 3)")
    add("--min-score", type=float, default=0.0, metavar="S", help="below this best score, 0 to 1, a file is `unsure`")
    add("--batch-size", type=int, default=8, metavar="N", help="files at once (default 8)")
    add_channel_option(parser)
    add("--json", action="store_true", help="one JSON object a file and line")
    parser.set_defaults(run=run_predict)


def run_predict(options: argparse.Namespace) -> int:
    """Label every file that can be read; name the others on stderr and return 2 if there are any."""
    for name in ("top_k", "batch_size"):
        if getattr(options, name) < 1:
            raise QuaclrsError(f"--{name.replace('_', '-')} is {getattr(options, name)}; it must be 1 or more")
    if not 0 <= options.min_score <= 1:
        raise QuaclrsError(f"--min-score is {options.min_score:g}; it must be from 0 to 1")
    from tqdm import tqdm

    from ..audio import AudioError, Recording

    files, broken = expand_sounds(options.files)
    classifier = load_model(options)
    longest = classifier.longest_read
    decoded: list[str] = []
    # A bar where somebody waits for a whole folder; it must not run through the lines of results.
    bar = tqdm(files, unit="file", disable=None if len(files) > len(options.files) else True, leave=False)

    def recordings() -> Iterator[Recording]:
        nonlocal broken
        for file in bar:
            try:
                recording = read_sound(file, longest, options.channel)
            except AudioError as error:
                broken += 1
                with bar.external_write_mode():
                    print_error(error)
                continue
            decoded.append(file)
            yield recording

    predictions = classifier.predict_many(
        recordings(), top_k=options.top_k, batch_size=options.batch_size, min_score=options.min_score
    )
    for number, prediction in enumerate(predictions):
        with bar.external_write_mode():
            if options.json:
                line = json.dumps({"file": decoded[number], "predictions": prediction})
            else:
                labels = ", ".join(f"{p['label']} {percent(p['score'])}" for p in prediction)
                line = f"{printable(decoded[number])}: {labels}"
            print(line, flush=True)
    return 2 if broken else 0
