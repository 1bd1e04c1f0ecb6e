"""Log-mels that are made once: training hears what it would hear if they were made in every epoch."""

import numpy as np
import pytest
import torch

from quaclrs.augment import AugmentedLogMel, load_policies
from quaclrs.models import LogMelConfig, LogMelSpectrogram, QuaclrsFeatureExtractor
from training.clips.splits import load_splits
from training.clips.stored import bytes_of_log_mel, log_mels_of, stored
from training.supervised import trainable
from training.supervised.config import SupervisedConfig
from training.supervised.model import build_model

LOG_MEL = LogMelConfig(image_size=32)


def config(dataset, **options) -> SupervisedConfig:
    given = {"backbone": "test_efficientnet", "image_size": 32, "max_clips_per_class": 2, **options}
    return SupervisedConfig(dataset=str(dataset), test_fold=4, output_dir="unused", **given)


def splits_under(dataset, policy: str):
    (of_policy,) = load_policies(policy)
    augmentation = AugmentedLogMel(of_policy, LogMelSpectrogram(LOG_MEL))
    return load_splits(
        config(dataset), QuaclrsFeatureExtractor(log_mel=LOG_MEL.to_dict()), [augmentation]
    ), augmentation


def test_stored_log_mels_are_augmented_as_those_of_the_waveforms(sample_dataset):
    splits, augmentation = splits_under(sample_dataset, "masks")
    log_mels = log_mels_of(splits.train.plain(), augmentation.log_mel, num_workers=0)
    assert bytes_of_log_mel(augmentation.log_mel) == log_mels[0].nbytes
    kept = stored(splits.train, "input_features", log_mels, keyed=True)
    anew, once = (next(iter(split.loader(len(splits.train)))) for split in (splits.train, kept))
    for epoch in (1, 2):
        from_waveforms = augmentation.augment_batch(anew, seed=3, epoch=epoch)
        from_log_mels = augmentation.augment_batch(once, seed=3, epoch=epoch)
        assert from_log_mels.keys() == from_waveforms.keys() == {"input_features", "labels"}
        torch.testing.assert_close(from_log_mels["labels"], from_waveforms["labels"])
        moved = (from_log_mels["input_features"] - from_waveforms["input_features"]).abs().max()
        assert moved < 0.02 / 80  # float16: 0.02 dB of 80
    assert not torch.equal(from_log_mels["input_features"], once["input_features"])


@pytest.mark.parametrize(
    ("policy", "augment_on", "most", "in_memory"),
    [
        ("masks", "device", 2**31, True),
        ("masks", "worker", 2**31, False),
        ("masks", "device", 10**6, False),
        ("spec_augment.yaml", "device", 2**31, True),
        ("default", "device", 2**31, False),
        ("noise_5dB", "device", 2**31, False),
    ],
)
def test_training_clips_are_kept_where_nothing_acts_before_the_log_mel_and_they_fit(
    sample_dataset, tmp_path, monkeypatch, policy, augment_on, most, in_memory
):
    if policy.endswith(".yaml"):
        (tmp_path / policy).write_text("spec_augment: {n_masks: 1}\n")
        policy = str(tmp_path / policy)
    monkeypatch.setattr(trainable, "MOST_BYTES", most)
    splits, augmentation = splits_under(sample_dataset, policy)
    options = config(sample_dataset, augment=policy, augment_on=augment_on)
    model = build_model(options, splits.class_names, [LOG_MEL])
    prepared = trainable.classifier_on_clips(options, model, splits, hold_out=False, augmentation=augmentation)
    assert prepared.train.in_memory == in_memory
    assert (prepared.train.dataset is not splits.train.dataset) == in_memory


def test_classes_that_are_left_out_neither_train_nor_test_and_keep_their_labels(sample_dataset):
    whole = load_splits(config(sample_dataset, max_clips_per_class=None), QuaclrsFeatureExtractor())
    options = config(sample_dataset, max_clips_per_class=None, leave_out="police, traffic")
    without = load_splits(options, QuaclrsFeatureExtractor())
    gone = [whole.class_names.index(name) for name in ("police", "traffic")]
    assert without.class_names == whole.class_names
    for name in ("train", "validation", "test"):
        before, after = getattr(whole, name), getattr(without, name)
        kept = [c for c, label in zip(before.clip_ids, before.labels, strict=True) if label not in gone]
        assert after.clip_ids == kept != before.clip_ids
        assert not np.isin(after.labels, gone).any()
