"""What a user sees of an epoch while it runs, and where its time went."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from accelerate import Accelerator
from tqdm.auto import tqdm


class EpochProgress:
    """A progress bar with loss, accuracy, clips/s and the share of time spent waiting for data.

    Loss and correct clips are summed on the device and read only when the bar is refreshed: reading them makes the host
    wait for the device.

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
        begun = totals or {"steps": 0, "clips": 0, "loss": 0.0, "correct": 0.0}
        self.steps, self.clips = int(begun["steps"]), int(begun["clips"])
        # MPS has no float64.
        self._precision = torch.float32 if accelerator.device.type == "mps" else torch.float64
        self._sums = torch.tensor([begun["loss"], begun["correct"]], dtype=self._precision, device=accelerator.device)
        self._clips_before = self.clips
        self._started = time.perf_counter()
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

    def add(self, loss: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor) -> None:
        """Count a step: its mean loss, logits (clips, classes) and labels (clips,)."""
        correct = (logits.detach().argmax(-1) == labels).sum()
        self._sums += torch.stack([loss.detach().to(self._precision) * len(labels), correct.to(self._precision)])
        self.steps, self.clips = self.steps + 1, self.clips + len(labels)
        self._bar.update()
        if self.at_refresh and not self._bar.disable:
            mean_loss, accuracy = (self._sums / self.clips).tolist()
            self._bar.set_postfix(
                loss=f"{mean_loss:.3f}",
                accuracy=f"{accuracy:.1%}",
                clips_s=f"{self.clips_per_second:.0f}",
                data_wait=f"{self.waiting_share:.0%}",
                refresh=False,
            )

    @property
    def at_refresh(self) -> bool:
        """Whether this is a step after which the host may wait for the device."""
        return self.steps % self._log_every == 0

    @property
    def clips_per_second(self) -> float:
        """Of all processes."""
        clips = (self.clips - self._clips_before) * self._accelerator.num_processes
        return clips / (time.perf_counter() - self._started)

    @property
    def waiting_share(self) -> float:
        """Share of the time so far in which the loop waited for data, in [0, 1]."""
        return self._waited / (time.perf_counter() - self._started)

    def totals(self) -> list[dict[str, float]]:
        """Exact sums of every process, for it to go on from."""
        sums = self._accelerator.gather(self._sums[None]).tolist()
        return [{"steps": self.steps, "clips": self.clips, "loss": loss, "correct": correct} for loss, correct in sums]

    def means(self) -> tuple[float, float]:
        """Mean loss and accuracy over the clips of all processes."""
        counted = torch.cat([self._sums, self._sums.new_tensor([self.clips])])
        loss, correct, clips = self._accelerator.reduce(counted, reduction="sum").tolist()
        return loss / clips, correct / clips
