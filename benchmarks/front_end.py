"""Speed of the front end beside librosa, torchaudio, the paper's own way and the FFT alone, and how equal it is.

`python -m benchmarks.front_end --recordings DIR` prints, for one thread and for two, milliseconds a clip in batches of
1, 8 and 32, the time of the parts, and the largest deviation from librosa. All ways get the same 4 s clips. With one
thread it is processor time, which other programs change less.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import torch
import torchaudio
from PIL import Image
from torch.profiler import ProfilerActivity, profile, record_function

from quaclrs import LogMelConfig, LogMelSpectrogram, QuaclrsConfig, QuaclrsModel
from quaclrs.errors import CommandParser, report_user_errors
from quaclrs.evaluation.figures.style import empty_figure
from quaclrs.evaluation.records import add_json_option, command_of, write_record

from .timing import compare, read_clips, run_with_threads, time_in_turn

CONFIG = LogMelConfig()

WINDOW = torch.hann_window(CONFIG.n_fft)

#: What PyTorch's operations do in the front end; others (views, new memory) are "the rest".
_PARTS = {
    "copies": ("copy_", "fill_"),
    "frames times window": ("mul",),
    "FFT": ("_fft_r2c",),
    "power": ("square_", "pow_", "add"),
    "filterbank": ("_embedding_bag", "_embedding_bag_forward_only"),
    "logarithm": ("log10_",),
    "maximum, floor, scale": ("amax", "gt", "sub_", "mul_", "add_", "clamp_"),
}


def floor(waveforms: torch.Tensor) -> None:
    """The windowed real FFT of the same frames alone, in chunks that stay in cache: nothing can be faster with it."""
    room = torch.empty(128 * torch.get_num_threads(), CONFIG.n_fft)
    for waveform in waveforms:
        padded = torch.nn.functional.pad(waveform, (CONFIG.n_fft // 2, CONFIG.n_fft // 2))
        for frames in padded.unfold(-1, CONFIG.n_fft, CONFIG.hop_length).split(len(room)):
            torch.fft.rfft(torch.mul(frames, WINDOW, out=room[: len(frames)]))


def by_librosa(waveforms: np.ndarray) -> np.ndarray:
    c = CONFIG
    options = {"n_fft": c.n_fft, "hop_length": c.hop_length, "n_mels": c.n_mels, "fmin": c.f_min, "fmax": c.f_max}
    mels = [librosa.feature.melspectrogram(y=y, sr=c.sampling_rate, pad_mode="constant", **options) for y in waveforms]
    return np.stack([librosa.power_to_db(mel, ref=np.max, top_db=c.top_db) for mel in mels])


class Torchaudio:
    """torchaudio's transforms with the parameters that make them equal to librosa's."""

    def __init__(self) -> None:
        c = CONFIG
        self.mel = torchaudio.transforms.MelSpectrogram(
            c.sampling_rate, c.n_fft, hop_length=c.hop_length, f_min=c.f_min, f_max=c.f_max, n_mels=c.n_mels,
            norm="slaney", mel_scale="slaney", pad_mode="constant",
        )  # fmt: skip

    def __call__(self, waveforms: torch.Tensor) -> torch.Tensor:
        mel = self.mel(waveforms).clamp(min=CONFIG.amin)
        decibels = 10 * torch.log10(mel)
        return (decibels - decibels.amax((-2, -1), keepdim=True)).clamp(min=-CONFIG.top_db)

    def clip_by_clip(self, waveforms: torch.Tensor) -> torch.Tensor:
        return torch.stack([self(waveform) for waveform in waveforms])


def papers_way(waveforms: np.ndarray) -> np.ndarray:
    """librosa, a matplotlib figure saved as PNG, read back and resized: pictures (batch, 224, 224, 3)."""
    pictures = []
    for decibels in by_librosa(waveforms):
        figure = empty_figure(4, 4, layout=None)
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set_axis_off()
        librosa.display.specshow(
            decibels, sr=CONFIG.sampling_rate, hop_length=CONFIG.hop_length, x_axis="time", y_axis="mel",
            fmin=CONFIG.f_min, fmax=CONFIG.f_max, ax=axes,
        )  # fmt: skip
        file = io.BytesIO()
        figure.savefig(file, format="png")
        size = (CONFIG.image_size, CONFIG.image_size)
        pictures.append(np.asarray(Image.open(file).convert("RGB").resize(size), dtype=np.float32) / 255)
    return np.stack(pictures)


def time_parts(front_end: LogMelSpectrogram, waveforms: torch.Tensor, rounds: int) -> dict[str, float]:
    """Milliseconds a clip of each part, by PyTorch's profiler: medians over clips, one at a time, and rounds."""
    part_of = {f"aten::{operation}": part for part, operations in _PARTS.items() for operation in operations}
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as profiled:
        for waveform in waveforms.repeat(rounds, 1):
            with record_function("clip"):
                front_end(waveform)
    taken: dict[str, list[float]] = {part: [] for part in [*_PARTS, "the rest"]}
    for clip in (event for event in profiled.events() if event.key == "clip"):
        of_clip = dict.fromkeys(taken, 0.0)
        for event in _with_children(clip):
            of_clip[part_of.get(event.key, "the rest")] += event.self_cpu_time_total / 1000
        for part, milliseconds in of_clip.items():
            taken[part].append(milliseconds)
    return {part: float(np.median(milliseconds)) for part, milliseconds in taken.items()}


def _with_children(event: Any) -> Iterator[Any]:
    yield event
    for child in event.cpu_children:
        yield from _with_children(child)


@torch.inference_mode()
def print_tables(clips: list[np.ndarray], threads: int, rounds: int) -> list[dict]:
    """Time and print all ways; a row of each."""
    torch.set_num_threads(threads)
    clock = time.process_time if threads == 1 else time.perf_counter
    waveforms = torch.from_numpy(np.stack([CONFIG.fit(clip) for clip in clips]))
    ours, torchaudio_s = LogMelSpectrogram(CONFIG), Torchaudio()
    expected = by_librosa(waveforms.numpy())
    deviations = {
        "ours": np.abs((ours(waveforms).numpy() - 1) * CONFIG.top_db - expected).max(),
        "torchaudio": np.abs(torchaudio_s(waveforms).numpy() - expected).max(),
    }
    print("largest deviation from librosa: " + ", ".join(f"{name} {d:.4f} dB" for name, d in deviations.items()))
    rows: list[dict] = [{"threads": threads, "way": name, "deviation_db": d} for name, d in deviations.items()]
    print("waveform to log-mel, ms a clip" + " " * 9 + "median   lowest  highest   ours is")
    for size in (1, 8, 32):
        batch = waveforms[:size]
        ways: dict[str, tuple[Callable[[], object], int]] = {
            "ours": (lambda b=batch: ours(b), size),
            "floor: windowed FFT": (lambda b=batch: floor(b), size),
            "torchaudio, clip by clip": (lambda b=batch: torchaudio_s.clip_by_clip(b), size),
            "torchaudio, batch": (lambda b=batch: torchaudio_s(b), size),
            "librosa": (lambda b=batch: by_librosa(b.numpy()), size),
        }
        found = time_in_turn(ways, rounds, clock)
        for name, timing in found.items():
            print(f"batch {size:>2}  {name:<26}{timing}  {compare(timing, found['ours'])}")
            rows.append({"threads": threads, "batch": size, "way": name, "ms": timing.figure()})
    parts = time_parts(ours, waveforms, rounds)
    bare = parts["frames times window"] + parts["FFT"]
    print("parts of ours, clip by clip, by the profiler: ms, and beside window and FFT")
    for part, milliseconds in {**parts, "all": sum(parts.values())}.items():
        print(f"          {part:<26}{milliseconds:9.3f}{milliseconds / bare:9.2f}")
    model = QuaclrsModel(QuaclrsConfig(backbone="mobilenetv3_small_050")).eval()
    eight = waveforms[:8]
    found = time_in_turn(
        {
            "ours": (lambda: model.pictures(model.log_mel(waveforms)), len(waveforms)),
            "the paper's way": (lambda: papers_way(eight.numpy()), len(eight)),
        },
        min(rounds, 5),
        clock,
    )
    print(f"waveform to {CONFIG.image_size}x{CONFIG.image_size} pictures, ms a clip")
    for name, timing in found.items():
        size = len(waveforms) if name == "ours" else len(eight)
        print(f"batch {size:>2}  {name:<26}{timing}  {compare(timing, found['ours'])}")
        rows.append({"threads": threads, "batch": size, "way": f"pictures: {name}", "ms": timing.figure()})
    return rows


@report_user_errors
def main(arguments: list[str] | None = None) -> int:
    parser = CommandParser(prog="python -m benchmarks.front_end", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--recordings", type=Path, metavar="DIR", help="folder of recordings; seeded noise without it")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], metavar="N", help="default: 1 2")
    parser.add_argument("--rounds", type=int, default=9, metavar="N", help="turns of each way (default 9)")
    parser.add_argument("--child", type=int, help="this process's number of threads; set by the parent")
    add_json_option(parser)
    options = parser.parse_args(arguments)
    clips = read_clips(options.recordings, 32, CONFIG.sampling_rate, CONFIG.duration)
    if options.child is None:
        given = sys.argv[1:] if arguments is None else arguments
        return run_with_threads("benchmarks.front_end", given, options.threads, options.json)
    rows = print_tables(clips, options.child, options.rounds)
    write_record(options.json, command_of(parser, arguments), rows, add=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
