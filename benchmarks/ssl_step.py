"""Cost of a step of self-supervision, beside two plain passes of its encoder and lightly's own examples.

`python -m benchmarks.ssl_step` times, for each method, steps of `training.ssl.step` with the preset's optimiser and
clipping, two plain forward and backward passes of the same encoder, and lightly's example of the method, in turn on the
same random log-mels. The example has our sizes, queues and optimiser; it has no probe, no figures and no clipping of
gradients, and as lightly has none for MoCo v1, that of v2 gets a linear head. DINO and SwAV take the preset's local
views besides, and both sides of SwAV use queues where the preset has them. Memory is the peak of a process of its own,
libraries included.
"""

from __future__ import annotations

import copy
import multiprocessing
import os
import resource
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from lightly.loss import BarlowTwinsLoss, DINOLoss, NegativeCosineSimilarity, NTXentLoss, SwaVLoss
from lightly.models.modules import heads
from lightly.models.modules.memory_bank import MemoryBankModule
from lightly.models.utils import deactivate_requires_grad, update_momentum
from timm.optim import param_groups_weight_decay
from torch import nn
from torch.nn.functional import normalize

from quaclrs.errors import CommandParser, report_user_errors
from quaclrs.evaluation.records import add_json_option, command_of, write_record
from quaclrs.labels import CLASS_NAMES
from quaclrs.ssl import METHODS, LogMelEncoder
from training.clips.augmentation import build_log_mel_config
from training.runs.optimization import Schedule, optimizer_of
from training.runs.progress import EpochProgress
from training.runs.sampling import EpochSampler
from training.ssl.config import SSLConfig
from training.ssl.model import build_encoder, build_network
from training.ssl.step import SSLStep

from .train_step import seconds_of

#: Steps before those that are timed, and those after which memory is read.
WARM_UP = 3


def make_encoder(config: SSLConfig) -> LogMelEncoder:
    torch.manual_seed(0)
    return LogMelEncoder(build_encoder(config, build_log_mel_config(config)))


def make_views(config: SSLConfig) -> list[torch.Tensor]:
    """Random log-mels of two whole views and the preset's local ones."""
    whole = build_log_mel_config(config)
    short = replace(whole, duration=config.local_duration)
    generator = torch.Generator().manual_seed(0)
    lengths = [1 + c.n_samples // c.hop_length for c in (whole, whole, *[short] * (config.local_views or 0))]
    views = [torch.rand(config.batch_size, whole.n_mels, length, generator=generator) for length in lengths]
    return [view.to(Accelerator().device) for view in views]


def our_steps(config: SSLConfig, views: list[torch.Tensor], steps: int) -> Callable[[], object]:
    """A call that makes one step of the trainer's own loop."""
    accelerator = Accelerator()
    network: Any = build_network(config, make_encoder(config).model, len(CLASS_NAMES), sync_batchnorm=False)
    network, optimizer, probe_optimizer = accelerator.prepare(
        network,
        optimizer_of(config, network.method.parameter_groups(config.weight_decay or 0.0)),
        torch.optim.AdamW(network.probe.parameters(), lr=config.probe_learning_rate),
    )
    given: dict[str, Any] = {"views": lambda batch, seed, epoch: batch["views"]}
    given["schedule"] = Schedule(config, optimizer, steps)
    clips = steps * config.batch_size
    given |= {"sampler": EpochSampler(np.zeros(clips, int), seed=0), "labelled": np.ones(clips, bool)}
    step = SSLStep(config, accelerator, network, optimizer, probe_optimizer, batches=steps, **given)
    step.begin_epoch()
    labels = (torch.arange(config.batch_size) % len(CLASS_NAMES)).to(accelerator.device)
    # The second epoch of two: what begins late in a run, such as SwAV's queues, has begun.
    progress = EpochProgress(accelerator, "benchmark", config.log_every)

    def second_epoch() -> Iterator[None]:
        for batch in progress.watch([{"views": views, "labels": labels}] * steps):
            yield progress.add(step(batch, 2, progress.steps))

    made = second_epoch()
    return lambda: next(made)


def plain_steps(config: SSLConfig, views: list[torch.Tensor], steps: int) -> Callable[[], object]:
    """A call that passes two whole views forward and backward through the encoder, and makes the optimiser's step."""
    encoder = make_encoder(config).to(views[0].device).train()
    optimizer = optimizer_of(config, param_groups_weight_decay(encoder, config.weight_decay or 0.0))

    def step() -> None:
        for view in views[:2]:
            encoder(view).sub(1).square().mean().backward()  # towards 0, gradients would become denormal and slow
        optimizer.step()
        optimizer.zero_grad()

    return step


# What lightly's example of a method consists of: a batch's loss, its modules, pairs for `update_momentum`.
Example = tuple[Callable[[list[torch.Tensor]], torch.Tensor], list[nn.Module], list[tuple[nn.Module, nn.Module]]]


def momentum_copies(*modules: nn.Module) -> tuple[nn.Module, ...]:
    copies = copy.deepcopy(modules)
    for copied in copies:
        deactivate_requires_grad(copied)
    return copies


def simclr_or_barlow_twins(encoder: LogMelEncoder, o: Any) -> Example:
    barlow = hasattr(o, "redundancy_weight")
    kind = heads.BarlowTwinsProjectionHead if barlow else heads.SimCLRProjectionHead
    head = kind(encoder.hidden_size, o.projection_dim if barlow else o.hidden_dim, o.projection_dim)
    criterion = BarlowTwinsLoss(o.redundancy_weight) if barlow else NTXentLoss(o.temperature)
    return lambda views: criterion(*[head(encoder(view)) for view in views]), [encoder, head, criterion], []


def moco(encoder: LogMelEncoder, o: Any) -> Example:
    head: nn.Module = nn.Linear(encoder.hidden_size, o.projection_dim)
    if hasattr(o, "hidden_dim"):
        head = heads.MoCoProjectionHead(encoder.hidden_size, o.hidden_dim, o.projection_dim)
    key_encoder, key_head = momentum_copies(encoder, head)
    criterion = NTXentLoss(o.temperature, memory_bank_size=(o.queue_size, o.projection_dim))

    def loss(views: list[torch.Tensor]) -> torch.Tensor:
        return criterion(head(encoder(views[0])), key_head(key_encoder(views[1])).detach())

    return loss, [encoder, head, criterion], [(encoder, key_encoder), (head, key_head)]


def byol(encoder: LogMelEncoder, o: Any) -> Example:
    projection = heads.BYOLProjectionHead(encoder.hidden_size, o.hidden_dim, o.projection_dim)
    prediction = heads.BYOLPredictionHead(o.projection_dim, o.hidden_dim, o.projection_dim)
    target_encoder, target_projection = momentum_copies(encoder, projection)
    criterion = NegativeCosineSimilarity()

    def loss(views: list[torch.Tensor]) -> torch.Tensor:
        first, second = (prediction(projection(encoder(view))) for view in views)
        one, other = (target_projection(target_encoder(view)).detach() for view in views)
        return 0.5 * (criterion(first, other) + criterion(second, one))

    return loss, [encoder, projection, prediction], [(encoder, target_encoder), (projection, target_projection)]


def dino(encoder: LogMelEncoder, o: Any) -> Example:
    sizes = (encoder.hidden_size, o.hidden_dim, o.bottleneck_dim, o.output_dim)
    head, teacher_head = (heads.DINOProjectionHead(*sizes, batch_norm=True) for _ in range(2))
    deactivate_requires_grad(teacher_head)
    (teacher,) = momentum_copies(encoder)
    criterion = DINOLoss(o.output_dim, warmup_teacher_temp_epochs=5)

    def loss(views: list[torch.Tensor]) -> torch.Tensor:
        taught = [teacher_head(teacher(view)) for view in views[:2]]
        return criterion(taught, [head(encoder(view)) for view in views], epoch=0)

    return loss, [encoder, head, criterion], [(encoder, teacher), (head, teacher_head)]


def swav(encoder: LogMelEncoder, o: Any) -> Example:
    head = heads.SwaVProjectionHead(encoder.hidden_size, o.hidden_dim, o.projection_dim)
    prototypes = heads.SwaVPrototypes(o.projection_dim, o.n_prototypes)
    queues = [MemoryBankModule((o.queue_size, o.projection_dim)) for _ in range(2 if o.queue_size else 0)]
    criterion = SwaVLoss(o.temperature, o.sinkhorn_iterations, o.epsilon)

    def loss(views: list[torch.Tensor]) -> torch.Tensor:
        prototypes.normalize()
        features = [normalize(head(encoder(view)), dim=1) for view in views]
        outputs = [prototypes(feature) for feature in features]
        with torch.no_grad():
            kept = [queue(of_view, update=True)[1] for queue, of_view in zip(queues, features, strict=False)]
            queued = [prototypes(keys.permute(1, 0)) for keys in kept]
        return criterion(outputs[:2], outputs[2:], queued or None).squeeze()

    return loss, [encoder, head, prototypes, *queues], []


EXAMPLES: dict[str, Callable[[LogMelEncoder, Any], Example]] = dict.fromkeys(METHODS, simclr_or_barlow_twins)
EXAMPLES |= {"moco": moco, "moco_v2": moco, "byol": byol, "dino": dino, "swav": swav}


def lightly_steps(config: SSLConfig, views: list[torch.Tensor], steps: int) -> Callable[[], object]:
    """A call that makes one step as lightly's example of the method does."""
    loss_of, modules, followers = EXAMPLES[config.method](make_encoder(config), config.build_method_options())
    everything = nn.ModuleList([*modules, *(copied for _, copied in followers)]).to(views[0].device).train()
    optimizer = optimizer_of(config, param_groups_weight_decay(everything, config.weight_decay or 0.0))

    def step() -> None:
        for model, model_ema in followers:
            update_momentum(model, model_ema, m=0.99)
        loss_of(views).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


WAYS = {"ours": our_steps, "plain": plain_steps, "lightly": lightly_steps}


def step_times(config: SSLConfig, rounds: int) -> np.ndarray:
    """Milliseconds a step (rounds, ways); which way comes first changes, or the caches would favour one of them."""
    views = make_views(config)
    calls = [way(config, views, WARM_UP + rounds) for way in WAYS.values()]
    taken = np.zeros((WARM_UP + rounds, len(calls)))
    for number in range(len(taken)):
        for way in np.roll(range(len(calls)), number):
            taken[number, way] = 1000 * seconds_of(calls[way])
    return taken[WARM_UP:]


def peak_megabytes(config: SSLConfig, way: str) -> float:
    """MB resident at most in this process after a few steps."""
    step = WAYS[way](config, make_views(config), WARM_UP)
    for _ in range(WARM_UP):
        step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)


@report_user_errors
def main(arguments: list[str] | None = None) -> int:
    parser = CommandParser(prog="python -m benchmarks.ssl_step", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--backbone", default="mobilenetv3_small_050", metavar="NAME")
    parser.add_argument("--image-size", type=int, default=96, metavar="PX")
    parser.add_argument("--batch-size", type=int, default=32, metavar="N", help="clips a step (default 32)")
    parser.add_argument("--pairs", type=int, default=30, metavar="N", help="rounds of one step each (default 30)")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS), metavar="M")
    add_json_option(parser)
    options = parser.parse_args(arguments)
    os.environ["TQDM_DISABLE"] = "1"
    sizes = (options.backbone, options.image_size, options.batch_size)
    nowhere: dict[str, Any] = {"dataset": "in memory", "test_fold": 1, "output_dir": "nowhere", "epochs": 2}
    nowhere |= dict(zip(("backbone", "image_size", "batch_size"), sizes, strict=True))
    configs = [SSLConfig(method=method, **nowhere) for method in options.methods]
    # A process for each figure, before any step here: on Linux its peak begins with that of the one that started it.
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        measured = pool.starmap(peak_megabytes, [(config, way) for config in configs for way in WAYS], chunksize=1)
    print(f"{sizes[0]} {sizes[1]}x{sizes[1]}, batch {sizes[2]}, threads: {torch.get_num_threads()}; medians of "
          f"{options.pairs} rounds: ours / two plain passes / lightly's example; ratios within one\n")  # fmt: skip
    rows = []
    print("| method | views | ms a step | clips/s | ours to plain | ours to lightly's | peak MB |\n|" + "---|" * 7)
    for config, peaks in zip(configs, np.reshape(measured, (-1, len(WAYS))), strict=True):
        taken = step_times(config, options.pairs)
        middle = np.median(taken, axis=0)
        ratios = np.median(taken[:, :1] / taken[:, 1:], axis=0)
        row = [config.method, f"2 + {config.local_views} local" if config.local_views else "2"]
        row += [" / ".join(f"{ms:.0f}" for ms in middle), " / ".join(f"{1000 * sizes[2] / ms:.0f}" for ms in middle)]
        row += [*(f"{ratio:.2f}" for ratio in ratios), " / ".join(f"{mb:.0f}" for mb in peaks)]
        print("|", " | ".join(row), "|", flush=True)
        found: dict[str, Any] = {"method": config.method, "local_views": config.local_views or 0}
        found |= {f"{way}_ms": ms for way, ms in zip(WAYS, middle, strict=True)}
        found |= {f"{way}_mb": mb for way, mb in zip(WAYS, peaks, strict=True)}
        rows.append({**found, "to_plain": ratios[0], "to_lightly": ratios[1]})
    write_record(options.json, command_of(parser, arguments), rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
