"""Input of a network, made once and kept in memory where it is the same in every epoch."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from quaclrs.models import LogMelSpectrogram

from .splits import Split

#: Clips that the front end sees at once.
_BATCH = 128


class StoredClips(Dataset):
    """Rows of one input of a network and label, a batch of which is two slices.

    Args:
        name: of the network's argument.
        values: (clips, ...); given out as float32.
        labels: (clips,) int64.
    """

    def __init__(self, name: str, values: torch.Tensor, labels: torch.Tensor) -> None:
        self.name, self.values, self.labels = name, values, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int | list[int]) -> dict[str, torch.Tensor]:
        return {self.name: self.values[index].float(), "labels": self.labels[index]}

    __getitems__ = __getitem__


def stored(split: Split, name: str, values: torch.Tensor) -> Split:
    """The same split, whose clips are in memory: `values` (clips, ...) are what the network takes as `name`."""
    clips = StoredClips(name, values, torch.as_tensor(split.labels))
    return dataclasses.replace(split, dataset=clips, collate=lambda batch: batch)


def together(name: str, splits: Sequence[Split]) -> Split:
    """Stored splits as one: the first with the clips of the others after its own.

    Its `rows` and `clips` stay those of the first: a mixture of a clip is not a clip of the data set.
    """
    values, labels = (torch.cat([getattr(split.dataset, part) for split in splits]) for part in ("values", "labels"))
    joined = StoredClips(name, values, labels)
    recordings = np.concatenate([split.recordings for split in splits])
    return dataclasses.replace(splits[0], dataset=joined, labels=labels.numpy(), recordings=recordings)


def log_mels_of(split: Split, front_end: LogMelSpectrogram, num_workers: int) -> torch.Tensor:
    """Log-mels (clips, mels, frames) in [0, 1] of a split's clips, about 100 kB a clip.

    They are float16, which moves a cell by at most 0.02 dB.

    Args:
        split: whose clips, which its transform leaves as they are.
        front_end: on the CPU.
        num_workers: processes that decode.
    """
    loader = split.loader(_BATCH, num_workers)
    made = [
        (batch["input_features"] if split.variants else front_end(batch["input_values"])).half() for batch in loader
    ]
    return torch.cat(made) if made else torch.zeros(0)
