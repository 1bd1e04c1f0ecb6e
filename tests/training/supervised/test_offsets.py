"""Offsets of logits by clips that were not heard."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp, softmax

from training.supervised.offsets import fit_offsets

SHIFT = np.array([1.0, 0.0, -1.5, 0.5])


def draw(clips: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels that are drawn by them with the shift added: as of a network that calls classes too seldom."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, (clips, len(SHIFT)))
    labels = np.array([generator.choice(len(SHIFT), p=softmax(row + SHIFT)) for row in logits])
    return logits, labels


def test_offsets_are_those_by_which_the_labels_were_drawn() -> None:
    logits, labels = draw(20_000, seed=1)
    # As many of each class: their weights are then those of the draw.
    rows = np.concatenate([np.flatnonzero(labels == label)[:1500] for label in range(len(SHIFT))])
    weights = np.bincount(labels) / len(labels)  # dealing out classes alike moves the logits by the log of their share
    wanted = SHIFT - np.log(weights)

    found = fit_offsets(logits[rows], labels[rows], np.arange(len(rows)))

    assert found.mean() == pytest.approx(0, abs=1e-9)
    assert found == pytest.approx(wanted - wanted.mean(), abs=0.15)


def test_no_other_offsets_make_the_clips_likelier_each_class_and_each_root_of_a_recordings_clips_alike() -> None:
    logits, labels = draw(400, seed=2)
    recordings = np.arange(len(labels)) // 7 * 10 + labels  # of one to seven clips
    _, place, clips = np.unique(recordings, return_inverse=True, return_counts=True)
    weights = clips[place] ** -0.5
    for label in range(len(SHIFT)):
        weights[labels == label] /= weights[labels == label].sum()

    def penalised(offsets: np.ndarray, scale: float) -> float:
        moved = (logits + offsets) * scale
        losses = logsumexp(moved, axis=1) - moved[np.arange(len(labels)), labels]
        loss = np.average(losses, weights=weights)
        return loss + 0.01 * (offsets**2).sum()

    found = fit_offsets(logits, labels, recordings)

    scales = np.linspace(0.3, 2, 171)
    lowest = min(penalised(found, scale) for scale in scales)
    generator = np.random.default_rng(3)
    for _ in range(20):
        moved = found + generator.normal(0, 0.1, len(found))
        assert min(penalised(moved, scale) for scale in scales) > lowest


def test_a_class_without_a_clip_is_left_as_it_is() -> None:
    logits, labels = draw(300, seed=4)
    labels[labels == 2] = 0

    found = fit_offsets(logits, labels, np.arange(300))

    assert found[2] == 0 and abs(found[0]) > 0.1
