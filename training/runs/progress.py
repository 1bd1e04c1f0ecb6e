"""The progress bar of an epoch, its sums, and where its time went."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate import Accelerator
from tqdm.auto import tqdm


@dataclass(frozen=True)
class StepFigures:
    """Figures of one step, all but the first scalar tensors on the device.

    Attributes:
        clips: of the step, in this process.
        loss: mean over them.
        correct: how many of them are labelled rightly.
        means: name -> other means over these clips, the same names at every step. A weighted loss is a mean of weighted
            losses, and `loss_weight` that of the weights.
    """

    clips: int
    loss: torch.Tensor
    correct: torch.Tensor
    means: Mapping[str, torch.Tensor] = field(default_factory=dict)


class EpochProgress:
    """A progress bar with loss, accuracy, clips/s and the share of time spent waiting for data.

    Loss, correct clips and whatever else is counted are summed on the device and read only when the bar is refreshed:
    reading them makes the host wait for the device.

    Args:
        accelerator: of the run; only its main process shows a bar.
        description: in front of the bar.
        log_every: steps from one refreshing to the next.
        totals: sums to go on from, as `totals` gives them, of an epoch that was interrupted.
    """

    def __init__(
        self, accelerator: Accelerator, description: str, log_every: int, totals: dict[str, float] | None = None
    ) -> None:
        self._accelerator = accelerator
        self._description = description
        self._log_every = log_every
        sums = dict(totals or {"steps": 0, "clips": 0, "loss": 0.0, "correct": 0.0})
        self.steps, self.clips = int(sums.pop("steps")), int(sums.pop("clips"))
        # MPS has no float64.
        self._precision = torch.float32 if accelerator.device.type == "mps" else torch.float64
        self._names = tuple(sums)
        self._sums = torch.tensor(list(sums.values()), dtype=self._precision, device=accelerator.device)
        self._clips_before = self.clips
        self._started = time.perf_counter()
        self._seconds: float | None = None
        self._waited = 0.0
        self._bar: Any = None

    def watch(self, loader: Iterable[Any]) -> Iterator[Any]:
        """The loader's batches, waiting for each of them timed."""
        self._bar = tqdm(
            total=self.steps + len(loader),  # type: ignore[arg-type]
            initial=self.steps,
            desc=self._description,
            unit="step",
            # None: shown on terminals only. tqdm heeds its own variable only where nothing is passed.
            disable=not self._accelerator.is_main_process or bool(os.environ.get("TQDM_DISABLE")) or None,
        )
        batches = iter(loader)
        while True:
            asked = time.perf_counter()
            batch = next(batches, None)
            self._waited += time.perf_counter() - asked
            if batch is None:
                self._bar.close()
                return
            yield batch

    def add(self, step: StepFigures) -> None:
        """Count a step."""
        counted = {"loss": step.loss * step.clips, "correct": step.correct}
        counted |= {name: mean * step.clips for name, mean in step.means.items()}
        if not self.steps:
            self._names, self._sums = tuple(counted), self._sums.new_zeros(len(counted))
        self._sums += torch.stack([counted[name].detach().to(self._precision) for name in self._names])
        self.steps, self.clips = self.steps + 1, self.clips + step.clips
        self._bar.update()
        if self.at_refresh and not self._bar.disable:
            shown = dict(zip(self._names, (self._sums / self.clips).tolist(), strict=True))
            self._bar.set_postfix(
                loss=f"{shown['loss'] / shown.get('loss_weight', 1.0):.3f}",
                accuracy=f"{shown['correct'] / max(shown.get('labelled', 1.0), 1e-12):.1%}",
                clips_s=f"{self.clips_per_second:.0f}",
                data_wait=f"{self.waiting_share:.0%}",
                refresh=False,
            )

    @property
    def at_refresh(self) -> bool:
        """True after a step at which the host may wait for the device."""
        return self.steps % self._log_every == 0

    @property
    def seconds(self) -> float:
        """Since the epoch, or the rest of it, began; until `means` were asked for."""
        return time.perf_counter() - self._started if self._seconds is None else self._seconds

    @property
    def clips_per_second(self) -> float:
        """Clips a second of all processes together."""
        return (self.clips - self._clips_before) * self._accelerator.num_processes / self.seconds

    @property
    def waiting_share(self) -> float:
        """Share of the time in which the loop waited for data, in [0, 1]."""
        return self._waited / self.seconds

    def speed(self) -> dict[str, float]:
        """Columns of `history.csv` that say what an epoch cost."""
        return {
            "train_seconds": self.seconds,
            "clips_per_second": self.clips_per_second,
            "data_wait": self.waiting_share,
        }

    def totals(self) -> list[dict[str, float]]:
        """Exact sums of every process, for it to go on from."""
        sums = self._accelerator.gather(self._sums[None]).tolist()
        counts = {"steps": self.steps, "clips": self.clips}
        return [{**counts, **dict(zip(self._names, of_process, strict=True))} for of_process in sums]

    def means(self) -> dict[str, float]:
        """Means over the clips of all processes, by the names of the steps' figures; `correct` is a share.

        The epoch is over then, and its clock stops: what follows is not training.
        """
        counted = torch.cat([self._sums, self._sums.new_tensor([self.clips])])
        *sums, clips = self._accelerator.reduce(counted, reduction="sum").tolist()
        self._seconds = self.seconds
        return {name: of_name / clips for name, of_name in zip(self._names, sums, strict=True)}
