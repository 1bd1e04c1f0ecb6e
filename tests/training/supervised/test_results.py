"""The test of a run: its controls against shortcuts, and which epoch and weights it is told of."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import balanced_accuracy_score, f1_score
from torch import nn
from transformers.modeling_outputs import SequenceClassifierOutput

from quaclrs import load_urbansound13
from quaclrs.evaluation import shortcuts
from quaclrs.labels import SIRENNET_CLASSES
from quaclrs.models import QuaclrsFeatureExtractor
from training.clips.splits import load_splits
from training.runs.metrics import shortcut_control
from training.supervised.config import SupervisedConfig
from training.supervised.evaluation import best_epoch, is_patience_over, kept_epoch, probabilities_of
from training.supervised.results import describe_initial_weights

RATE = 48_000


def options(dataset="data", **changed) -> SupervisedConfig:
    return SupervisedConfig(dataset=str(dataset), test_fold=2, output_dir="out", **changed)


class Listener(nn.Module):
    """Remembers the waveforms that it is given; its logits are a clip's first 13 samples."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[torch.Tensor] = []

    def forward(self, input_values: torch.Tensor) -> SequenceClassifierOutput:
        self.heard.append(input_values)
        return SequenceClassifierOutput(logits=input_values[:, :13])


def heard_samples(split) -> np.ndarray:
    """What a model is given of a split's clips: (clips, samples)."""
    listener = Listener()
    found = probabilities_of(Accelerator(), listener, split, split.loader(batch_size=10))
    heard = torch.cat(listener.heard).numpy()
    exponentials = np.exp(heard[:, :13].astype(np.float64))
    np.testing.assert_allclose(found, exponentials / exponentials.sum(axis=1, keepdims=True), rtol=1e-12)
    return heard


@pytest.fixture(scope="module")
def splits(sample_dataset):
    return load_splits(options(sample_dataset), QuaclrsFeatureExtractor())


def test_the_cut_control_lets_the_model_hear_no_more_than_2_9_s_of_any_clip(splits):
    whole, cut = heard_samples(splits.test), heard_samples(splits.test.cut_at_random(seed=0))
    longest = round(2.9 * RATE)
    assert whole.shape == cut.shape == (len(splits.test), 4 * RATE)
    assert np.any(whole[:, longest:], axis=1).mean() > 0.3  # many clips are longer
    assert not cut[:, longest:].any()
    lengths = [np.flatnonzero(clip)[-1] + 1 for clip in cut]
    of_sirens = [n for n, row in zip(lengths, splits.test.rows, strict=True) if row["source"] == "sirennet"]
    assert min(of_sirens) >= RATE - 2  # the last samples of a piece may happen to be 0
    assert len(set(of_sirens)) == len(of_sirens)
    assert np.array_equal(cut, heard_samples(splits.test.cut_at_random(seed=0)))
    assert not np.array_equal(cut, heard_samples(splits.test.cut_at_random(seed=1)))


def test_clips_are_cut_before_they_are_filled_up_by_repeating(sample_dataset):
    repeating = load_splits(options(sample_dataset), QuaclrsFeatureExtractor({"pad_mode": "repeat"}))
    clips = heard_samples(repeating.test.cut_at_random(seed=0))
    assert len(clips) == len(repeating.test)
    for clip in clips:
        # The piece begins again within 2.9 s, and all that follows repeats it.
        starts = 1 + np.flatnonzero(clip[1 : round(2.9 * RATE) + 1] == clip[0])
        assert any(np.array_equal(clip[start:], clip[:-start]) for start in starts)


def test_a_loader_in_another_order_is_not_taken_for_the_split(splits):
    batches = list(splits.test.loader(batch_size=10))[::-1]
    with pytest.raises(RuntimeError, match="another order"):
        probabilities_of(Accelerator(), Listener(), splits.test, batches)


@pytest.mark.parametrize(("refit", "few"), [(False, False), (True, False), (False, True)])
def test_the_shortcut_control_is_a_forest_on_length_channels_and_rate(sample_dataset, splits, monkeypatch, refit, few):
    monkeypatch.setattr(shortcuts, "TREES", 200)
    of_split = {}
    for name in ("train", "validation", "test"):
        rows = load_urbansound13(sample_dataset, fold=2, split=name)
        columns = [rows[c][:] for c in ("duration", "original_channels", "original_sampling_rate")]
        of_split[name] = np.stack(columns, axis=1).astype(float), np.array(rows["label"][:])
    if few:  # what a network is not told, the control is not told either
        known = np.arange(len(splits.train)) % 3 == 0
        splits = dataclasses.replace(splits, train=dataclasses.replace(splits.train, labelled=known))
        of_split["train"] = tuple(values[known] for values in of_split["train"])
    forest = RandomForestClassifier(200, min_samples_leaf=3, class_weight="balanced", random_state=0)
    features, labels = of_split["test"]
    heard = [of_split["train"], *([of_split["validation"]] if refit else [])]
    predicted = forest.fit(*map(np.concatenate, zip(*heard, strict=True))).predict(features)
    control = shortcut_control(splits, seed=0, refit=refit)
    new = np.isin(np.array(splits.class_names)[labels], SIRENNET_CLASSES)
    assert control == pytest.approx({
        "accuracy": np.mean(predicted == labels),
        "balanced_accuracy": balanced_accuracy_score(labels, predicted),
        "macro_f1": f1_score(labels, predicted, average="macro", labels=np.unique(labels)),
        "accuracy_urbansound8k": np.mean(predicted[~new] == labels[~new]),
        "accuracy_sirennet": np.mean(predicted[new] == labels[new]),
    })  # fmt: skip


def test_the_kept_epoch_is_the_best_or_the_last():
    history = [
        {"epoch": e, "validation_accuracy": a, "validation_loss": 1.0} for e, a in ((1, 0.5), (2, 0.7), (3, 0.6))
    ]
    assert (kept_epoch("best", history), kept_epoch("last", history)) == (2, 3)


def test_patience_ends_a_run_only_after_a_look_at_the_validation_clips():
    looked = {"validation_accuracy": 0.5, "validation_loss": 1.0}
    history = [{"epoch": 1}, {"epoch": 2, **looked}, {"epoch": 3}, {"epoch": 4, **looked}]
    assert [is_patience_over(2, history[:epochs]) for epochs in range(5)] == [False, False, False, False, True]
    assert not is_patience_over(0, history) and not is_patience_over(3, history)


def test_the_best_epoch_has_the_highest_accuracy_and_of_several_the_lowest_loss():
    figures = [(0.5, 1.0), (0.7, 0.9), (0.6, 0.1), (0.7, 0.8), (0.7, 0.8)]
    history = [
        {"epoch": epoch, "validation_accuracy": accuracy, "validation_loss": loss}
        for epoch, (accuracy, loss) in enumerate(figures, start=1)
    ]
    assert best_epoch(history) == 4
    assert best_epoch(history[:3]) == 2
    assert best_epoch([{"epoch": 1}, *history[1:3], {"epoch": 4, "validation_accuracy": None}]) == 2
    assert best_epoch([{"epoch": 1}]) == 0


@pytest.mark.parametrize(
    ("changed", "described"),
    [
        ({}, "random init"),
        ({"mode": "finetune"}, "pretrained"),
        ({"mode": "finetune", "initial_weights": "random"}, "random init"),
        ({"mode": "linear_probe", "init_from": "runs/7"}, "init from runs/7"),
    ],
)
def test_initial_weights_are_called_what_they_are_whatever_the_mode(changed, described):
    assert describe_initial_weights(options(**changed)) == described
