"""The config augmented: variants of every clip, their folds, and filling classes by copies."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from urllib.parse import quote

import pytest
from built_pictures import assert_is_the_picture, build, picture_of, rows_of, waveform_of
from datasets import load_dataset

from dataset_builder.__main__ import main
from dataset_builder.sources.source import SourceClip
from dataset_builder.table.pictures import choose_copies
from quaclrs import load_urbansound13
from quaclrs.augment import VARIANTS, make_variant, model_front_end
from quaclrs.labels import CLASS_NAMES

COPIES = [name for name in VARIANTS if name != "original"]


def test_augmented_has_every_variant_of_every_clip_once_under_ids_and_file_names_of_their_own(built):
    parents = {row["clip_id"]: row for row in rows_of(built["audio"])}
    rows = rows_of(built["augmented"])
    assert Counter((r["parent_clip_id"], r["variant"]) for r in rows) == {(p, v): 1 for p in parents for v in VARIANTS}
    assert {row["clip_id"] for row in rows} == {f"{parent}#{variant}" for parent in parents for variant in VARIANTS}
    assert len({row["image"]["path"].casefold() for row in rows}) == len(rows)
    for row in rows:
        assert row["image"]["path"] == quote(row["clip_id"], safe="") + ".png"
        parent = parents[row["parent_clip_id"]]
        for column in parent.keys() - {"audio", "clip_id"}:
            assert row[column] == parent[column]


def test_augmented_pictures_are_those_of_the_variants(built):
    rows = {row["clip_id"]: row for row in rows_of(built["augmented"])}
    front_end = model_front_end()
    for parent in rows_of(built["audio"])[::8]:
        for variant in VARIANTS:
            log_mel = make_variant(variant, waveform_of(parent), parent["clip_id"], front_end=front_end)
            assert_is_the_picture(rows[f"{parent['clip_id']}#{variant}"], picture_of(log_mel))


@pytest.mark.slow
def test_another_seed_changes_what_is_drawn_at_random_and_nothing_else(sources, built, tmp_path):
    assert build(sources, tmp_path / "other", "--config", "augmented", "--seed", "1") == 0
    other = {row["clip_id"]: row for row in rows_of(tmp_path / "other")}
    changed = {
        row["variant"]
        for row in rows_of(built["augmented"])
        if row["image"]["bytes"] != other[row["clip_id"]]["image"]["bytes"]
    }
    assert changed == {name for name in VARIANTS if name.startswith(("noise", "spec", "patch"))}


@pytest.mark.parametrize("fold", [1, 2, 3, 9])
def test_copies_train_and_are_never_validated_or_tested_on(built, fold):
    ready = load_dataset(str(built["augmented"]), f"fold{fold}")
    originals = load_urbansound13(built["audio"], fold=fold)
    planned = load_urbansound13(built["augmented"], fold=fold)
    for split, part in ready.items():
        wanted = VARIANTS if split == "train" else ["original"]
        assert sorted(part["clip_id"]) == sorted(f"{c}#{v}" for c in originals[split]["clip_id"] for v in wanted)
        assert sorted(part["clip_id"]) == sorted(planned[split]["clip_id"])
    held_out = {*ready["validation"]["recording_id"], *ready["test"]["recording_id"]}
    assert not held_out & set(ready["train"]["recording_id"])


def test_the_papers_protocol_has_copies_in_every_split(built):
    splits = load_urbansound13(built["augmented"], fold=2, protocol="paper")
    assert all(set(part["variant"]) == set(VARIANTS) for part in splits.values())


@pytest.mark.parametrize("rows_per_cell", [1, 5])
def test_filling_gives_every_class_and_paper_fold_the_same_number_of_rows(sources, tmp_path, capsys, rows_per_cell):
    options = ["--config", "augmented", "--image-size", "32", "--fill-per-fold", str(rows_per_cell)]
    assert build(sources, tmp_path / "filled", *options) == 0
    rows = rows_of(tmp_path / "filled")
    cells = Counter((CLASS_NAMES[row["label"]], row["fold_paper"]) for row in rows)
    assert set(cells.values()) == {rows_per_cell}
    assert len(cells) == 18
    assert sum(row["variant"] == "original" for row in rows) == 18
    assert "--fill-per-fold" not in capsys.readouterr().out
    splits = load_dataset(str(tmp_path / "filled"), "fold2")  # with no copies there is no shard of copies to name
    assert set(splits["test"]["variant"]) == {"original"}


def test_filling_beyond_twelve_variants_a_clip_says_so_in_one_line_and_keeps_what_there_is(sources, tmp_path, capsys):
    old = ["--urbansound8k", str(sources / "UrbanSound8K"), "--output", str(tmp_path / "filled")]
    assert main(["build", *old, "--config", "augmented", "--image-size", "32", "--fill-per-fold", "449"]) == 0
    assert len(rows_of(tmp_path / "filled")) == 8 * 12
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "--fill-per-fold" in line]
    assert "449" in line
    assert "dog_bark fold 1: 12" in line
    assert line.count(": 12") == 6
    assert line.endswith("and 2 more")


def clips_of(count: int, label: str = "dog_bark", fold: int = 1) -> list[SourceClip]:
    return [SourceClip(f"u/{label}-{fold}-{i}", Path(), label, "u", "", "", fold_paper=fold) for i in range(count)]


def test_filling_never_drops_an_original_and_goes_round_clips_and_variants():
    clips = [*clips_of(100), *clips_of(30, "gun_shot"), *clips_of(30, "gun_shot", 2), *clips_of(2, "police")]
    copies, short = choose_copies(clips, 80)
    assert choose_copies(clips[::-1], 80) == (copies, short)
    assert short == ["police fold 1: 24"]
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
    copies, short = choose_copies(clips, 45)
    used = Counter(name for names in copies.values() for name in names)
    assert not short
    assert sum(used.values()) == 5 * 130
    assert max(used.values()) - min(used.values()) <= 2
