"""The options by which a command is told its model, and the classifier that they name."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..errors import QuaclrsError

if TYPE_CHECKING:
    from ..inference.classifier import AudioClassifier
    from ..inference.loading import Backend

BACKENDS = ("auto", "onnx", "torch")


def add_model_options(parser: argparse.ArgumentParser, backends: bool = True) -> None:
    """Give a command `--model`, `--device` and `--threads`, and `--backend` where ONNX Runtime will do."""
    add = parser.add_argument
    told = "folder of `quaclrs learn`, model/ folder of a run, or a Hub repo; the package's own by default"
    add("--model", metavar="DIR_OR_REPO", help=told)
    if backends:
        add("--backend", choices=BACKENDS, default="auto", help="what runs it (default: onnx if the model has a graph)")
    add("--device", metavar="D", help="of torch: cpu, cuda, mps; by default the best at hand")
    add("--threads", type=int, metavar="N", help="cores to use (default: all)")


def add_answer_options(parser: argparse.ArgumentParser, of_what: str) -> None:
    """Give a command `--min-score`, `--false-alarms` and `--group-sirens`; `of_what` is unsure below a score."""
    add = parser.add_argument
    add("--min-score", type=float, default=0.0, metavar="S", help=f"below this best score, 0 to 1, {of_what} `unsure`")
    add(
        "--false-alarms",
        type=int,
        metavar="N",
        help="--min-score by false alarms an hour, 1 or 10 (see info)",
    )
    add("--group-sirens", action="store_true", help="say `siren` where no vehicle stands out")


def min_score_of(options: argparse.Namespace, classifier: AudioClassifier) -> float:
    """The score that `--min-score` or `--false-alarms` asks for.

    Raises:
        QuaclrsError: it is out of range, both are given, or the model knows no such threshold.
    """
    if not 0 <= options.min_score <= 1:
        raise QuaclrsError(f"--min-score is {options.min_score:g}; it must be from 0 to 1")
    if options.false_alarms is None:
        return float(options.min_score)
    if options.min_score:
        raise QuaclrsError("--min-score and --false-alarms exclude each other; give one")
    return classifier.score_at(options.false_alarms)


def add_channel_option(
    parser: argparse.ArgumentParser, default: str = "mean, or the louder of channels that cancel"
) -> None:
    """Give a command `--channel`; `default` says in its help what is heard without."""
    parser.add_argument(
        "--channel",
        type=_channel,
        metavar="C",
        help=f"1 for the first, left, right or mean (default: {default})",
    )


def add_crop_option(parser: argparse.ArgumentParser) -> None:
    """Give a command `--crop`."""
    parser.add_argument(
        "--crop",
        choices=("whole", "centre"),
        default="whole",
        help="of a sound longer than the model's window, hear all or only the window in the middle (default whole)",
    )


def _channel(text: str) -> str:
    from ..models.waveforms import channel_number

    try:
        channel_number(text, 1 << 16)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def refuse_no_threads(options: argparse.Namespace) -> None:
    """Raise a `QuaclrsError` where `--threads` is given and below 1."""
    if options.threads is not None and options.threads < 1:
        raise QuaclrsError(f"--threads is {options.threads}; it must be 1 or more, or left out for all cores")


def load_model(options: argparse.Namespace) -> AudioClassifier:
    """The classifier that a command was told of; torch is imported only where it runs the model.

    Raises:
        QuaclrsError: the options exclude each other, or the model cannot be loaded.
    """
    backend: Backend = getattr(options, "backend", "torch")
    refuse_no_threads(options)
    if options.device and backend == "onnx":
        raise QuaclrsError("--device has no use with --backend onnx, which runs on the CPU; leave it out")
    from ..inference.loading import load_classifier

    return load_classifier(options.model, options.device, backend=backend, threads=options.threads or 0)
