"""The three splits of a fold as PyTorch data, with what a trainer must know of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from quaclrs.augment import AugmentedLogMel
from quaclrs.data import class_names, load_urbansound13, plan_folds
from quaclrs.folds import SPLITS, FoldPlan
from quaclrs.transforms import ClipTransform, FeatureExtractor, collate_clips, decode_once, transform_clips

from .config import SupervisedConfig


@dataclass
class Split:
    """Clips of one split: `dataset` yields what `transform` makes of them, the rest describes its rows."""

    dataset: Any
    transform: ClipTransform
    labels: np.ndarray
    clip_ids: list[str]
    folds: list[int]
    sources: list[str]

    def __len__(self) -> int:
        return len(self.labels)

    def loader(self, batch_size: int, num_workers: int = 0, shuffle: bool = False) -> DataLoader:
        """Batches of this split; a shuffled one drops its last, incomplete batch (BatchNorm fails on a single clip)."""
        return DataLoader(
            self.dataset,
            batch_size=min(batch_size, len(self)),
            shuffle=shuffle,
            drop_last=shuffle,
            num_workers=num_workers,
            collate_fn=collate_clips,
            persistent_workers=num_workers > 0,
        )


@dataclass
class Splits:
    """Train, validation and test split of one fold plan."""

    train: Split
    validation: Split
    test: Split
    plan: FoldPlan
    class_names: list[str]
    synthetic: bool
    description: str


def load_splits(
    config: SupervisedConfig, feature_extractor: FeatureExtractor, augmentation: AugmentedLogMel | None = None
) -> Splits:
    """Load the data set and split it by the run's fold and protocol; `augmentation` is for the training split only.

    `max_clips_per_class` thins the training split only: validation and test stay whole, so scores stay comparable.

    Raises:
        QuaclrsError: as `load_urbansound13` and `FoldPlan.for_fold`.
    """
    dataset = load_urbansound13(config.dataset)
    plan = plan_folds(dataset, config.test_fold, config.protocol)
    names = class_names(dataset)
    labels = np.asarray(dataset["label"][:])
    rows = {split: getattr(plan, split) for split in SPLITS}
    if config.max_clips_per_class:
        rows["train"] = thin_by_class(rows["train"], labels, config.max_clips_per_class, config.seed)
    audio = decode_once(dataset, feature_extractor.sampling_rate) if config.decode_once else dataset

    def make(split: str, indices: np.ndarray) -> Split:
        part, clips = dataset.select(indices), audio.select(indices)
        transform = ClipTransform(feature_extractor)
        if split == "train" and augmentation is not None:
            transform = ClipTransform(
                feature_extractor,
                crop="random" if augmentation.policy.random_placement else "center",
                seed=config.seed,
                views=[augmentation],
                augment_on="worker" if config.augment_on == "worker" else "device",
                partners=clips,
            )
        return Split(
            dataset=transform_clips(clips, transform),
            transform=transform,
            labels=labels[indices],
            clip_ids=part["clip_id"][:],
            folds=part["fold_paper" if config.protocol == "paper" else "fold"][:],
            sources=part["source"][:],
        )

    return Splits(
        **{split: make(split, indices) for split, indices in rows.items()},
        plan=plan,
        class_names=names,
        synthetic=any(text.startswith("synthesised") for text in dataset.unique("attribution")),
        description=plan.describe([names[label] for label in labels]),
    )


def thin_by_class(rows: np.ndarray, labels: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Keep at most `most` rows of every class, drawn by seed; rows stay in ascending order."""
    generator = np.random.default_rng(seed)
    kept = []
    for label in np.unique(labels[rows]):
        of_class = rows[labels[rows] == label]
        kept.append(generator.permutation(of_class)[:most])
    return np.sort(np.concatenate(kept))


def inverse_frequency_weights(labels: Sequence[int] | np.ndarray, num_classes: int) -> torch.Tensor:
    """Class weights inversely proportional to class frequency (paper, section 4.6): float32 (classes,).

    A balanced data set weighs 1 throughout, and so does the mean clip of any other. A class without clips weighs 0.
    """
    counts = np.bincount(np.asarray(labels), minlength=num_classes)
    present = counts > 0
    weights = np.zeros(num_classes)
    weights[present] = counts.sum() / (present.sum() * counts[present])
    return torch.tensor(weights, dtype=torch.float32)
