"""Input of a network, made once and kept in memory where it is the same in every epoch."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from quaclrs.augment import clip_key
from quaclrs.models import LogMelSpectrogram

from .splits import Split

#: Clips that the front end sees at once.
_BATCH = 128

#: Log-mels that one process keeps in memory at most, in bytes: twenty thousand clips of 4 s.
MOST_BYTES = 2**31


class StoredClips(Dataset):
    """Rows of one input of a network and label, a batch of which is two slices.

    Args:
        name: of the network's argument.
        values: (clips, ...); given out as float32.
        labels: (clips,) int64.
        keys: (clips,) `clip_key`s, given out too where they are there, for augmentation.
    """

    def __init__(self, name: str, values: torch.Tensor, labels: torch.Tensor, keys: np.ndarray | None = None) -> None:
        self.name, self.values, self.labels, self.keys = name, values, labels, keys

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int | list[int]) -> dict[str, Any]:
        row = {self.name: self.values[index].float(), "labels": self.labels[index]}
        return row if self.keys is None else {**row, "clip_key": self.keys[index]}

    __getitems__ = __getitem__


def stored(split: Split, name: str, values: torch.Tensor, keyed: bool = False) -> Split:
    """The same split, whose clips are in memory.

    Args:
        split: of these clips.
        name: of the network's argument.
        values: (clips, ...), what the network takes of them.
        keyed: whether a batch names its clips, for augmentation.
    """
    keys = np.array([clip_key(clip_id) for clip_id in split.clip_ids]) if keyed else None
    clips = StoredClips(name, values, torch.as_tensor(split.labels), keys)
    return dataclasses.replace(split, dataset=clips, collate=lambda batch: batch, in_memory=True)


def together(name: str, splits: Sequence[Split]) -> Split:
    """Stored splits as one: the first with the clips of the others after its own.

    Its `rows` and `clips` stay those of the first: a mixture of a clip is not a clip of the data set.
    """
    values, labels = (torch.cat([getattr(split.dataset, part) for split in splits]) for part in ("values", "labels"))
    joined = StoredClips(name, values, labels)
    recordings = np.concatenate([split.recordings for split in splits])
    return dataclasses.replace(splits[0], dataset=joined, labels=labels.numpy(), recordings=recordings)


def bytes_of_log_mel(front_end: LogMelSpectrogram) -> int:
    """Memory that `log_mels_of` takes for a clip."""
    c = front_end.config
    return 2 * c.n_mels * (1 + c.n_samples // c.hop_length)


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
