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
from quaclrs.data import STORED_SAMPLING_RATE, class_names, is_synthetic, leak_warning, load_urbansound13, plan_folds
from quaclrs.errors import QuaclrsError
from quaclrs.evaluation.shortcuts import RandomLength
from quaclrs.folds import SPLITS, FoldPlan
from quaclrs.labels import OTHER
from quaclrs.models import LogMelConfig, LogMelSpectrogram, QuaclrsFeatureExtractor
from quaclrs.transforms import ClipTransform, collate_clips, decode_once, transform_clips

from ..runs.config import TrainingConfig
from ..runs.sampling import EpochSampler
from ..runs.termination import outlive_signals
from .background import BACKGROUND, BackgroundFolder, UnderBackground, append_background
from .copies import choose_copies, with_copies
from .few_labels import keep_labelled


@dataclass
class Split:
    """Clips of one split: `dataset` yields what `transform` makes of `clips`; `rows` has all that is known of them, and
    `sounds` their audio beside, as the builder stored it.

    `labels` has the class of every clip, also of those that training is not told of (`labelled`: whether it is), and
    `recordings` what it was cut from.
    `variants` makes the log-mels of a split that holds augmented copies.
    `in_memory` says that nothing is left to decode, so that its loader needs no processes.
    """

    dataset: Any
    transform: ClipTransform
    clips: Dataset
    sounds: Dataset
    rows: Dataset
    labels: np.ndarray
    recordings: np.ndarray
    labelled: np.ndarray
    variants: VariantLogMel | None = None
    collate: Callable[[Any], Any] = collate_clips
    in_memory: bool = False

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def clip_ids(self) -> list[str]:
        return self.rows["clip_id"][:]

    def loader(self, batch_size: int, num_workers: int = 0, sampler: EpochSampler | None = None) -> DataLoader:
        """Batches of this split in order; with a sampler in its order, without the last, incomplete batch.

        BatchNorm fails in training on a batch of a single clip.
        """
        num_workers = 0 if self.in_memory else num_workers
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

    def under(self, background: Dataset, seed: int) -> Split:
        """The clips that are not background themselves, each under a background at 0 to 20 dB, drawn by seed."""
        known = np.flatnonzero(np.array(self.rows["source"][:]) != BACKGROUND)
        parts: dict[str, Any] = {name: getattr(self, name).select(known) for name in ("clips", "sounds", "rows")}
        parts |= {name: getattr(self, name)[known] for name in ("labels", "recordings", "labelled")}
        own = dataclasses.replace(self, **parts)
        return own._seen_by(augment=UnderBackground(background), seed=seed)

    def _seen_by(self, **options: Any) -> Split:
        transform = ClipTransform(self.transform.feature_extractor, variants=self.variants, **options)
        return dataclasses.replace(self, dataset=transform_clips(self.clips, transform), transform=transform)


@dataclass
class Splits:
    """Train, validation and test split of one fold plan.

    Attributes:
        leak: what is known of the leak that the folds of the new classes have all the same (see `leak_warning`).
        fingerprint: of the whole data set, as `datasets` gives it.
        class_names: of the data set, and `other` after them where there is background.
        background: background of kinds that do not train, if there is any.
        train_background: rows of the background that trains, with `audio`, if there is any.
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
    background: Split | None = None
    train_background: Dataset | None = None

    @property
    def known_names(self) -> list[str]:
        """Class names of the data set."""
        return [name for name in self.class_names if name != OTHER]


def load_splits(
    config: TrainingConfig,
    feature_extractor: QuaclrsFeatureExtractor,
    views: Sequence[AugmentedLogMel] = (),
    unlabelled: int | None = None,
    keep_back: bool = True,
    background: BackgroundFolder | None = None,
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
        background: what trains the class `other`; the test fold's kinds are held out.

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
    kept = ~np.isin(labels, labels_of(config.leave_out, names))
    rows = {split: of_split[kept[of_split]] for split in SPLITS for of_split in [getattr(plan, split)]}
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
    if config.leave_out:
        used = f"without {config.leave_out.replace(',', ', ')}: " + ", ".join(f"{k} {len(v)}" for k, v in rows.items())
    elif len(rows["train"]) != len(plan.train):
        used = f"{len(rows['train'])} of the clips to train on are used"
    described = plan.describe([names[label] for label in labels], _are_copies(dataset) if variants else [])
    train_background = None
    if background is not None:
        held_fold = config.test_fold if keep_back else None
        added = background.load(STORED_SAMPLING_RATE, config.duration, plan.complete_folds, held_fold)
        known, names = labels, [*names, OTHER]
        rows |= {"background": len(known) + np.flatnonzero(added.held_out)}
        rows["train"] = np.concatenate([rows["train"], len(known) + np.flatnonzero(~added.held_out)])
        sounds = decode_once(added.rows, feature_extractor.sampling_rate) if config.decode_once else added.rows
        audio = append_background(audio, known, sounds, names.index(OTHER))
        dataset = append_background(dataset, known, added.rows, names.index(OTHER))
        labels = np.asarray(dataset["label"][:])
        described += f"\n{added.description}"
        train_background = added.rows.select(np.flatnonzero(~added.held_out))
    recordings = np.asarray(dataset["recording_id"][:])
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
        columns = [name for name in dataset.column_names if name != "audio"]
        return Split(
            dataset=transform_clips(clips, transform),
            transform=transform,
            clips=clips,
            sounds=dataset.select(indices),
            rows=dataset.select(indices).select_columns(columns),
            labels=labels[indices],
            recordings=recordings[indices],
            labelled=np.isin(indices, labelled) | (split != "train"),
            variants=variants,
        )

    return Splits(
        **{split: make(split, indices) for split, indices in rows.items() if len(indices) or split != "background"},
        plan=plan,
        class_names=names,
        synthetic=is_synthetic(originals),
        leak=leak_warning(originals, config.protocol),
        description="\n".join(filter(None, [described, short, used])),
        fingerprint=originals._fingerprint,
        train_background=train_background,
    )


def labels_of(classes: str, names: Sequence[str]) -> list[int]:
    """The labels of classes named with commas between.

    Raises:
        QuaclrsError: the data set lacks one, or none would be left.
    """
    found = [name.strip() for name in classes.split(",") if name.strip()]
    if unknown := [name for name in found if name not in names]:
        raise QuaclrsError(f"--leave-out names {unknown[0]}, which the data set lacks; choose {', '.join(names)}")
    if len(set(found)) > len(names) - 2:
        raise QuaclrsError("--leave-out leaves fewer than two classes; name fewer")
    return [names.index(name) for name in found]


def _are_copies(dataset: Dataset) -> list[bool]:
    return [parent_and_variant(clip_id)[1] != ORIGINAL for clip_id in dataset["clip_id"][:]]


def thin_by_class(rows: np.ndarray, labels: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Keep at most `most` rows of every class, drawn by seed; rows stay in ascending order."""
    generator = np.random.default_rng(seed)
    kept = []
    for label in np.unique(labels[rows]):
        of_class = rows[labels[rows] == label]
        kept.append(generator.permutation(of_class)[:most])
    return np.sort(np.concatenate(kept))
