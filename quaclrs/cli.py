"""The `quaclrs` command. Torch is imported only by what needs it, so `--help` answers at once."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator

from . import __version__
from .commands.evaluate import add_evaluate_command
from .errors import CommandParser, QuaclrsError, report_user_errors


def make_parser() -> CommandParser:
    parser = CommandParser(prog="quaclrs", description="Classify urban sounds.")
    parser.add_argument("--version", action="version", version=f"quaclrs {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    predict = commands.add_parser("predict", help="label sound files", description="Label sound files.")
    predict.add_argument("files", nargs="+", metavar="FILE", help="WAV, FLAC, Ogg, MP3, AIFF … of any rate and length")
    predict.add_argument("--model", required=True, metavar="DIR_OR_REPO", help="model/ folder of a run, or a Hub repo")
    predict.add_argument("--top-k", type=int, default=3, metavar="N", help="labels a file (default 3)")
    predict.add_argument("--device", metavar="D", help="cpu, cuda, mps; the best at hand by default")
    predict.add_argument("--batch-size", type=int, default=8, metavar="N", help="files at once (default 8)")
    predict.add_argument("--json", action="store_true", help="one JSON object a file and line")
    predict.set_defaults(run=run_predict)
    add_evaluate_command(commands)
    return parser


@report_user_errors
def main(arguments: list[str] | None = None) -> int:
    options = make_parser().parse_args(arguments)
    return options.run(options)


def run_predict(options: argparse.Namespace) -> int:
    """Label every file that can be read; name the others on stderr and return 2 if there are any."""
    for name in ("top_k", "batch_size"):
        if getattr(options, name) < 1:
            raise QuaclrsError(f"--{name.replace('_', '-')} is {getattr(options, name)}; it must be 1 or more")
    from transformers.utils.logging import disable_progress_bar

    from .audio import AudioError, Recording, read_recording
    from .inference import load_classifier

    disable_progress_bar()
    classifier = load_classifier(options.model, options.device)
    decoded: list[str] = []
    broken = 0

    def recordings() -> Iterator[Recording]:
        nonlocal broken
        for file in options.files:
            try:
                recording = read_recording(file)
            except AudioError as error:
                broken += 1
                print(f"error: {error}", file=sys.stderr, flush=True)
                continue
            decoded.append(file)
            yield recording

    predictions = classifier.predict_many(recordings(), top_k=options.top_k, batch_size=options.batch_size)
    for number, prediction in enumerate(predictions):
        if options.json:
            print(json.dumps({"file": decoded[number], "predictions": prediction}, ensure_ascii=False), flush=True)
        else:
            labels = ", ".join(f"{p['label']} {p['score']:.1%}" for p in prediction)
            print(f"{decoded[number]}: {labels}", flush=True)
    return 2 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
