"""Time from Parquet to a batch that a model takes, also as a share of a training step.

`python -m benchmarks.input_pipeline --dataset DIR` prints, for one thread and for two, milliseconds of decoding, front
end and default policy beside a training step, then clips a second of the whole with 0, 1 and 2 workers.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

from quaclrs import (
    LogMelConfig,
    LogMelSpectrogram,
    QuaclrsConfig,
    QuaclrsFeatureExtractor,
    QuaclrsForAudioClassification,
    load_urbansound13,
)
from quaclrs.augment import AugmentedLogMel, Policy, load_policies
from quaclrs.errors import CommandParser, report_user_errors
from quaclrs.evaluation.records import add_json_option, command_of, write_record
from quaclrs.transforms import ClipTransform, collate_clips, decode_once, transform_clips

from .timing import run_with_threads, time_in_turn

CONFIG = LogMelConfig()
BATCH = 32
BACKBONE = "mobilenetv3_small_050"


def make_loader(clips, policy: Policy, where: str, num_workers: int = 0) -> tuple[DataLoader, AugmentedLogMel]:
    augment = AugmentedLogMel(policy, LogMelSpectrogram(CONFIG))
    transform = ClipTransform(QuaclrsFeatureExtractor(CONFIG.to_dict()), views=[augment], augment_on=where)
    loader = DataLoader(
        transform_clips(clips, transform),
        batch_size=BATCH,
        num_workers=num_workers,
        collate_fn=collate_clips,
        persistent_workers=num_workers > 0,
    )
    return loader, augment


def clips_a_second(clips, policy: Policy, where: str, num_workers: int, rounds: int) -> float:
    """Median over passes of the data, the first not counted, of clips a second that end as log-mels."""
    loader, augment = make_loader(clips, policy, where, num_workers)
    speeds = []
    for number in range(rounds + 1):
        began = time.perf_counter()
        for batch in loader:
            if where == "device":
                augment.augment_batch(batch, epoch=number)
        if number:
            speeds.append(len(clips) / (time.perf_counter() - began))
    return float(np.median(speeds))


def training_step(image_size: int):
    """A call that trains the model on a batch of log-mels once."""
    model = QuaclrsForAudioClassification(
        QuaclrsConfig(backbone=BACKBONE, log_mel={"image_size": image_size}, num_labels=13)
    ).train()
    optimizer = torch.optim.Adam(model.parameters())
    log_mels, labels = torch.rand(BATCH, 128, 376), torch.randint(0, 13, (BATCH,))

    def step() -> None:
        model(input_features=log_mels, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def print_shares(clips, decoded, rounds: int) -> list[dict]:
    """Time and print one clip's way to a log-mel, stage by stage, and its share of a training step; rows of both."""
    batch = clips.select(range(BATCH))
    (default,) = load_policies("default")
    encoded, pcm = batch[:], decoded.select(range(BATCH))[:]
    transform = ClipTransform(
        QuaclrsFeatureExtractor(CONFIG.to_dict()), views=[AugmentedLogMel(Policy(), LogMelSpectrogram(CONFIG))]
    )
    loaded = transform(pcm)
    loaded["input_values"] = torch.from_numpy(loaded["input_values"])
    plain, augment = LogMelSpectrogram(CONFIG), AugmentedLogMel(default, LogMelSpectrogram(CONFIG))
    found = time_in_turn(
        {
            "decode FLAC, pad": (lambda: transform(encoded), BATCH),
            "decoded once: read, pad": (lambda: transform(pcm), BATCH),
            "front end": (lambda: plain(loaded["input_values"]), BATCH),
            "front end + default policy": (lambda: augment.augment_batch(loaded), BATCH),
            "training step at 96x96": (training_step(96), BATCH),
            "training step at 224x224": (training_step(224), BATCH),
        },
        rounds,
    )
    print("ms a clip at batch 32" + " " * 14 + "median   lowest  highest")
    rows: list[dict] = [{"stage": name, "ms": timing.figure()} for name, timing in found.items()]
    for name, timing in found.items():
        print(f"{name:<32}{timing}")
    for size in (96, 224):
        step = found[f"training step at {size}x{size}"].median
        shares = {
            how: (found[stage].median + found["front end + default policy"].median) / step
            for how, stage in (("from FLAC", "decode FLAC, pad"), ("decoded once", "decoded once: read, pad"))
        }
        told = ", ".join(f"{how} {share:.0%}" for how, share in shares.items())
        print(f"decode + front end + default policy, of a step at {size}x{size}: {told}")
        rows += [{"image_size": size, "clips": how, "share_of_step": share} for how, share in shares.items()]
    return rows


@report_user_errors
def main(arguments: list[str] | None = None) -> int:
    parser = CommandParser(prog="python -m benchmarks.input_pipeline", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--dataset", type=Path, required=True, metavar="DIR", help="a built data set")
    parser.add_argument("--clips", type=int, default=320, metavar="N", help="clips of a pass (default 320)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], metavar="N", help="default: 1 2")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="turns of each way (default 3)")
    parser.add_argument("--child", type=int, help="this process's number of threads; set by the parent")
    add_json_option(parser)
    options = parser.parse_args(arguments)
    dataset = load_urbansound13(options.dataset)
    if options.child is None:
        decode_once(dataset, CONFIG.sampling_rate)  # the children find it in the cache
        given = sys.argv[1:] if arguments is None else arguments
        return run_with_threads("benchmarks.input_pipeline", given, options.threads, options.json)
    torch.set_num_threads(options.child)
    spread = np.linspace(0, len(dataset) - 1, min(options.clips, len(dataset))).round().astype(int)
    clips, decoded = dataset.select(spread), decode_once(dataset, CONFIG.sampling_rate).select(spread)
    rows = print_shares(clips, decoded, options.rounds)
    print("clips a second from Parquet to log-mels" + " " * 20 + "FLAC   decoded once")
    for policy in (Policy(), load_policies("default")[0]):
        for where in ("device", "worker"):
            for workers in (0, 1, 2):
                speeds = [clips_a_second(c, policy, where, workers, options.rounds) for c in (clips, decoded)]
                what = f"{'default policy' if policy.augmentations else 'no policy'} on {where}, {workers} workers"
                print(f"{what:<52}{speeds[0]:>11.0f}{speeds[1]:>15.0f}")
                rows.append({"way": what, "flac_per_second": speeds[0], "decoded_per_second": speeds[1]})
    rows = [{"threads": options.child, **row} for row in rows]
    write_record(options.json, command_of(parser, arguments), rows, add=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
