"""The three splits of a fold as PyTorch data, with what a trainer must know of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from datasets import Dataset, Value
from torch.utils.data import DataLoader

from quaclrs.augment import ORIGINAL, AugmentedLogMel, VariantLogMel, parent_and_variant
from quaclrs.data import class_names, is_synthetic, leak_warning, load_urbansound13, plan_folds
from quaclrs.evaluation.shortcuts import RandomLength
from quaclrs.folds import SPLITS, FoldPlan
from quaclrs.models import LogMelConfig, LogMelSpectrogram, QuaclrsFeatureExtractor
from quaclrs.transforms import ClipTransform, collate_clips, decode_once, transform_clips

from ..runs.config import TrainingConfig
from ..runs.sampling import EpochSampler
from ..runs.termination import outlive_signals
from .copies import choose_copies, with_copies
from .few_labels import keep_labelled


@dataclass
class Split:
    """Clips of one split: `dataset` yields what `transform` makes of `clips`; `rows` has all that is known of them.

    `labels` has the class of every clip, also of those that training is not told of (`labelled`: whether it is).
    `variants` makes the log-mels of a split that holds augmented copies.
    """

    dataset: Any
    transform: ClipTransform
    clips: Dataset
    rows: Dataset
    labels: np.ndarray
    labelled: np.ndarray
    variants: VariantLogMel | None = None
    collate: Callable[[Any], Any] = collate_clips

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def clip_ids(self) -> list[str]:
        return self.rows["clip_id"][:]

    def loader(self, batch_size: int, num_workers: int = 0, sampler: EpochSampler | None = None) -> DataLoader:
        """Batches of this split in order; with a sampler in its order, without the last, incomplete batch.

        BatchNorm fails in training on a batch of a single clip.
        """
        return DataLoader(
            self.dataset,
            batch_size=max(1, min(batch_size, len(self))),
            sampler=sampler,
            drop_last=sampler is not None,
            num_workers=num_workers,
            collate_fn=self.collate,
            worker_init_fn=outlive_signals,
            persistent_workers=num_workers > 0,
            pin_memory=torch.cuda.is_available(),
        )

    def plain(self) -> Split:
        """The same clips as they are, without augmentation; copies are what they are copies for."""
        return self._seen_by()

    def cut_at_random(self, seed: int) -> Split:
        """The same clips, each cut to a random 1 to 2.9 s: what a model knows when length tells it nothing."""
        return self._seen_by(augment=RandomLength(), seed=seed)

    def _seen_by(self, **options: Any) -> Split:
        transform = ClipTransform(self.transform.feature_extractor, variants=self.variants, **options)
        return dataclasses.replace(self, dataset=transform_clips(self.clips, transform), transform=transform)


@dataclass
class Splits:
    """Train, validation and test split of one fold plan.

    Attributes:
        leak: what is known of the leak that the folds of the new classes have all the same (see `leak_warning`).
        fingerprint: of the whole data set, as `datasets` gives it.
    """

    train: Split
    validation: Split
    test: Split
    plan: FoldPlan
    class_names: list[str]
    synthetic: bool
    leak: str
    description: str
    fingerprint: str


def load_splits(
    config: TrainingConfig,
    feature_extractor: QuaclrsFeatureExtractor,
    views: Sequence[AugmentedLogMel] = (),
    unlabelled: int | None = None,
    keep_back: bool = True,
) -> Splits:
    """Load the data set and split it by the run's fold and protocol.

    Few labels and `max_clips_per_class` thin the training split only: validation and test stay whole, so scores stay
    comparable. With `fill_per_fold` all three hold augmented copies (`clip_id` is `CLIP#VARIANT`). Views, where they
    are given, are drawn of a copy's original, and differ from those of other copies.

    Args:
        config: of the run.
        feature_extractor: of the model.
        views: augmentations of the training split, one for each view of a clip.
        keep_back: whether validation and test clips are kept from training; otherwise every clip trains.
        unlabelled: with few labels, keep the other training clips under this label instead of leaving them out.

    Raises:
        QuaclrsError: as `load_urbansound13` and `FoldPlan.for_fold`.
    """
    dataset = originals = load_urbansound13(config.dataset)
    names = class_names(originals)
    variants, short, used = None, "", ""
    if config.fill_per_fold:
        classes, folds = [names[label] for label in originals["label"][:]], originals["fold_paper"][:]
        copies, short = choose_copies(originals["clip_id"][:], classes, folds, config.fill_per_fold)
        dataset = with_copies(originals, copies)
        variants = VariantLogMel(LogMelSpectrogram(LogMelConfig.from_dict(feature_extractor.log_mel)), config.seed)
    plan = plan_folds(dataset, config.test_fold, config.protocol)
    labels = np.asarray(dataset["label"][:])
    rows = {split: getattr(plan, split) for split in SPLITS}
    if not keep_back:
        rows["train"] = np.sort(np.concatenate(list(rows.values())))
    labelled = keep_labelled(
        rows["train"],
        labels,
        dataset["recording_id"][:],
        config.labelled_recordings,
        config.label_fraction,
        config.seed,
    )
    audio = dataset
    if config.decode_once:
        audio = decode_once(originals, feature_extractor.sampling_rate)
        audio = with_copies(audio, copies) if config.fill_per_fold else audio
    if unlabelled is None:
        rows["train"] = labelled
    elif len(labelled) < len(rows["train"]):
        told = labels.copy()
        told[np.setdiff1d(rows["train"], labelled)] = unlabelled
        audio = audio.remove_columns("label").add_column("label", told.tolist(), feature=Value("int64"))
    if config.max_clips_per_class:
        rows["train"] = thin_by_class(rows["train"], labels, config.max_clips_per_class, config.seed)
    if len(rows["train"]) != len(plan.train):
        used = f"{len(rows['train'])} of the clips to train on are used"
    random_placement = any(view.policy.random_placement for view in views)

    def make(split: str, indices: np.ndarray) -> Split:
        clips = audio.select(indices)
        transform = ClipTransform(feature_extractor, variants=variants)
        if split == "train" and views:
            transform = ClipTransform(
                feature_extractor,
                crop="random" if random_placement else "center",
                seed=config.seed,
                views=views,
                augment_on="worker" if config.augment_on == "worker" else "device",
                partners=clips,
            )
        described = [name for name in dataset.column_names if name != "audio"]
        return Split(
            dataset=transform_clips(clips, transform),
            transform=transform,
            clips=clips,
            rows=dataset.select(indices).select_columns(described),
            labels=labels[indices],
            labelled=np.isin(indices, labelled) | (split != "train"),
            variants=variants,
        )

    is_copy = [parent_and_variant(clip_id)[1] != ORIGINAL for clip_id in dataset["clip_id"][:]] if variants else []
    return Splits(
        **{split: make(split, indices) for split, indices in rows.items()},
        plan=plan,
        class_names=names,
        synthetic=is_synthetic(originals),
        leak=leak_warning(originals, config.protocol),
        description="\n".join(filter(None, [plan.describe([names[label] for label in labels], is_copy), short, used])),
        fingerprint=originals._fingerprint,
    )


def thin_by_class(rows: np.ndarray, labels: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Keep at most `most` rows of every class, drawn by seed; rows stay in ascending order."""
    generator = np.random.default_rng(seed)
    kept = []
    for label in np.unique(labels[rows]):
        of_class = rows[labels[rows] == label]
        kept.append(generator.permutation(of_class)[:most])
    return np.sort(np.concatenate(kept))
