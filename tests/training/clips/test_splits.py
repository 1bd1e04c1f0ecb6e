import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from quaclrs.models import QuaclrsFeatureExtractor
from training.clips.splits import load_splits, thin_by_class
from training.runs.sampling import EpochSampler
from training.supervised.config import SupervisedConfig
from training.supervised.losses import class_weights


def test_class_weights_are_those_that_scikit_learn_calls_balanced():
    labels = np.repeat([0, 1, 2], [5, 20, 75])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    np.testing.assert_allclose(class_weights(labels, 3, "inverse").numpy(), expected, rtol=1e-6)


def test_a_class_without_clips_weighs_nothing_and_disturbs_no_other():
    with_gap = class_weights([0, 0, 2], 3, "inverse")
    assert with_gap[1] == 0
    torch.testing.assert_close(with_gap[[0, 2]], class_weights([0, 0, 1], 2, "inverse"))


def test_thinning_keeps_at_most_so_many_rows_a_class_in_order_and_by_seed():
    labels = np.tile([0, 1, 2], 50)
    rows = np.arange(20, 120)
    kept = thin_by_class(rows, labels, most=7, seed=3)
    assert (np.diff(kept) > 0).all()
    assert set(kept) <= set(rows)
    assert np.bincount(labels[kept]).tolist() == [7, 7, 7]
    assert (kept == thin_by_class(rows, labels, most=7, seed=3)).all()
    assert (kept != thin_by_class(rows, labels, most=7, seed=4)).any()


@pytest.fixture(scope="module")
def splits(sample_dataset):
    options = SupervisedConfig(dataset=str(sample_dataset), test_fold=4, output_dir="unused", max_clips_per_class=2)
    return load_splits(options, QuaclrsFeatureExtractor())


def test_thinning_touches_training_only(splits, sample_dataset):
    whole = SupervisedConfig(dataset=str(sample_dataset), test_fold=4, output_dir="unused")
    unthinned = load_splits(whole, QuaclrsFeatureExtractor())
    assert np.bincount(splits.train.labels).tolist() == [2] * 13
    assert splits.test.clip_ids == unthinned.test.clip_ids
    assert splits.validation.clip_ids == unthinned.validation.clip_ids


def test_batches_do_not_depend_on_the_number_of_workers(splits):
    alone = list(splits.validation.loader(batch_size=8))
    shared = list(splits.validation.loader(batch_size=8, num_workers=2))
    assert len(alone) == len(shared)
    for one, other in zip(alone, shared, strict=True):
        assert torch.equal(one["input_values"], other["input_values"])
        assert torch.equal(one["labels"], other["labels"])
    assert torch.cat([batch["labels"] for batch in alone]).tolist() == splits.validation.labels.tolist()


def test_a_shuffled_loader_drops_its_incomplete_batch_but_never_all_clips(splits):
    clips, sampler = len(splits.train), EpochSampler(splits.train.labels, seed=0)
    assert [len(b["labels"]) for b in splits.train.loader(8, sampler=sampler)] == [8] * (clips // 8)
    assert [len(b["labels"]) for b in splits.train.loader(1000, sampler=sampler)] == [clips]
