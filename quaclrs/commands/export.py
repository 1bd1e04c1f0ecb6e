"""`quaclrs export`: a classifier as ONNX graphs that run without torch."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
from typing import Any

from ..errors import QuaclrsError
from ..evaluation.reports.tables import percent
from ..files import refuse_used_folder


def add_export_command(commands: Any) -> None:
    """Register the command with the subparsers of `quaclrs`."""
    parser = commands.add_parser(
        "export",
        help="write a model as ONNX, to run without torch",
        description="Write a model as ONNX graphs, with a script that runs them without torch.",
    )
    add = parser.add_argument
    add("--model", metavar="DIR_OR_REPO", help="model/ folder of a run, or a Hub repo; the package's own")
    add("--output-dir", metavar="DIR", help="new folder for the export")
    add("--in-place", action="store_true", help="write model.onnx beside the weights instead, for --backend onnx")
    add("--int8-dataset", metavar="DIR", help="also in 8 bits, calibrated on training clips of this data set")
    add("--fold", type=int, metavar="K", help="fold of that data set that the model was not trained on")
    add(
        "--calibration-clips", type=int, default=200, metavar="N", help="training clips to calibrate with (default 200)"
    )
    add("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run_export, extra="torch")


def run_export(options: argparse.Namespace) -> int:
    """Write the export and say how far it is from PyTorch."""
    for given, name, needed in (
        (options.fold is not None and not options.int8_dataset, "--fold", "--int8-dataset"),
        (options.int8_dataset and options.fold is None, "--int8-dataset", "--fold"),
        (options.int8_dataset and options.in_place, "--int8-dataset", "--output-dir"),
    ):
        if given:
            raise QuaclrsError(f"{name} has no use without {needed}; add it, or leave {name} out")
    if options.calibration_clips < 1:
        raise QuaclrsError(f"--calibration-clips is {options.calibration_clips}; it must be 1 or more")
    if bool(options.output_dir) == options.in_place:
        raise QuaclrsError("give either --output-dir DIR, or --in-place to write model.onnx beside the weights")
    if options.in_place:
        return _export_in_place(options)
    refuse_used_folder(options.output_dir)
    from ..inference.export import export_onnx
    from ..inference.loading import load_classifier
    from ..inference.quantization import quantize_export

    classifier = load_classifier(options.model, "cpu", backend="torch")
    clips = _clips_for_int8(classifier, options) if options.int8_dataset else None
    difference = export_onnx(classifier, options.output_dir)
    result: dict[str, Any] = {"folder": options.output_dir, "difference": difference}
    lines = [f"{options.output_dir}: at most {difference:.1e} from PyTorch"]
    if clips is not None:
        accuracy = quantize_export(options.output_dir, *clips)
        result["int8"] = dataclasses.asdict(accuracy)
        lines.append(
            f"int8: {percent(accuracy.int8)} of the clips of fold {options.fold} right, "
            f"float32 {percent(accuracy.float32)}"
        )
    print(json.dumps(result) if options.json else "\n".join(lines))
    return 0


def _export_in_place(options: argparse.Namespace) -> int:
    """Write the graph of the encoder into the model's own folder, and say how far it is from PyTorch."""
    from ..default_model import DEFAULT_MODEL
    from ..files import refuse_unwritable
    from ..inference.encoder_export import write_encoder_graph

    folder = options.model or str(DEFAULT_MODEL)
    if not os.path.isdir(folder):
        raise QuaclrsError(f"--in-place writes into a folder, and --model {folder} is none; download it first")
    refuse_unwritable(folder, "--model")
    difference = write_encoder_graph(folder)
    line = f"{folder}: model.onnx is at most {difference:.1e} from PyTorch"
    print(json.dumps({"folder": folder, "difference": difference}) if options.json else line)
    return 0


def _clips_for_int8(classifier: Any, options: argparse.Namespace) -> tuple[Any, Any, Any]:
    """Waveforms of training clips to calibrate with, and those of the test fold with their labels."""
    import numpy as np

    from ..evaluation.evaluation_clips import choose_clips

    front_end = classifier.log_mel_config

    def clips_of(split: str) -> Any:
        return choose_clips(
            options.int8_dataset, classifier.labels, options.fold, split, "strict", None, "label", False
        )

    train, test = clips_of("train"), clips_of("test")
    chosen = set(np.random.default_rng(0).permutation(len(train))[: options.calibration_clips].tolist())
    calibration, tested = (
        np.stack([front_end.fit(w.waveform) for place, w in clips.decode(front_end, crop="centre") if place in places])
        for clips, places in ((train, chosen), (test, range(len(test))))
    )
    return calibration, tested, test.labels
