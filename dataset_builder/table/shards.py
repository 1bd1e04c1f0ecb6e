"""Groups of clips that share Parquet shards, so that configs can name whole files and still never leak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from quaclrs.augment import ORIGINAL, parent_and_variant
from quaclrs.folds import FoldPlan, folds_of_recordings

from ..sources.report import SourceClip


@dataclass(frozen=True, order=True)
class ShardSet:
    """Clips of one fold whose recordings also lie in the folds `shared_with` (nearly always none), or augmented copies.

    UrbanSound8K's official folds split four recordings of the nine classes. A config that tests or validates on one of
    their folds must not train on the other, so those clips have files of their own.
    """

    fold: int
    shared_with: tuple[int, ...] = ()
    copies: bool = False

    @property
    def name(self) -> str:
        """Start of the set's file names, `fold04`, `fold04-shared01` or `fold04-copies`."""
        shared = "".join(f"-shared{fold:02d}" for fold in self.shared_with)
        return f"fold{self.fold:02d}{shared}{'-copies' if self.copies else ''}"

    @property
    def pattern(self) -> str:
        """Glob of the set's files, and of no other set's."""
        return f"data/{self.name}-[0-9]*.parquet"


def shard_sets(clips: Sequence[SourceClip]) -> dict[str, ShardSet]:
    """The shard set of every clip, by clip_id."""
    folds_of = folds_of_recordings([int(c.fold or 0) for c in clips], [str(c.recording_id) for c in clips])
    return {
        clip.clip_id: ShardSet(
            int(clip.fold or 0), tuple(f for f in folds_of[str(clip.recording_id)] if f != clip.fold)
        )
        for clip in clips
    }


def shard_set_of(clip_id: str, sets: Mapping[str, ShardSet]) -> ShardSet:
    """The shard set of a clip, or of an augmented copy, from those of all clips."""
    parent, variant = parent_and_variant(clip_id)
    return replace(sets[parent], copies=variant != ORIGINAL)


def by_shard(clips: Sequence[SourceClip]) -> list[SourceClip]:
    """The clips in the order of their rows: by shard set, then by id."""
    sets = shard_sets(clips)
    return sorted(clips, key=lambda clip: (sets[clip.clip_id], clip.clip_id))


def files_of_split(split: str, sets: Sequence[ShardSet], plan: FoldPlan) -> list[str]:
    """Globs of the shard sets that make up a split of a plan under the strict protocol; copies only train."""
    held_out = {plan.test_fold, plan.validation_fold}
    if split == "test":
        chosen = [s for s in sets if s.fold == plan.test_fold and not s.copies]
    elif split == "validation":
        originals = [s for s in sets if s.fold == plan.validation_fold and not s.copies]
        chosen = [s for s in originals if plan.test_fold not in s.shared_with]
    else:
        chosen = [s for s in sets if s.fold not in held_out and not held_out & set(s.shared_with)]
    return [s.pattern for s in sorted(chosen)]
