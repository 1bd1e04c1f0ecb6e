"""Recall and speed of `quaclrs annotate` on an hour of street with known times, beside other ways.

`python -m benchmarks.annotate --data DIR` strings an hour together from UrbanSound8K and ESC-50 in DIR (see
`benchmarks.street_hour`), and prints for several hops

- segment F1: of time, in steps of 0.1 s, leaving out 0.5 s around each true edge; `other` and `silence` are not events;
- event recall: events of which some moment has their label;
- how many times real time one core goes through it, by the processor time of the whole process.

Then speed alone, in turn: with YAMNet alone, window by window as one would write it by hand, with the least that any
way must do (decode, two FFTs, the bare networks, all by ONNX Runtime), and the Audio Spectrogram Transformer. Last,
how time grows with hours.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx_ir
import soundfile
import torch

from quaclrs import load_classifier
from quaclrs.archive import HearingOptions, annotate
from quaclrs.archive.hearing import Ear
from quaclrs.audio import open_sound
from quaclrs.errors import CommandParser, report_user_errors
from quaclrs.evaluation.records import add_json_option, command_of, write_record
from quaclrs.inference.classifier import AudioClassifier
from quaclrs.inference.graphs import traced
from quaclrs.inference.onnx import OnnxClassifier, load_onnx_classifier
from quaclrs.inference.timeline import Segment
from quaclrs.inference.windows import read_windows

from .inference import audio_spectrogram_transformer, yamnet_alone
from .street_hour import Event, held_out, write_hour

#: Labels that are not events, seconds of a step, and seconds around a true edge that do not count.
NO_EVENT, STEP, COLLAR = ("other", "silence", "unsure"), 0.1, 0.5

PARTS = ("accuracy", "speed", "growth")

WAYS = {
    "`--refine 0`": HearingOptions(refine=0),
    "default: one more between two that differ": HearingOptions(),
    "`--hop 2 --refine 0`": HearingOptions(hop=2.0, refine=0),
    "`--hop 1 --refine 0`, as `timeline`": HearingOptions(hop=1.0, refine=0),
}


def segment_f1(segments: Sequence[Segment], events: Sequence[Event], seconds: float) -> float:
    """Compute the F1 of time, in steps."""
    steps = round(seconds / STEP)
    found, true, counts = ([""] * steps, [""] * steps, np.ones(steps, dtype=bool))
    for labels, parts in ((found, segments), (true, events)):
        for part in parts:
            if part.label not in NO_EVENT:
                first, last = round(part.start / STEP), min(steps, round(part.end / STEP))
                labels[first:last] = [part.label] * (last - first)
    for edge in (edge for event in events for edge in (event.start, event.end)):
        counts[max(0, round((edge - COLLAR) / STEP)) : round((edge + COLLAR) / STEP)] = False
    right = sum(f == t != "" for f, t, c in zip(found, true, counts, strict=True) if c)
    named = sum((f != "") + (t != "") for f, t, c in zip(found, true, counts, strict=True) if c)
    return 2 * right / named if named else 0.0


def event_recall(segments: Sequence[Segment], events: Sequence[Event]) -> float:
    """Share of events of which some moment has their label."""
    heard = [any(s.label == e.label and s.start < e.end and e.start < s.end for s in segments) for e in events]
    return sum(heard) / len(events)


def processor_seconds(run: Callable[[], object]) -> float:
    """Measure processor time of a call, all threads of this process."""
    begun = time.process_time()
    run()
    return time.process_time() - begun


def by_annotate(classifier: AudioClassifier, file: Path, options: HearingOptions) -> list[Segment]:
    with ThreadPoolExecutor(1) as executor:
        return list(Ear(classifier, executor, 2, options).segments(file))


def window_by_window(classifier: AudioClassifier, file: Path) -> None:
    """Decode, cut and score one window at a time, as one would write it by hand."""
    for window in read_windows(file, classifier.sampling_rate, 4.0, 4.0):
        classifier.score([window])


def floor_of(file: Path) -> Callable[[], object]:
    """Decode, a windowed FFT for each network, and the bare networks: nothing between them, and no answer."""
    model = load_classifier(None, "cpu", backend="torch").model.quaclrs
    networks = []
    for encoder in (model, *model.more_encoders):
        own, backbone = encoder.config.log_mel_config, encoder.backbone
        pictures = torch.zeros(2, 3, *own.picture_size)
        patches = pictures if backbone.patch_width is None else backbone.split(pictures)
        graph = traced(backbone.network.eval(), patches, "pictures", "features")
        import onnxruntime  # after quaclrs, which turns its telemetry off

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        content = onnx_ir.to_proto(graph).SerializeToString()
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        one = patches[: len(patches) // 2].numpy()
        window = np.hanning(own.n_fft).astype(np.float32)
        networks.append((session, one, own, window))

    def run() -> None:
        with open_sound(file) as sound:
            for block in sound.blocks(4 * sound.sampling_rate):
                mono = block[:, 0]
                for session, one, own, window in networks:
                    frames = np.lib.stride_tricks.sliding_window_view(mono, own.n_fft)[:: own.hop_length]
                    np.fft.rfft(frames * window)
                    session.run(None, {"pictures": one})

    return run


def print_accuracy(classifier: OnnxClassifier, file: Path, events: Sequence[Event], seconds: float) -> list[dict]:
    """Print the figures of each way; a row of each."""
    rows = []
    print(f"{'':<44}segment F1  event recall  x real time a core")
    for name, options in WAYS.items():
        segments: list[Segment] = []
        taken = processor_seconds(lambda o=options, s=segments: s.extend(by_annotate(classifier, file, o)))
        f1, recall = segment_f1(segments, events, seconds), event_recall(segments, events)
        print(f"{name:<44}{f1:>10.1%}{recall:>14.1%}{seconds / taken:>20.0f}", flush=True)
        rows.append({"part": "accuracy", "way": name, "f1": f1, "recall": recall, "real_time": seconds / taken})
    return rows


def print_speed(package: OnnxClassifier, file: Path, rounds: int, scratch: Path) -> list[dict]:
    """Time ways in turn on ten minutes of the hour, and print them; a row of each."""
    samples, rate = soundfile.read(file, frames=600 * 48_000, dtype="int16")
    short = scratch / "ten_minutes.wav"
    soundfile.write(short, samples, rate)
    yamnet = load_onnx_classifier(yamnet_alone(scratch / "yamnet"), threads=1)
    plain, transformer = HearingOptions(refine=0), audio_spectrogram_transformer()
    torch.set_num_threads(1)
    clip = scratch / "clip.wav"
    soundfile.write(clip, samples[: 10 * rate], rate)
    ways: dict[str, tuple[Callable[[], object], float]] = {
        "least that any way must do: decode, two FFTs, the bare networks by ONNX Runtime": (floor_of(short), 600),
        "`annotate --refine 0`": (lambda: by_annotate(package, short, plain), 600),
        "`annotate`, in this busy hour": (lambda: by_annotate(package, short, HearingOptions()), 600),
        "window by window, written by hand, no windows between": (lambda: window_by_window(package, short), 600),
        "`annotate --refine 0`, YAMNet alone": (lambda: by_annotate(yamnet, short, plain), 600),
        "YAMNet alone, window by window, written by hand": (lambda: window_by_window(yamnet, short), 600),
        "AST of Transformers (86 million parameters), clips of 10 s": (lambda: transformer([clip]), 10),
    }
    factors: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (run, seconds) in ways.items():
            factors[name].append(seconds / processor_seconds(run))
    print(f"\n{'':<82}median   lowest  highest   x real time a core")
    for name, found in factors.items():
        print(f"{name:<82}{np.median(found):>6.0f}{min(found):>9.0f}{max(found):>9.0f}")
    return [
        {"part": "speed", "way": name, "real_time": {"value": np.median(found), "low": min(found), "high": max(found)}}
        for name, found in factors.items()
    ]


def print_growth(classifier: OnnxClassifier, file: Path, hours: Sequence[int], cores: int, scratch: Path) -> list[dict]:
    """Time the whole command's work, journal and table too, on more and more copies of the hour; a row of each."""
    rows = []
    print(f"\nhours   processor s an hour   wall s an hour, {cores} workers")
    for count in hours:
        folder = scratch / f"{count}_hours"
        folder.mkdir()
        for number in range(count):
            os.link(file, folder / f"{number:03}.wav")
        begun = time.perf_counter()
        taken = processor_seconds(
            lambda f=folder: annotate(classifier, [f], f"{f}.csv", workers=cores, model="benchmark")
        )
        wall = time.perf_counter() - begun
        print(f"{count:>5}{taken / count:>22.1f}{wall / count:>17.1f}", flush=True)
        rows.append({"part": "growth", "hours": count, "processor_seconds": taken / count, "seconds": wall / count})
    return rows


@report_user_errors
def main(arguments: list[str] | None = None) -> int:
    parser = CommandParser(prog="python -m benchmarks.annotate", description=(__doc__ or "").split("\n")[0])
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="DIR", help="folder with UrbanSound8K and ESC-50")
    add("--seconds", type=float, default=3600.0, help="of the street (default 3600)")
    add("--parts", nargs="+", choices=PARTS, default=PARTS, metavar="P", help=f"of {', '.join(PARTS)} (default: all)")
    add("--rounds", type=int, default=3, metavar="N", help="turns of each way (default 3)")
    add("--hours", type=int, nargs="+", default=[1, 2], metavar="N", help="copies, for growth (default 1 2)")
    add_json_option(parser)
    options = parser.parse_args(arguments)
    rows: list[dict] = []
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        hour = scratch / "street.wav"
        events = write_hour(options.data, hour, options.seconds)
        print(f"{len(events)} events of {sum(e.end - e.start for e in events):.0f} s in {options.seconds:.0f} s\n")
        package = load_onnx_classifier(threads=1)
        if "accuracy" in options.parts:
            rows += print_accuracy(held_out(package, options.data), hour, events, options.seconds)
        if "speed" in options.parts:
            rows += print_speed(package, hour, options.rounds, scratch)
        if "growth" in options.parts:
            rows += print_growth(package, hour, options.hours, len(os.sched_getaffinity(0)), scratch)
    write_record(options.json, command_of(parser, arguments), rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
