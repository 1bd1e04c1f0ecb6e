"""The config augmented: pictures of every variant of every clip, the copies that training makes, and their folds."""

from __future__ import annotations

from collections import Counter
from urllib.parse import quote

import pytest
from built_pictures import assert_is_the_picture, picture_of, rows_of, waveform_of
from datasets import load_dataset

from quaclrs import load_urbansound13
from quaclrs.augment import VARIANTS, VariantLogMel, copy_id
from quaclrs.models import LogMelSpectrogram


def test_augmented_has_every_variant_of_every_clip_once_under_ids_and_file_names_of_their_own(built):
    parents = {row["clip_id"]: row for row in rows_of(built["audio"])}
    rows = rows_of(built["augmented"])
    named = {f"{parent}#{variant}" for parent in parents for variant in VARIANTS if variant != "original"}
    assert Counter(row["clip_id"] for row in rows) == Counter({*parents, *named})
    assert len({row["image"]["path"].casefold() for row in rows}) == len(rows)
    for row in rows:
        assert row["image"]["path"] == quote(row["clip_id"], safe="") + ".png"
        parent, _, variant = row["clip_id"].partition("#")
        assert row["variant"] == (variant or "original")
        for column in parents[parent].keys() - {"audio", "clip_id"}:
            assert row[column] == parents[parent][column]


def test_augmented_pictures_are_those_of_the_copies_that_training_makes(built):
    rows = {row["clip_id"]: row for row in rows_of(built["augmented"])}
    make = VariantLogMel(LogMelSpectrogram(), seed=0)
    for parent in rows_of(built["audio"])[::8]:
        for clip_id in (copy_id(parent["clip_id"], variant) for variant in VARIANTS):
            assert_is_the_picture(rows[clip_id], picture_of(make(waveform_of(parent), clip_id)))


@pytest.mark.parametrize("fold", [1, 2, 3, 9])
def test_copies_train_and_are_never_validated_or_tested_on(built, fold):
    ready = load_dataset(str(built["augmented"]), f"fold{fold}")
    originals = load_urbansound13(built["audio"], fold=fold)
    for split, part in ready.items():
        wanted = VARIANTS if split == "train" else ["original"]
        assert sorted(part["clip_id"]) == sorted(copy_id(c, v) for c in originals[split]["clip_id"] for v in wanted)
    held_out = {*ready["validation"]["recording_id"], *ready["test"]["recording_id"]}
    assert not held_out & set(ready["train"]["recording_id"])


def test_the_card_counts_clips_and_not_their_copies(built):
    audio, augmented = ((built[kind] / "README.md").read_text() for kind in ("audio", "augmented"))
    table = "## Clips by class and fold"
    rows = [card.split(table)[1].split("\n\n")[1] for card in (audio, augmented)]
    assert rows[0] == rows[1]
    assert "one of the paper's twelve variants" in augmented
    assert not (built["augmented"] / "classes.png").exists()
    assert "classes.png" not in augmented
