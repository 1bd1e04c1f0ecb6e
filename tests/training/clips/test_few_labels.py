"""Which training clips keep their labels when only some recordings of each class were labelled."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from training.clips.few_labels import keep_labelled

#: 3 classes of 10, 4 and 1 recordings; a recording has 1 to 4 clips.
RECORDINGS = {0: 10, 1: 4, 2: 1}
CLIPS = [
    (label, f"recording-{label}-{recording}")
    for label, count in RECORDINGS.items()
    for recording in range(count)
    for _ in range(1 + recording % 4)
]
SHUFFLED = [CLIPS[i] for i in np.random.default_rng(0).permutation(len(CLIPS))]
LABELS = np.array([label for label, _ in SHUFFLED])
IDS = [recording for _, recording in SHUFFLED]
ALL = np.arange(len(CLIPS))


def kept_recordings(rows: np.ndarray) -> dict[int, set[str]]:
    return {label: {IDS[row] for row in rows if LABELS[row] == label} for label in RECORDINGS}


def test_by_default_all_labels_are_known():
    assert keep_labelled(ALL, LABELS, IDS).tolist() == ALL.tolist()


@pytest.mark.parametrize("options", [{"recordings": "3"}, {"fraction": 0.4}])
def test_a_recording_is_kept_whole_or_not_at_all_and_rows_stay_in_order(options):
    kept = keep_labelled(ALL, LABELS, IDS, **options)
    chosen = {IDS[row] for row in kept}
    assert kept.tolist() == [row for row in ALL if IDS[row] in chosen]
    assert 0 < len(kept) < len(ALL)


@pytest.mark.parametrize(("wanted", "found"), [("1", [1, 1, 1]), ("3", [3, 3, 1]), ("8", [8, 4, 1])])
def test_so_many_recordings_a_class_are_kept_and_of_a_class_with_fewer_all(wanted, found):
    kept = kept_recordings(keep_labelled(ALL, LABELS, IDS, recordings=wanted))
    assert [len(kept[label]) for label in RECORDINGS] == found


@pytest.mark.parametrize(
    ("fraction", "found"), [(0.01, [1, 1, 1]), (0.26, [3, 1, 1]), (0.5, [5, 2, 1]), (0.95, [10, 4, 1])]
)
def test_a_fraction_is_of_each_classs_recordings_rounded_and_one_at_least(fraction, found):
    kept = kept_recordings(keep_labelled(ALL, LABELS, IDS, fraction=fraction))
    assert [len(kept[label]) for label in RECORDINGS] == found


@pytest.mark.parametrize(
    "growing", [[{"recordings": str(n)} for n in range(1, 11)], [{"fraction": f / 10} for f in range(1, 11)]]
)
def test_fewer_labels_are_among_more(growing):
    kept = [set(keep_labelled(ALL, LABELS, IDS, **options, seed=4)) for options in growing]
    assert all(fewer <= more for fewer, more in pairwise(kept))
    assert len(kept[0]) < len(kept[-1])
    assert kept[-1] == set(ALL)


def test_the_draw_depends_on_the_seed_alone():
    first = keep_labelled(ALL, LABELS, IDS, recordings="2", seed=1)
    assert keep_labelled(ALL, LABELS, IDS, recordings="2", seed=1).tolist() == first.tolist()
    others = {tuple(keep_labelled(ALL, LABELS, IDS, recordings="2", seed=seed)) for seed in range(5)}
    assert len(others) > 1


def test_a_classs_draw_does_not_depend_on_the_other_classes():
    alone = ALL[LABELS == 1]
    kept = keep_labelled(ALL, LABELS, IDS, recordings="2", seed=3)
    assert keep_labelled(alone, LABELS, IDS, recordings="2", seed=3).tolist() == kept[LABELS[kept] == 1].tolist()


def test_rows_that_do_not_train_are_neither_kept_nor_counted():
    training = ALL[np.isin(IDS, [f"recording-0-{i}" for i in range(4)])]
    kept = keep_labelled(training, LABELS, IDS, fraction=0.5)
    assert set(kept) <= set(training)
    assert len({IDS[row] for row in kept}) == 2
