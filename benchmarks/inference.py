"""Time from a sound file to its label, warm and from a cold start, beside other ways.

`python -m benchmarks.inference [--model DIR] [--recordings DIR]` times PyTorch, the model's own graph by ONNX and an
export in int8 in turn on the same files, with the least that any way must do (decode, windowed FFT, the bare timm
networks), with YAMNet alone by ONNX, and with Transformers' own model for the task, the Audio
Spectrogram Transformer with random weights. Starts are processes of their own.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch
from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

from quaclrs import load_classifier
from quaclrs.audio import load_audio
from quaclrs.errors import CommandParser, QuaclrsError, report_user_errors
from quaclrs.evaluation.records import add_json_option, command_of, write_record
from quaclrs.inference.export import export_onnx
from quaclrs.inference.onnx import INT8, load_onnx_classifier
from quaclrs.inference.pytorch import TorchClassifier
from quaclrs.inference.quantization import quantize_export
from quaclrs.models import (
    LogMelConfig,
    QuaclrsConfig,
    QuaclrsFeatureExtractor,
    QuaclrsForAudioClassification,
    find_backbone,
)

from .timing import Timing, choose_files, compare, run_with_threads, time_in_turn

#: Files that are classified, and the sizes of batch.
FILES, BATCHES = 32, (1, 8, 32)


def write_noise(folder: Path) -> Path:
    """Files of 4 s of seeded noise, for a machine without recordings; the folder."""
    generator = np.random.default_rng(0)
    for number in range(FILES):
        soundfile.write(folder / f"{number:02}.wav", generator.normal(0, 0.1, 4 * 48_000), 48_000)
    return folder


def floor_of(classifier: TorchClassifier) -> Callable[[list[Path]], object]:
    """Decode, one windowed FFT an encoder, one pass of its bare network: nothing between them, and no answer."""
    c = classifier.log_mel_config
    encoders = [classifier.model.quaclrs, *classifier.model.quaclrs.more_encoders]

    @torch.inference_mode()
    def run(files: list[Path]) -> object:
        waveforms = torch.from_numpy(np.stack([c.fit(load_audio(file, c.sampling_rate)) for file in files]))
        for encoder in encoders:
            own = encoder.config.log_mel_config
            for waveform in waveforms:
                padded = torch.nn.functional.pad(waveform, (own.n_fft // 2, own.n_fft // 2))
                torch.fft.rfft(padded.unfold(0, own.n_fft, own.hop_length) * encoder.log_mel.window)
            pictures = torch.zeros(len(files), 3, *own.picture_size)
            backbone = encoder.backbone
            backbone.network(pictures if backbone.patch_width is None else backbone.split(pictures))
        return None

    return run


def yamnet_alone(folder: Path) -> Path:
    """An export of YAMNet with a random classifier."""
    front_end = LogMelConfig(**find_backbone("yamnet").log_mel, image_size=64, image_width=384).to_dict()
    model = QuaclrsForAudioClassification(QuaclrsConfig(backbone="yamnet", log_mel=front_end, num_labels=13))
    export_onnx(TorchClassifier(model.eval(), QuaclrsFeatureExtractor(log_mel=front_end)), folder)
    return folder


def audio_spectrogram_transformer() -> Callable[[list[Path]], object]:
    """Transformers' class for the task, as its documentation runs it, but decoded by us: it would need FFmpeg."""
    extractor, model = ASTFeatureExtractor(), ASTForAudioClassification(ASTConfig()).eval()

    @torch.inference_mode()
    def run(files: list[Path]) -> object:
        waveforms = [load_audio(file, extractor.sampling_rate) for file in files]
        inputs = extractor(waveforms, sampling_rate=extractor.sampling_rate, return_tensors="pt")
        return model(**inputs).logits.softmax(-1)

    return run


def print_latencies(
    model: str | None, classifier: TorchClassifier, export: Path, files: list[Path], threads: int, rounds: int
) -> list[dict]:
    """Time and print the ways; a row of each batch and way."""
    torch.set_num_threads(threads)
    rows = []
    onnx = load_classifier(model, backend="onnx", threads=threads)
    runs: dict[str, Callable[[list[Path]], object]] = {
        "floor: decode, FFT, bare networks": floor_of(classifier),
        "PyTorch": classifier.probabilities,
        "ONNX": onnx.probabilities,
        "YAMNet alone, ONNX": load_onnx_classifier(export.parent / "yamnet", threads=threads).probabilities,
    }
    if (export / INT8).is_file():
        runs["int8"] = load_onnx_classifier(export, int8=True, threads=threads).probabilities
    slow = {"PyTorch": classifier.probabilities, "AST of Transformers": audio_spectrogram_transformer()}
    print("file to label, ms a file" + " " * 15 + "median   lowest  highest   PyTorch is")
    for size in BATCHES:
        some = files[:size]
        found = time_in_turn({name: (lambda r=run, f=some: r(f), size) for name, run in runs.items()}, rounds)
        for name, timing in found.items():
            print(f"batch {size:>2}  {name:<28}{timing}  {compare(timing, found['PyTorch'])}")
            rows.append({"threads": threads, "from": "file", "batch": size, "way": name, "ms": timing.figure()})
    found = time_in_turn({name: (lambda r=run: r(files[:1]), 1) for name, run in slow.items()}, 3)  # seconds a file
    print(f"batch  1  {'AST of Transformers':<28}{found['AST of Transformers']}  ", end="")
    print(compare(found["AST of Transformers"], found["PyTorch"]))
    rows.append({"threads": threads, "from": "file", "batch": 1, "way": "AST of Transformers, random weights"})
    rows[-1]["ms"] = found["AST of Transformers"].figure()
    waveforms = classifier.prepare(files)
    ways: dict[str, tuple[Callable[[], object], int]] = {
        "with front end, PyTorch": (lambda: classifier.classify(waveforms[:1]), 1),
        "with front end, ONNX": (lambda: onnx.classify(waveforms[:1]), 1),
    }
    for name, timing in time_in_turn(ways, rounds).items():
        print(f"batch  1  {name:<28}{timing}")
        rows.append({"threads": threads, "from": "waveform", "batch": 1, "way": name, "ms": timing.figure()})
    return rows


def print_starts(model: list[str], file: Path, rounds: int) -> list[dict]:
    """Time and print whole processes, in turn; a row of each way."""
    predict = [sys.executable, "-m", "quaclrs.cli", "predict", str(file)]
    ways = {
        "import numpy, onnxruntime, soundfile": [sys.executable, "-c", "import numpy, onnxruntime, soundfile"],
        "quaclrs predict": [*predict, *model],
        "import torch, timm, transformers": [sys.executable, "-c", "import torch, timm, transformers"],
        "quaclrs predict --backend torch": [*predict, *model, "--backend", "torch"],
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, command in ways.items():
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            taken[name].append(time.perf_counter() - began)
    timings = {name: Timing(float(np.median(t)), min(t), max(t)) for name, t in taken.items()}
    print("process start to first label, s" + " " * 10 + "median   lowest  highest")
    for name, timing in timings.items():
        print(f"{name:<38}{timing}  {compare(timing, timings['quaclrs predict'])}")
    return [{"start": name, "seconds": timing.figure()} for name, timing in timings.items()]


@report_user_errors
def main(arguments: list[str] | None = None) -> int:
    parser = CommandParser(prog="python -m benchmarks.inference", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", metavar="DIR", help="model/ folder of a run; the package's own without it")
    parser.add_argument("--recordings", type=Path, metavar="DIR", help="folder of sound files; seeded noise without it")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], metavar="N", help="default: 1 2")
    parser.add_argument("--rounds", type=int, default=9, metavar="N", help="turns of each way (default 9)")
    parser.add_argument("--child", type=int, help="this process's number of threads; set by the parent")
    add_json_option(parser)
    options = parser.parse_args(arguments)
    given = sys.argv[1:] if arguments is None else arguments
    if options.child is None:
        return run_with_threads("benchmarks.inference", given, options.threads, options.json)
    scratch = Path(tempfile.mkdtemp())
    try:
        files = choose_files(options.recordings or write_noise(scratch), FILES)
        if len(set(files)) < FILES:
            raise QuaclrsError(f"--recordings {options.recordings} holds too few sound files; give {FILES} or more")
        classifier = load_classifier(options.model, "cpu", backend="torch")
        export = scratch / "onnx"
        export_onnx(classifier, export)
        yamnet_alone(scratch / "yamnet")
        waveforms = classifier.prepare(files)
        # Float32's answers stand for labels.
        labels = load_onnx_classifier(export).classify(waveforms).argmax(1)
        try:
            quantize_export(export, waveforms, waveforms, labels)
        except QuaclrsError as error:
            print(f"no int8: {error}")
        rows = print_latencies(options.model, classifier, export, files, options.child, options.rounds)
        model = ["--model", options.model] if options.model else []
        rows += print_starts(model, files[0], max(3, options.rounds // 3))
        write_record(options.json, command_of(parser, arguments), rows, add=True)
    finally:
        shutil.rmtree(scratch)
    return 0


if __name__ == "__main__":
    sys.exit(main())
