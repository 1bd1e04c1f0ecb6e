"""The online probe and quasi-supervision: what is added up, and where the gradient of labels goes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ssl_stand_ins import CLIPS, build, random_views

from quaclrs.ssl import METHODS, UNLABELLED, QuasiSupervised

LABELS = torch.tensor([0, 2, UNLABELLED, 1, UNLABELLED, 2])
NONE = torch.full((CLIPS,), UNLABELLED)


def network(name: str = "simclr", **options) -> QuasiSupervised:
    method = build(name)
    torch.manual_seed(2)
    return QuasiSupervised(method, 3, **options).train()


def probe_logits(made: QuasiSupervised, embeddings: torch.Tensor) -> np.ndarray:
    """A linear classifier of embeddings that are standardised over the batch."""
    values = embeddings.detach().double().numpy()
    standard = (values - values.mean(0)) / np.sqrt(values.var(0) + 1e-5)
    linear = made.probe[1]
    return standard @ linear.weight.detach().double().numpy().T + linear.bias.detach().double().numpy()


def cross_entropy_of_labelled(logits: np.ndarray, labels: torch.Tensor) -> float:
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    known = [i for i, label in enumerate(labels.tolist()) if label != UNLABELLED]
    return float(np.mean([-np.log(shares[i, labels[i]]) for i in known])) if known else 0.0


def encoder_gradients(module: torch.nn.Module) -> list[torch.Tensor]:
    return [parameter.grad.clone() for parameter in module.parameters()]


@pytest.mark.parametrize("name", list(METHODS))
@pytest.mark.parametrize(("method_weight", "supervised_weight"), [(1.0, 0.5), (0.7, 0.3), (0.0, 1.0)])
def test_the_loss_is_the_weighted_sum_of_the_methods_and_the_cross_entropy_of_clips_with_labels(
    name, method_weight, supervised_weight
):
    made = network(name, method_weight=method_weight, supervised_weight=supervised_weight)
    alone = build(name)(random_views())
    output = made(random_views(), LABELS)
    supervised = cross_entropy_of_labelled(probe_logits(made, alone.embeddings), LABELS)
    expected = method_weight * float(alone.loss.detach()) + supervised_weight * supervised
    assert float(output.loss.detach()) == pytest.approx(expected, rel=1e-4)
    assert float(output.method_loss) == pytest.approx(float(alone.loss.detach()), rel=1e-5)
    assert not output.method_loss.requires_grad
    assert output.logs.keys() == alone.logs.keys()


@pytest.mark.parametrize(("supervised_weight", "detach"), [(0.0, False), (0.0, True), (0.3, True)])
def test_a_probe_that_only_watches_counts_fully_in_the_loss(supervised_weight, detach):
    made = network(method_weight=0.7, supervised_weight=supervised_weight, detach=detach)
    alone = build("simclr")(random_views())
    expected = 0.7 * float(alone.loss.detach())
    expected += cross_entropy_of_labelled(probe_logits(made, alone.embeddings), LABELS)
    assert float(made(random_views(), LABELS).loss.detach()) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", list(METHODS))
@pytest.mark.parametrize(("supervised_weight", "detach"), [(0.0, False), (0.3, True)])
def test_the_gradient_of_a_probe_that_only_watches_never_reaches_the_encoder(name, supervised_weight, detach):
    made, alone = network(name, supervised_weight=supervised_weight, detach=detach), build(name)
    made(random_views(), LABELS).loss.backward()
    alone(random_views()).loss.backward()
    for ours, theirs in zip(made.method.parameters(), alone.parameters(), strict=True):
        if theirs.grad is None:
            assert ours.grad is None
        else:
            torch.testing.assert_close(ours.grad, theirs.grad)
    assert float(made.probe[1].weight.grad.abs().max()) > 0


@pytest.mark.parametrize("name", list(METHODS))
def test_with_a_weight_the_gradient_of_labels_reaches_the_encoder_and_no_head(name):
    made, twin = network(name, supervised_weight=0.3), network(name)
    alone = build(name)
    alone(random_views()).loss.backward()
    made(random_views(), LABELS).loss.backward()
    # The same gradient from the formula: the twin's embeddings and probe, without a method.
    known = LABELS != UNLABELLED
    embeddings = twin.method(random_views()).embeddings
    standard = (embeddings - embeddings.mean(0)) / (embeddings.var(0, correction=0) + 1e-5).sqrt()
    logs = torch.log_softmax(twin.probe[1](standard), 1)
    (0.3 * -logs[known, LABELS[known]].mean()).backward()
    pairs = zip(*(encoder_gradients(m.encoder) for m in (made.method, alone, twin.method)), strict=True)
    for both, of_method, of_labels in pairs:
        torch.testing.assert_close(both, of_method + of_labels, rtol=1e-3, atol=1e-5)
    assert max(float(g.abs().max()) for g in encoder_gradients(twin.method.encoder)) > 1e-3
    head = [p.grad for n, p in made.method.named_parameters() if "encoder" not in n and p.grad is not None]
    expected = [p.grad for n, p in alone.named_parameters() if "encoder" not in n and p.grad is not None]
    for ours, theirs in zip(head, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_labels_of_clips_without_one_change_nothing():
    gradients = []
    for kept in ([0, 1, 2, 3, 4, 5], [0, 1, 3, 5]):
        made = network(supervised_weight=1.0, method_weight=0.0)
        made.method.eval()
        made.probe.eval()
        views = [view[kept] for view in random_views()]
        made(views, LABELS[kept]).loss.backward()
        gradients.append(made.probe[1].weight.grad)
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("supervised_weight", [0.0, 0.3])
def test_a_batch_without_labels_has_the_loss_of_the_method_and_finite_gradients(supervised_weight):
    made, alone = network(supervised_weight=supervised_weight), build("simclr")(random_views())
    output = made(random_views(), NONE)
    output.loss.backward()
    assert float(output.loss.detach()) == pytest.approx(float(alone.loss.detach()))
    assert all(torch.isfinite(p.grad).all() for p in made.parameters() if p.grad is not None)
    assert int(output.labelled) == int(output.hits) == 0


def test_hits_are_the_labelled_clips_that_the_probe_labels_rightly():
    made = network()
    logits = probe_logits(made, build("simclr")(random_views()).embeddings)
    best = logits.argmax(1)
    labels = torch.from_numpy(best.copy())
    labels[0] = (labels[0] + 1) % 3
    labels[1] = UNLABELLED
    output = made(random_views(), labels)
    assert int(output.labelled) == CLIPS - 1
    assert int(output.hits) == CLIPS - 2


def test_without_weights_the_method_counts_fully_and_labels_only_train_the_probe():
    made = QuasiSupervised(METHODS["simclr"](build("simclr").encoder), 3)
    assert made.method_weight == 1.0
    assert made.detach
    assert made.probe[1].in_features == made.method.hidden_size == 6
