"""The loss of supervised training and its class weights against sums and formulas written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.supervised.losses import class_weights, weighted_losses

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.0], [-1.0, 3.0, 1.0], [0.0, 0.0, 0.0]])
LABELS = torch.tensor([0, 2, 1, 1])
WEIGHT = torch.tensor([1.0, 2.0, 0.5])


def classification_loss(*given, **options) -> torch.Tensor:
    total, weights = weighted_losses(*given, **options)
    return total / weights


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


def smoothed_cross_entropies(labels, smoothing: float, weight) -> np.ndarray:
    """-sum_c target_c w_c log p_c with the target (1 - s) one-hot + s / classes (Szegedy et al., 2016, section 7)."""
    logits = LOGITS.double().numpy()
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    target = (1 - smoothing) * np.eye(3)[labels.numpy()] + smoothing / 3
    return -(target * weight.double().numpy() * log_p).sum(1)


@pytest.mark.parametrize("mixed", [False, True])
def test_sums_of_parts_of_a_batch_add_up_to_those_of_the_whole(mixed):
    batch = {"labels": LABELS}
    if mixed:
        batch |= {"partner_labels": torch.tensor([1, 1, 0, 2]), "label_share": torch.tensor([0.7, 1.0, 0.25, 0.0])}
    sums = []
    for rows in ([0, 3, 1], [2]):
        part = {name: values[rows] for name, values in batch.items()}
        sums.append(torch.stack(weighted_losses(LOGITS[rows], part, WEIGHT)))
    torch.testing.assert_close(sum(sums), torch.stack(weighted_losses(LOGITS, batch, WEIGHT)))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.6])
def test_label_smoothing_spreads_a_share_of_the_target_over_all_classes(smoothing):
    expected = smoothed_cross_entropies(LABELS, smoothing, torch.ones(3)).mean()
    found = classification_loss(LOGITS, {"labels": LABELS}, label_smoothing=smoothing)
    assert float(found) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("mixed", [False, True])
def test_label_smoothing_goes_with_class_weights_and_mixup(mixed):
    partners = torch.tensor([1, 1, 0, 2])
    share = torch.tensor([0.7, 1.0, 0.25, 0.0]) if mixed else torch.ones(4)
    batch = {"labels": LABELS} | ({"partner_labels": partners, "label_share": share} if mixed else {})
    s, weights = share.double().numpy(), WEIGHT.double().numpy()
    total = s * smoothed_cross_entropies(LABELS, 0.2, WEIGHT)
    total += (1 - s) * smoothed_cross_entropies(partners, 0.2, WEIGHT)
    expected = total.sum() / (s * weights[LABELS] + (1 - s) * weights[partners]).sum()
    assert float(classification_loss(LOGITS, batch, WEIGHT, 0.2)) == pytest.approx(expected, rel=1e-6)


COUNTS = np.array([5, 20, 75])
COUNTED = np.repeat([0, 1, 2], COUNTS)


@pytest.mark.parametrize("beta", [0.9, 0.99, 0.9999])
def test_effective_weights_are_inverse_to_the_effective_number_of_clips(beta):
    effective_number = np.array([sum(beta**i for i in range(n)) for n in COUNTS])  # Cui et al. (2019), section 3
    weights = class_weights(COUNTED, 3, "effective", beta).double().numpy()
    np.testing.assert_allclose(weights * effective_number, (weights * effective_number)[0], rtol=1e-5)
    assert (weights * COUNTS).sum() / COUNTS.sum() == pytest.approx(1)  # the mean clip weighs 1


def test_effective_weights_go_from_none_at_beta_0_to_inverse_at_beta_1():
    np.testing.assert_allclose(class_weights(COUNTED, 3, "effective", 1e-9), [1, 1, 1], rtol=1e-6)
    # 100 clips in 3 classes: n / (classes * count).
    inverse = 100 / (3 * COUNTS)
    np.testing.assert_allclose(class_weights(COUNTED, 3, "effective", 1 - 1e-9), inverse, rtol=1e-5)
    np.testing.assert_allclose(class_weights(COUNTED, 3, "inverse"), inverse, rtol=1e-6)


def test_weights_of_none_are_1_for_every_class_even_without_clips():
    assert class_weights([0, 0, 2], 4, "none").tolist() == [1, 1, 1, 1]
    assert class_weights([0, 0, 2], 4, "effective", 0.9)[[1, 3]].tolist() == [0, 0]
