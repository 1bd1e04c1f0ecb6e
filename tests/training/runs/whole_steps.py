"""An epoch of steps on the same clips, dealt out to accumulated batches and to processes, for `test_whole_steps`."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from torch import nn
from torch.utils.data import DataLoader
from transformers.modeling_outputs import SequenceClassifierOutput

from quaclrs.ssl import METHODS, UNLABELLED, QuasiSupervised
from training.clips.stored import StoredClips
from training.runs.optimization import Schedule
from training.runs.progress import EpochProgress
from training.runs.sampling import EpochSampler
from training.ssl.config import SSLConfig
from training.ssl.step import SSLStep
from training.supervised.config import SupervisedConfig
from training.supervised.step import SupervisedStep

SIZE, CLASSES, CLIPS, SMOOTHING, RATE = 6, 4, 64, 0.1, 0.5

#: To which gradients are clipped: those of the first step are longer, those of the second shorter.
MOST_NORM = {"supervised": 1.36, "quasi-supervised": 0.6}

#: Far apart, and so are the classes' numbers of clips: no two batches weigh the same.
CLASS_WEIGHTS = torch.tensor([0.2, 1.0, 4.0, 9.0])

#: Clips of an epoch, clips a batch, batches a step and processes: all are steps of 32 clips, the last one of 16.
DEALINGS = {
    "1 x 32": (CLIPS, 32, 1, 1),
    "4 x 8": (CLIPS, 8, 4, 1),
    "2 processes x 16": (CLIPS, 16, 1, 2),
    "2 processes x 2 x 8": (CLIPS, 8, 2, 2),
    "1 x 32, the last step shorter": (CLIPS - 16, 32, 1, 1),
    "4 x 8, the last step shorter": (CLIPS - 16, 8, 4, 1),
    "2 processes x 2 x 8, the last step shorter": (CLIPS - 16, 8, 2, 2),
}


class Layers(nn.Module):
    """Without BatchNorm, whose statistics are those of a batch of one process."""

    hidden_size = 5

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(SIZE, self.hidden_size), nn.Tanh())

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.layers(values)


class Classifier(Layers):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(self.hidden_size, CLASSES)

    def forward(self, embeddings: torch.Tensor) -> SequenceClassifierOutput:
        return SequenceClassifierOutput(logits=self.linear(super().forward(embeddings)))


def make_classifier() -> Classifier:
    torch.manual_seed(0)
    return Classifier()


def make_quasi_supervised() -> QuasiSupervised:
    """Its method has no weight: what is left is the cross-entropy of clips with labels."""
    torch.manual_seed(0)
    options = METHODS["simclr"].options_type(projection_dim=4, hidden_dim=8)
    made = QuasiSupervised(METHODS["simclr"](Layers(), options), CLASSES, method_weight=0.0, supervised_weight=1.0)
    made.probe[0] = nn.Identity()
    return made


def make_clips(count: int) -> StoredClips:
    """Clips of classes that are 8, 4, 2 and 1 in 15."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.multinomial(torch.tensor([8.0, 4.0, 2.0, 1.0]), CLIPS, replacement=True, generator=generator)
    values = torch.randn(CLIPS, SIZE, generator=generator) + labels[:, None]
    return StoredClips("embeddings", values[:count], labels[:count])


def make_few_labels(count: int) -> StoredClips:
    """The same clips, a quarter with a label."""
    clips = make_clips(count)
    known = torch.rand(CLIPS, generator=torch.Generator().manual_seed(2))[:count] < 0.25
    return StoredClips("embeddings", clips.values, torch.where(known, clips.labels, UNLABELLED))


def make_sampler(count: int) -> EpochSampler:
    sampler = EpochSampler(make_clips(count).labels.numpy(), seed=5)
    sampler.set_epoch(1)
    return sampler


def train(kind: str, count: int, batch_size: int, accumulated: int, loss_scale: float | None = None) -> dict:
    """State after an epoch of gradient descent, and the epoch's mean loss.

    With a loss scale steps are made as in fp16, on numbers that are not rounded: CPUs have no fp16 in Accelerate.
    """
    accelerator = Accelerator(gradient_accumulation_steps=accumulated)
    if loss_scale:
        accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=loss_scale)
    given = {
        "dataset": "data", "test_fold": 1, "output_dir": "out", "batch_size": batch_size, "lr_scheduler": "constant",
        "gradient_accumulation_steps": accumulated, "max_grad_norm": MOST_NORM[kind], "warmup_epochs": 0, "epochs": 1,
        "optimizer": "sgd",
    }  # fmt: skip
    data = make_clips(count) if kind == "supervised" else make_few_labels(count)
    sampler = make_sampler(count)
    loader = DataLoader(data, batch_size, sampler=sampler, collate_fn=lambda batch: batch)
    network = make_classifier() if kind == "supervised" else make_quasi_supervised()
    if kind == "supervised":
        optimizer = torch.optim.SGD(network.parameters(), lr=RATE)
        prepared, optimizer, loader = accelerator.prepare(network, optimizer, loader)
        config = SupervisedConfig(**given, label_smoothing=SMOOTHING)
        schedule = Schedule(config, optimizer, len(loader))
        step = SupervisedStep(config, accelerator, prepared, optimizer, schedule, CLASS_WEIGHTS, None, None)
    else:
        optimizers = [torch.optim.SGD(part.parameters(), lr=RATE) for part in (network.method, network.probe)]
        prepared, *optimizers, loader = accelerator.prepare(network, *optimizers, loader)
        config = SSLConfig(**given, method="simclr")
        schedule = Schedule(config, optimizers[0], len(loader))
        labelled = (data.labels != UNLABELLED).numpy()
        step = SSLStep(
            config, accelerator, prepared, *optimizers, schedule, lambda batch, *_: [batch["embeddings"]] * 2,
            len(loader), sampler, labelled,
        )  # fmt: skip
    if loss_scale:  # from here on, so that nothing is wrapped to compute in fp16
        accelerator.native_amp, accelerator.autocast = True, nullcontext
    loader.set_epoch(1)
    step.begin_epoch()
    progress = EpochProgress(accelerator, "epoch", 1)
    for batch in progress.watch(loader):
        progress.add(step(batch, 1, progress.steps))
    means = progress.means()
    return {"state": network.state_dict(), "loss": means["loss"] / means.get("loss_weight", 1.0)}


def run(rank: int, folder: str) -> None:
    """One of two processes: every dealing for two, results to a file."""
    torch.set_num_threads(1)
    AcceleratorState._reset_state(reset_partial_state=True)  # a forked process has that of a single one
    GradientState._reset_state()
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ["ACCELERATE_USE_CPU"] = "true"
    dist.init_process_group("gloo", init_method=f"file://{Path(folder).as_posix()}/meeting", rank=rank, world_size=2)
    try:
        results = {
            (kind, name): train(kind, *dealing)
            for name, (*dealing, processes) in DEALINGS.items()
            for kind in ("supervised", "quasi-supervised")
            if processes == 2
        }
        torch.save(results, f"{folder}/{rank}.pt")
    finally:
        dist.destroy_process_group()
