"""`quaclrs predict`: labels of sound files, of whole folders, or of standard input."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, BinaryIO

from ..errors import QuaclrsError, print_error, printable
from ..evaluation.reports.tables import heard_seconds, percent
from .model_options import (
    add_answer_options,
    add_channel_option,
    add_crop_option,
    add_model_options,
    load_model,
    min_score_of,
)
from .one_sound import expand_sounds, opened_sound

if TYPE_CHECKING:
    from ..audio import AudioError
    from ..inference.hearing import Heard


def add_predict_command(commands: Any) -> None:
    """Register the command with the subparsers of `quaclrs`."""
    parser = commands.add_parser(
        "predict", help="label sound files", description="Label sound files, or all below a folder."
    )
    add = parser.add_argument
    add("files", nargs="+", metavar="FILE_OR_DIR", help="WAV, FLAC, Ogg, MP3, AIFF …; - for standard input")
    add_model_options(parser)
    add("--top-k", type=int, default=3, metavar="N", help="labels a file (default 3)")
    add_answer_options(parser, "a file is")
    add("--batch-size", type=int, default=8, metavar="N", help="windows at once (default 8)")
    add_channel_option(parser)
    add_crop_option(parser)
    add("--json", action="store_true", help="one JSON object a file and line")
    parser.set_defaults(run=run_predict)


def run_predict(options: argparse.Namespace) -> int:
    """Label every file that can be read; name the others on stderr and return 2 if there are any."""
    for name in ("top_k", "batch_size"):
        if getattr(options, name) < 1:
            raise QuaclrsError(f"--{name.replace('_', '-')} is {getattr(options, name)}; it must be 1 or more")
    files, broken = expand_sounds(options.files)
    classifier = load_model(options)
    options.min_score = min_score_of(options, classifier)
    bar: Iterable[str] = files
    aside: Callable[[], AbstractContextManager[None]] = nullcontext
    if len(files) > len(options.files) and sys.stderr is not None and sys.stderr.isatty():
        from tqdm import tqdm

        # Somebody waits for a whole folder. The bar must not run through the lines of results.
        bar = tqdm(files, unit="file", leave=False)
        aside = bar.external_write_mode

    def say_broken(place: int, error: AudioError) -> None:
        nonlocal broken
        broken += 1
        with aside():
            print_error(error)

    sounds: Iterator[str | BinaryIO] = map(opened_sound, bar)
    for heard in classifier.hear(
        sounds, batch_size=options.batch_size, channel=options.channel, crop=options.crop, on_error=say_broken
    ):
        with aside():
            print(_line_of(files[heard.place], heard, options, classifier.log_mel_config.duration), flush=True)
    return 2 if broken else 0


def _line_of(file: str, heard: Heard, options: argparse.Namespace, window: float) -> str:
    """A file's labels and, where it is longer than the model's window, the seconds that they are of."""
    prediction = heard.ranking(options.top_k, options.min_score, options.group_sirens)
    if options.json:
        times = {"heard": round(heard.seconds, 3), "duration": round(heard.duration, 3)}
        return json.dumps({"file": file, "predictions": prediction, **times})
    labels = ", ".join(f"{entry['label']} {percent(entry['score'])}" for entry in prediction)
    extent = f" ({heard_seconds(heard.seconds, heard.duration)})" if heard.duration > window else ""
    return f"{printable(file)}: {labels}{extent}"
