"""Cost of the trainer beside the barest PyTorch loop, speed of each backbone, and gain of two processes.

`python -m benchmarks.train_step [--dataset DIR]` times pairs of steps, one of the trainer and one bare, of the
same model, batch and precision; then clips a second of every backbone; then, with a data set, one process with all
threads beside two that share them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset

from quaclrs import QuaclrsForAudioClassification
from quaclrs.errors import CommandParser, report_user_errors
from quaclrs.evaluation.records import add_json_option, command_of, write_record
from quaclrs.labels import CLASS_NAMES
from quaclrs.models import PAPER_BACKBONES, find_backbone
from training.clips.augmentation import build_log_mel_configs
from training.runs.optimization import Schedule, optimizer_of
from training.runs.progress import EpochProgress
from training.supervised.config import SupervisedConfig
from training.supervised.losses import class_weights
from training.supervised.model import build_model, parameter_groups
from training.supervised.step import SupervisedStep

MOST_OVERHEAD_MS = 5.0


class LogMels(Dataset):
    """Random log-mels in memory, a batch of which is two slices: what is timed is the step, not the data."""

    def __init__(self, clips: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.log_mels = torch.rand(clips, 128, 376, generator=generator)
        self.labels = torch.arange(clips) % len(CLASS_NAMES)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitems__(self, indices: list[int]) -> dict[str, torch.Tensor]:
        return {"input_features": self.log_mels[indices], "labels": self.labels[indices]}


def make_model(config: SupervisedConfig) -> QuaclrsForAudioClassification:
    torch.manual_seed(0)
    return build_model(config, list(CLASS_NAMES), build_log_mel_configs(config))


def our_steps(config: SupervisedConfig, steps: int) -> Callable[[], object]:
    """A call that makes one step of the trainer's own loop."""
    accelerator = Accelerator(mixed_precision=config.mixed_precision)
    model = make_model(config)
    clips = LogMels(4 * config.batch_size)
    loader = DataLoader(clips, batch_size=config.batch_size, collate_fn=lambda batch: batch)
    network, optimizer, loader = accelerator.prepare(
        model, optimizer_of(config, parameter_groups(config, model)), loader
    )
    weights = class_weights(clips.labels, len(CLASS_NAMES), "inverse").to(accelerator.device)
    schedule = Schedule(config, optimizer, steps)
    step = SupervisedStep(config, accelerator, network, optimizer, schedule, weights, None, averaged=None)
    step.begin_epoch()

    def endless() -> Iterator[None]:
        for epoch in range(1, 1 + steps):
            progress = EpochProgress(accelerator, "benchmark", config.log_every)
            for batch in progress.watch(loader):
                yield progress.add(step(batch, epoch, progress.steps))

    made = endless()
    return lambda: next(made)


def bare_steps(config: SupervisedConfig) -> Callable[[], object]:
    """A call that makes one step of a loop of five lines."""
    accelerator = Accelerator(mixed_precision=config.mixed_precision)
    model = make_model(config).to(accelerator.device).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    clips = LogMels(4 * config.batch_size)
    half = torch.bfloat16 if config.mixed_precision == "bf16" else torch.float16
    number = 0

    def step() -> None:
        nonlocal number
        chosen = slice(number % 4 * config.batch_size, (number % 4 + 1) * config.batch_size)
        number += 1
        log_mels = clips.log_mels[chosen].to(accelerator.device)
        labels = clips.labels[chosen].to(accelerator.device)
        with torch.autocast(accelerator.device.type, dtype=half, enabled=config.mixed_precision != "no"):
            logits = model(input_features=log_mels).logits
        cross_entropy(logits.float(), labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def make_config(backbone: str, image_size: int, batch_size: int, mixed_precision: str) -> SupervisedConfig:
    return SupervisedConfig(
        dataset="in memory",
        test_fold=1,
        output_dir="nowhere",
        backbone=backbone,
        image_size=image_size,
        batch_size=batch_size,
        mixed_precision=mixed_precision,  # type: ignore[arg-type]
    )


def seconds_of(call: Callable[[], object]) -> float:
    """Measure seconds of one call, the device's work included."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    began = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


def print_overhead(backbone: str, image_size: int, batch_size: int, mixed_precision: str, pairs: int) -> dict:
    """Time pairs of steps and print their difference; a row of it."""
    config = make_config(backbone, image_size, batch_size, mixed_precision)
    ours, bare = our_steps(config, pairs + 8), bare_steps(config)
    for _ in range(4):
        ours(), bare()
    # Which of the two comes first changes, or the caches would favour one of them.
    taken = []
    for number in range(pairs):
        if number % 2:
            of_bare, of_ours = seconds_of(bare), seconds_of(ours)
        else:
            of_ours, of_bare = seconds_of(ours), seconds_of(bare)
        taken.append((1000 * of_ours, 1000 * of_bare))
    differences = np.array([a - b for a, b in taken])
    low, middle, high = np.percentile(differences, [25, 50, 75])
    ours_ms, bare_ms = np.median(taken, axis=0)
    print(
        f"{backbone} {image_size}x{image_size}, batch {batch_size}, {mixed_precision}: ours {ours_ms:.1f} ms, "
        f"bare {bare_ms:.1f} ms a step; difference within {pairs} pairs: median {middle:+.2f} ms "
        f"(quartiles {low:+.2f} to {high:+.2f}; target at most {MOST_OVERHEAD_MS:.0f})"
    )
    return {
        "backbone": backbone, "image_size": image_size, "batch_size": batch_size, "ours_ms": ours_ms,
        "bare_ms": bare_ms, "difference_ms": {"value": middle, "low": low, "high": high},
    }  # fmt: skip


def print_speeds(batch_size: int, image_size: int | None, mixed_precision: str, steps: int) -> list[dict]:
    """Time and print steps of each backbone; a row of each."""
    rows = []
    print(f"clips a second of training, batch {batch_size}, {mixed_precision}")
    for backbone in (*PAPER_BACKBONES, "tf_efficientnet_lite0", "mobilenetv3_small_050"):
        size = image_size or find_backbone(backbone).image_size
        step = our_steps(make_config(backbone, size, batch_size, mixed_precision), steps + 1)
        step()
        speed = batch_size / float(np.median([seconds_of(step) for _ in range(steps)]))
        print(f"{backbone:<24}{size:>4}x{size:<4}{speed:>9.1f}", flush=True)
        rows.append({"backbone": backbone, "image_size": size, "clips_per_second": speed})
    return rows


def print_processes(dataset: Path, rounds: int) -> dict:
    """Time whole runs of one process with all threads beside two with half of them, in turn, and print clips a second.

    Returns:
        A row of the two speeds.
    """
    threads = torch.get_num_threads()
    speeds: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            for processes in speeds:
                run = Path(folder) / f"{processes}-{number}"
                # The second epoch is the one that counts: in the first one everything is loaded.
                arguments = ["--dataset", str(dataset), "--test-fold", "1", "--output-dir", str(run), "--epochs", "2"]
                options = ["--backbone", "mobilenetv3_small_050", "--image-size", "96", "--decode-once"]
                launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
                batch = ["--batch-size", str(32 // processes)]
                environment = os.environ | {
                    "ACCELERATE_USE_CPU": "true",
                    "OMP_NUM_THREADS": str(max(1, threads // processes)),
                }
                subprocess.run(
                    [sys.executable, *launcher, "-m", "training.train_supervised", *arguments, *options, *batch],
                    env=environment, check=True, capture_output=True,
                )  # fmt: skip
                assert json.loads((run / "metrics.json").read_text())["num_processes"] == processes
                history = (run / "history.csv").read_text().splitlines()
                speeds[processes].append(float(history[2].split(",")[history[0].split(",").index("clips_per_second")]))
    one, two = (float(np.median(speeds[processes])) for processes in speeds)
    print(
        f"{threads} threads, 32 clips a step: one process {one:.0f} clips/s, two {two:.0f} clips/s, {two / one:.2f} "
        "times as fast"
    )
    return {"threads": threads, "one_per_second": one, "two_per_second": two, "ratio": two / one}


@report_user_errors
def main(arguments: list[str] | None = None) -> int:
    parser = CommandParser(prog="python -m benchmarks.train_step", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--dataset", type=Path, metavar="DIR", help="a built data set, to compare processes on")
    parser.add_argument("--backbone", default="mobilenetv3_small_050", metavar="NAME", help="of the pairs")
    parser.add_argument("--pairs", type=int, default=50, metavar="N", help="pairs of steps (default 50)")
    parser.add_argument("--mixed-precision", default="no", choices=["no", "bf16", "fp16"])
    parser.add_argument("--speed-image-size", type=int, metavar="PX", help="for all backbones, instead of their own")
    parser.add_argument("--speed-steps", type=int, default=3, metavar="N", help="steps of each backbone (default 3)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="runs of each number of processes")
    add_json_option(parser)
    options = parser.parse_args(arguments)
    os.environ["TQDM_DISABLE"] = "1"
    rows: list[dict] = []
    for size, batch in ((32, 8), (96, 32)):
        rows.append(print_overhead(options.backbone, size, batch, options.mixed_precision, options.pairs))
    rows += print_speeds(8, options.speed_image_size, options.mixed_precision, options.speed_steps)
    if options.dataset:
        rows.append(print_processes(options.dataset, options.rounds))
    write_record(options.json, command_of(parser, arguments), rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
