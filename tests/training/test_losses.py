"""The loss of supervised training against sums written out."""

import numpy as np
import pytest
import torch

from training.losses import classification_loss

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.0], [-1.0, 3.0, 1.0], [0.0, 0.0, 0.0]])
LABELS = torch.tensor([0, 2, 1, 1])
WEIGHT = torch.tensor([1.0, 2.0, 0.5])


def cross_entropies(labels) -> np.ndarray:
    logits = LOGITS.double().numpy()
    return np.log(np.exp(logits).sum(1)) - logits[np.arange(4), labels.numpy()]


def test_without_mixup_it_is_the_weighted_mean_cross_entropy():
    weights = WEIGHT.double().numpy()[LABELS]
    expected = (weights * cross_entropies(LABELS)).sum() / weights.sum()
    assert float(classification_loss(LOGITS, {"labels": LABELS}, WEIGHT)) == pytest.approx(expected, rel=1e-6)
    assert float(classification_loss(LOGITS, {"labels": LABELS})) == pytest.approx(cross_entropies(LABELS).mean())


def test_under_mixup_both_labels_count_by_their_shares():
    partners, share = torch.tensor([1, 1, 0, 2]), torch.tensor([0.7, 1.0, 0.25, 0.0])
    batch = {"labels": LABELS, "partner_labels": partners, "label_share": share}
    s, weights = share.double().numpy(), WEIGHT.double().numpy()
    total = s * weights[LABELS] * cross_entropies(LABELS) + (1 - s) * weights[partners] * cross_entropies(partners)
    expected = total.sum() / (s * weights[LABELS] + (1 - s) * weights[partners]).sum()
    assert float(classification_loss(LOGITS, batch, WEIGHT)) == pytest.approx(expected, rel=1e-6)


def test_a_share_of_1_throughout_is_no_mixup():
    batch = {"labels": LABELS, "partner_labels": LABELS.flip(0), "label_share": torch.ones(4)}
    torch.testing.assert_close(
        classification_loss(LOGITS, batch, WEIGHT), classification_loss(LOGITS, {"labels": LABELS}, WEIGHT)
    )
