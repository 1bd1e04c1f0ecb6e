"""Augmented copies that fill every class and fold of the paper's protocol (section 3): rows without sound of their own.

A copy is made when it is loaded (`VariantLogMel`), the same in every epoch and split for the same seed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from datasets import Dataset, concatenate_datasets

from quaclrs.augment import COPIES, ORIGINAL, VARIANTS, copy_id


def with_copies(dataset: Dataset, copies: Mapping[str, Sequence[str]]) -> Dataset:
    """A data set with a row for each copy after its original, named `CLIP#VARIANT`, with all that the original has.

    Args:
        dataset: one row a clip.
        copies: as `choose_copies` gives them.
    """
    clip_ids = dataset["clip_id"][:]
    parts, places = [], []
    for place, variant in enumerate(VARIANTS):
        rows = [row for row, clip_id in enumerate(clip_ids) if variant == ORIGINAL or variant in copies[clip_id]]
        ids = [copy_id(clip_id, variant) for clip_id in clip_ids]
        # Selecting comes last: adding a column to a selection would copy its audio.
        parts.append(dataset.remove_columns("clip_id").add_column("clip_id", ids).select(rows))
        places += [(row, place) for row in rows]
    return concatenate_datasets(parts).select(sorted(range(len(places)), key=places.__getitem__))


def choose_copies(
    clip_ids: Sequence[str], labels: Sequence[str], folds: Sequence[int], fill_per_fold: int
) -> tuple[dict[str, list[str]], str]:
    """Choose the copies of each clip that fill its class and paper fold.

    Filling goes round the clips of a class and fold in turn, and every clip round the variants, starting one further
    than the clip before it and where the class and fold before left off, so all clips of a class and fold, and all
    variants of the data set, are used about equally often.

    Args:
        clip_ids: in any order.
        labels, folds: class and `fold_paper` of each.
        fill_per_fold: rows of every class and fold, originals included (449 in the paper authors' runs); where there
            are as many originals no copies are made, and originals are never left out.

    Returns:
        Names of copies by clip_id, in the paper's order, and a line on the classes and folds that stay below
        `fill_per_fold` though every variant of every clip is used; it is empty where all are filled.
    """
    cells: dict[tuple[str, int], list[str]] = defaultdict(list)
    for clip_id, label, fold in zip(clip_ids, labels, folds, strict=True):
        cells[label, fold].append(clip_id)
    chosen: dict[str, list[str]] = {clip_id: [] for clip_id in clip_ids}
    short, first = [], 0
    for (label, fold), of_cell in sorted(cells.items()):
        of_cell.sort()
        wanted, possible = max(0, fill_per_fold - len(of_cell)), len(of_cell) * len(COPIES)
        if wanted > possible:
            short.append(f"{label} fold {fold}: {len(of_cell) + possible}")
        for turn in range(min(wanted, possible)):
            round_, place = divmod(turn, len(of_cell))
            chosen[of_cell[place]].append(COPIES[(first + place + round_) % len(COPIES)])
        first += min(wanted, possible)
    line = ""
    if short:
        line = (
            f"--fill-per-fold {fill_per_fold} is not reached where clips are few, though all 12 variants of each are "
            f"used: {', '.join(short[:6])}" + (f" and {len(short) - 6} more" if len(short) > 6 else "")
        )
    return {clip_id: sorted(names, key=COPIES.index) for clip_id, names in chosen.items()}, line
