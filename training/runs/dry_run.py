"""Report of a run that is not run: its clips, its steps by number of processes, its memory, and how to launch it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

from accelerate.data_loader import BatchSamplerShard
from torch.utils.data import BatchSampler

from .config import TrainingConfig
from .device_memory import StepMemory
from .options import command_line

#: Processes of a machine in the lines that are printed.
NODE = 8

_NOT_COUNTED = "not counted: CUDA itself, cuDNN's workspaces, gaps between tensors, what processes send each other"


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a step's clips are dealt out.

    Attributes:
        machines: that train together.
        processes: of all machines.
        batch_size: clips of a process.
        steps: of the optimiser in an epoch.
    """

    machines: int
    processes: int
    batch_size: int
    steps: int

    @classmethod
    def of(cls, config: TrainingConfig, clips: int, machines: int, processes: int) -> Layout:
        """Deal out the clips of a step, or a few more: no process gets a single one, on which BatchNorm fails."""
        batch_size = max(math.ceil(config.batch_size / processes), min(config.batch_size, 2))
        batches = BatchSampler(range(clips), min(batch_size, max(clips, 1)), drop_last=True)
        of_process = len(BatchSamplerShard(batches, processes, 0))
        return cls(machines, processes, batch_size, math.ceil(of_process / config.gradient_accumulation_steps))

    @property
    def name(self) -> str:
        if self.processes == 1:
            return "1 process"
        return f"{self.machines} machine{'s' * (self.machines > 1)} of {NODE}"


def describe_dry_run(
    config: TrainingConfig, description: str, clips: int, memory_of: Callable[[int], StepMemory]
) -> str:
    """The report.

    Args:
        config: of the run.
        description: of its splits.
        clips: that train.
        memory_of: memory of a process by its batch size.
    """
    layouts = [Layout.of(config, clips, *numbers) for numbers in ((1, 1), (1, NODE), (2, 2 * NODE))]
    memory = [memory_of(layout.batch_size) for layout in layouts]
    precision = "float32" if config.mixed_precision in (None, "no") else config.mixed_precision
    sections = [
        description,
        f"{clips} clips train; {config.epochs} epochs, {precision}; --batch-size is dealt out to the processes",
        _table(["", *(layout.name for layout in layouts)], _rows_of_steps(config, layouts)),
        "Memory of a process on its device, GB, by counting what a step allocates:",
        _table(["", *(layout.name for layout in layouts)], _rows_of_memory(layouts, memory)),
        _NOT_COUNTED,
        f"1 machine of {NODE}:\n{launch_line(config, layouts[1])}",
        f"2 machines of {NODE}, on the first:\n{launch_line(config, layouts[2])}",
        f"on the second:\n{launch_line(config, layouts[2], rank=1)}",
    ]
    return "\n\n".join(sections)


def launch_line(config: TrainingConfig, layout: Layout, rank: int = 0) -> str:
    """The command that starts a machine's processes, with every option that is not default.

    Args:
        config: of the run.
        layout: of its processes.
        rank: of the machine, from 0.
    """
    words = [
        "accelerate launch --multi_gpu",
        f"--num_machines {layout.machines}",
        f"--num_processes {layout.processes}",
    ]
    if layout.machines > 1:
        words += [f"--machine_rank {rank}", "--main_process_ip FIRST_MACHINE", "--main_process_port 29500"]
    words += [f"--mixed_precision {config.mixed_precision or 'no'}", "--dynamo_backend no", f"-m {config.module}"]
    dealt = dataclasses.replace(config, batch_size=layout.batch_size)
    return command_line(" ".join(words), dealt, ignored=frozenset())


def _rows_of_steps(config: TrainingConfig, layouts: list[Layout]) -> list[list[str]]:
    accumulated = config.gradient_accumulation_steps
    return [
        ["clips a step and process", *(f"{layout.batch_size * accumulated:,}" for layout in layouts)],
        ["clips a step", *(f"{layout.batch_size * layout.processes * accumulated:,}" for layout in layouts)],
        ["steps an epoch", *(f"{layout.steps:,}" if layout.steps else "0: too few clips" for layout in layouts)],
        ["steps in all", *(f"{layout.steps * config.epochs:,}" for layout in layouts)],
    ]


def _rows_of_memory(layouts: list[Layout], memory: list[StepMemory]) -> list[list[str]]:
    # Where there are several processes, each has the gradients once more, in the buckets that they send each other.
    sent = [m.parts.get("gradients", 0) * (layout.processes > 1) for layout, m in zip(layouts, memory, strict=True)]
    rows = [[name, *(_gigabytes(m.parts[name]) for m in memory)] for name in memory[0].parts]
    rows.append(["gradients to send", *map(_gigabytes, sent)])
    for moment in memory[0].moments:
        most = [_gigabytes(m.moments[moment] + extra) for m, extra in zip(memory, sent, strict=True)]
        rows.append([f"at most in: {moment}", *most])
    return [*rows, ["needed", *(_gigabytes(m.peak + extra) for m, extra in zip(memory, sent, strict=True))]]


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = []
    for first, *others in [head, *rows]:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
