"""Which copies fill classes and folds, and the rows that stand for them."""

from __future__ import annotations

from collections import Counter

import pytest

from quaclrs import load_urbansound13
from quaclrs.augment import COPIES, parent_and_variant
from quaclrs.labels import CLASS_NAMES
from training.clips.copies import choose_copies, with_copies


def clips_of(count: int, label: str = "dog_bark", fold: int = 1) -> list[tuple[str, str, int]]:
    """Id, class and fold of so many clips."""
    return [(f"u/{label}-{fold}-{i}", label, fold) for i in range(count)]


def test_filling_never_drops_an_original_and_goes_round_clips_and_variants():
    clips = [*clips_of(100), *clips_of(30, "gun_shot"), *clips_of(30, "gun_shot", 2), *clips_of(2, "police")]
    copies, short = choose_copies(*zip(*clips, strict=True), 80)
    assert choose_copies(*zip(*clips[::-1], strict=True), 80) == (copies, short)
    assert short.endswith("used: police fold 1: 24")
    counts = {clip_id: len(names) for clip_id, names in copies.items()}
    assert {count for clip_id, count in counts.items() if "dog_bark" in clip_id} == {0}
    assert sorted(count for clip_id, count in counts.items() if "gun_shot-1" in clip_id) == [1] * 10 + [2] * 20
    assert all(names == sorted(set(names), key=COPIES.index) for names in copies.values())
    used = Counter(name for clip_id, names in copies.items() if "gun_shot-1" in clip_id for name in names)
    assert set(used) == set(COPIES)
    assert max(used.values()) - min(used.values()) <= 2
    assert {tuple(names) for clip_id, names in copies.items() if "police" in clip_id} == {tuple(COPIES)}


def test_filling_many_classes_by_a_few_copies_uses_all_variants_equally():
    clips = [clip for fold in range(1, 11) for label in CLASS_NAMES for clip in clips_of(40, label, fold)]
    copies, short = choose_copies(*zip(*clips, strict=True), 45)
    used = Counter(name for names in copies.values() for name in names)
    assert not short
    assert sum(used.values()) == 5 * 130
    assert max(used.values()) - min(used.values()) <= 2


def test_filling_beyond_twelve_variants_a_clip_says_so_in_one_line_and_keeps_what_there_is():
    clips = [clip for fold in range(1, 5) for label in ("car_horn", "dog_bark") for clip in clips_of(1, label, fold)]
    copies, short = choose_copies(*zip(*clips, strict=True), 449)
    assert all(names == list(COPIES) for names in copies.values())
    assert "\n" not in short
    assert short.startswith("--fill-per-fold 449 is not reached")
    assert "dog_bark fold 1: 12" in short
    assert short.count(": 12") == 6
    assert short.endswith("and 2 more")


@pytest.mark.parametrize("fill_per_fold", [1, 6])
def test_filling_gives_every_class_and_paper_fold_the_same_number_of_rows(sample_dataset, fill_per_fold):
    clips = load_urbansound13(sample_dataset)
    names = [CLASS_NAMES[label] for label in clips["label"]]
    originals = Counter(zip(names, clips["fold_paper"][:], strict=True))
    copies, short = choose_copies(clips["clip_id"][:], names, clips["fold_paper"][:], fill_per_fold)
    filled = with_copies(clips, copies)
    cells = Counter(zip((CLASS_NAMES[label] for label in filled["label"]), filled["fold_paper"][:], strict=True))
    assert cells == {cell: max(count, fill_per_fold) for cell, count in originals.items()}
    assert len(cells) == 130
    assert not short


def test_a_copy_is_a_row_after_its_original_with_all_that_it_has_but_an_id_of_its_own(sample_dataset):
    clips = load_urbansound13(sample_dataset).select(range(40)).flatten_indices()
    copies = {clip_id: list(COPIES[i % 12 :: 5]) for i, clip_id in enumerate(clips["clip_id"])}
    filled = with_copies(clips, copies)
    expected = [f"{clip}{'#' * bool(name)}{name}" for clip, names in copies.items() for name in ("", *names)]
    assert filled["clip_id"][:] == expected
    originals = {row["clip_id"]: row for row in clips}
    for row in filled:
        original = originals[parent_and_variant(row["clip_id"])[0]]
        assert {**row, "clip_id": None} == {**original, "clip_id": None}
    # Copies add ids and no audio.
    assert filled.data.nbytes < 13 * clips.data.nbytes
    assert filled.cache_files == clips.cache_files * len({*COPIES} & {n for of in copies.values() for n in of} | {""})
