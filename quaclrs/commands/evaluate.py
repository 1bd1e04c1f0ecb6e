"""`quaclrs evaluate`: a model over a data set, clean and under noise, as tables, files and figures."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..default_model import PACKAGED
from ..errors import QuaclrsError, print_error
from ..files import refuse_used_folder
from .model_options import add_channel_option, add_crop_option, add_model_options, load_model

if TYPE_CHECKING:
    from ..inference.windows import Window

_MOST_DECIBELS = 100.0


def add_evaluate_command(commands: Any) -> None:
    """Register the command with the subparsers of `quaclrs`."""
    parser = commands.add_parser(
        "evaluate",
        help="score a model on a data set, also under noise",
        description="Score a model on a fold of UrbanSound13 or on another data set, also under noise.",
    )
    add = parser.add_argument
    add_model_options(parser, backends=False)
    add(
        "--dataset",
        required=True,
        metavar="DIR_OR_REPO",
        help="UrbanSound13; or any, with --label-map; or a folder of sounds with a table or a sub-folder a class",
    )
    add("--fold", type=int, metavar="K", help="test fold of UrbanSound13 (default: every clip)")
    add("--split", metavar="NAME", help="split of that fold, or of another data set (default test)")
    add(
        "--protocol",
        choices=("strict", "paper"),
        default="strict",
        help="how folds were dealt: strict, or as the paper did (default strict)",
    )
    add("--noise", metavar="gaussian|DIR", help="also under Gaussian noise, or that of recordings (their test side)")
    add(
        "--snr",
        type=parse_snrs,
        metavar="LIST",
        help="signal-to-noise ratios in dB (default clean,20,15,10,5,0,-5; one that begins with a minus: --snr=-5,0)",
    )
    add("--seed", type=int, default=0, metavar="N", help="seed of the noise (default 0)")
    add("--label-map", metavar="FILE", help="YAML or JSON, `their_label: our_label`, or null to leave out")
    add("--label-column", metavar="NAME", help="of another data set, or of the table in a folder (default label)")
    add("--skip-broken", action="store_true", help="leave out clips that cannot be decoded, and name them")
    add("--only-mapped-classes", action="store_true", help="predict only classes that the map leads to")
    add("--batch-size", type=int, default=32, metavar="N", help="windows at once (default 32)")
    add_channel_option(parser)
    add_crop_option(parser)
    add("--output-dir", metavar="DIR", help="new folder for metrics, predictions, tables and plots")
    add("--json", action="store_true", help="print one JSON object instead of tables")
    parser.set_defaults(run=run_evaluate, extra="train")


def parse_snrs(text: str) -> tuple[float, ...]:
    """`clean,20,-5` as decibels, infinite for `clean`, in falling order. Clean clips are always among them.

    Raises:
        argparse.ArgumentTypeError: an entry is not a number from -100 to 100.
    """
    snrs = {math.inf}
    for entry in text.split(","):
        if entry.strip() == "clean":
            continue
        try:
            snr_db = float(entry)
        except ValueError:
            snr_db = math.nan
        if not -_MOST_DECIBELS <= snr_db <= _MOST_DECIBELS:
            raise argparse.ArgumentTypeError(f"{entry.strip()!r} is neither clean nor a number of dB from -100 to 100")
        snrs.add(snr_db)
    return tuple(sorted(snrs, reverse=True))


def run_evaluate(options: argparse.Namespace) -> int:
    """Score the model, print the result and write it where `--output-dir` says."""
    _check(options)
    from ..evaluation.reports.evaluation import describe, markdown_report, write_evaluation

    if options.output_dir:
        refuse_used_folder(options.output_dir)
    from datasets import disable_progress_bars
    from tqdm import tqdm

    from ..evaluation.evaluation_clips import choose_clips
    from ..evaluation.foreign_dataset import load_label_map
    from ..evaluation.held_out import find_held_out
    from ..evaluation.robustness import CLEAN, make_noise, metrics_over_snr, probabilities_over_snr
    from ..evaluation.training_data import TrainingData
    from ..inference.pytorch import TorchClassifier

    if not sys.stderr.isatty():
        disable_progress_bars()
    label_map = load_label_map(options.label_map) if options.label_map else None
    classifier = load_model(options)
    noise = make_noise(options.noise, classifier.sampling_rate) if options.noise else None
    clips = choose_clips(
        options.dataset,
        classifier.labels,
        options.fold,
        options.split,
        options.protocol,
        label_map,
        options.label_column,
        options.only_mapped_classes,
    )
    snrs = (options.snr or parse_snrs("clean,20,15,10,5,0,-5")) if noise is not None else (CLEAN,)
    if not options.skip_broken:
        clips.refuse_broken()
    broken: dict[int, str] = {}
    skipped = broken if options.skip_broken else None

    def windows() -> Iterator[tuple[int, Window]]:
        with tqdm(desc="evaluating", total=len(clips), unit="clip", disable=None) as bar:
            for place, window in clips.decode(classifier.log_mel_config, skipped, options.channel, options.crop):
                yield place, window
                bar.update(place + 1 - bar.n)

    probabilities = probabilities_over_snr(
        classifier, windows(), clips.clip_ids, clips.classes, snrs, noise, options.seed, options.batch_size
    )
    for reason in broken.values():
        print_error(reason, "broken")
    clips = clips.without(broken)
    assert isinstance(classifier, TorchClassifier)
    held_out = find_held_out(clips, TrainingData.of_model(classifier.model.config.training_data))
    conditions = metrics_over_snr(probabilities, clips.labels, clips.classes, clips.sources)
    result = describe(options.model or PACKAGED, options.dataset, clips, classifier.labels, held_out, options.crop)
    result |= {key: value for key, value in conditions[0].items() if key != "snr_db"}
    if noise is not None:
        result["robustness"] = {"noise": options.noise, "seed": options.seed, "conditions": conditions}
    print(json.dumps(result, allow_nan=False) if options.json else markdown_report(result), flush=True)
    if options.output_dir:  # last: whatever happens to the files, the result has been seen
        write_evaluation(options.output_dir, result, clips, probabilities[CLEAN])
    return 0


def _check(options: argparse.Namespace) -> None:
    """Refuse options that are out of range or would be ignored."""
    if options.batch_size < 1:
        raise QuaclrsError(f"--batch-size is {options.batch_size}; it must be 1 or more")
    has_fold = options.fold is not None
    chooses_labels = options.split is not None or options.label_column is not None
    is_foreign = bool(options.label_map) or (chooses_labels and not has_fold and _is_folder_of_sounds(options.dataset))
    for given, name, needed, fits in (
        (options.snr is not None, "--snr", "--noise", options.noise),
        (options.split is not None, "--split", "--fold, or --label-map", has_fold or is_foreign),
        (options.protocol == "paper", "--protocol paper", "--fold", has_fold),
        (options.label_column is not None, "--label-column", "--label-map", is_foreign),
        (options.only_mapped_classes, "--only-mapped-classes", "--label-map", options.label_map),
    ):
        if given and not fits:
            raise QuaclrsError(f"{name} has no use without {needed}; add it, or leave {name} out")


def _is_folder_of_sounds(dataset: str) -> bool:
    from ..evaluation.foreign_dataset import is_folder_of_sounds

    return is_folder_of_sounds(dataset)
