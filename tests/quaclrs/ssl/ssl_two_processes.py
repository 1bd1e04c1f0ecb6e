"""Training steps of every method, alone or as one of several processes, for `test_two_processes`."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.distributed as dist
from ssl_stand_ins import build, random_views
from torch import nn

BATCH, STEPS = 8, 3
METHODS_AND_OPTIONS = {
    "simclr": {},
    "moco": {"queue_size": 20},
    "moco_v2": {"queue_size": 20},
    "byol": {},
    "barlow_twins": {},
    "dino": {"momentum": 0.8},
    "swav": {"queue_size": 12},
}


def without_batch_norm(module: nn.Module) -> None:
    """Its statistics are those of a process's own clips on CPUs, which no method can change."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm1d):
            setattr(module, name, nn.Identity())
        without_batch_norm(child)


def train(name: str, rank: int, processes: int) -> dict:
    """Losses and the state after some steps of gradient descent on this process's share of every batch."""
    method = build(name, batch_norm=False, **METHODS_AND_OPTIONS[name])
    without_batch_norm(method)
    optimizer = torch.optim.SGD(method.parameter_groups(), lr=0.05)
    losses, gradients = [], []
    for step in range(STEPS):
        method.progress = 0.4 + 0.1 * step  # queues take part
        whole = random_views(local=2 if method.multi_crop else 0, clips=BATCH, seed=step)
        views = [view.chunk(processes)[rank] for view in whole]
        optimizer.zero_grad()
        loss = method(views).loss
        loss.backward()
        loss = loss.detach()
        of_step = [p.grad for p in method.parameters() if p.grad is not None]
        if processes > 1:  # as DistributedDataParallel
            for values in (loss, *of_step):
                dist.all_reduce(values)
                values /= processes
        gradients.append(torch.cat([gradient.flatten() for gradient in of_step]).clone())
        method.before_optimizer_step()
        optimizer.step()
        method.after_step()
        losses.append(loss)
    return {"losses": torch.stack(losses), "gradients": torch.stack(gradients), "state": method.state_dict()}


def run(rank: int, processes: int, folder: str) -> None:
    """One of several processes: every method in turn, results to a file."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{Path(folder).as_posix()}/meeting", rank=rank, world_size=processes
    )
    try:
        torch.save({name: train(name, rank, processes) for name in METHODS_AND_OPTIONS}, f"{folder}/{rank}.pt")
    finally:
        dist.destroy_process_group()
