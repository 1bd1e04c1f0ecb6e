"""SimCLR and MoCo against the formulas of their papers: losses, gradients and the figures that are logged."""

from __future__ import annotations

import math

import pytest
import torch
from ssl_stand_ins import CLIPS, assert_same_loss_and_gradients, build, random_views, unit

from quaclrs.errors import QuaclrsError
from quaclrs.ssl import METHODS


def nt_xent(first: torch.Tensor, second: torch.Tensor, temperature: float) -> torch.Tensor:
    """Chen et al., 2020, equation 1, averaged over all (i, j) and (j, i)."""
    z = unit(torch.cat([first, second]))
    count = len(first)
    losses = []
    for i in range(2 * count):
        j = (i + count) % (2 * count)
        others = [torch.exp(z[i] @ z[k] / temperature) for k in range(2 * count) if k != i]
        losses.append(-torch.log(torch.exp(z[i] @ z[j] / temperature) / sum(others)))
    return sum(losses) / len(losses)


def info_nce(queries: torch.Tensor, keys: torch.Tensor, queue: torch.Tensor, temperature: float) -> torch.Tensor:
    """He et al., 2020, equation 1, averaged over queries."""
    losses = []
    for query, key in zip(unit(queries), unit(keys), strict=True):
        positive = torch.exp(query @ key / temperature)
        negatives = sum(torch.exp(query @ negative / temperature) for negative in queue)
        losses.append(-torch.log(positive / (positive + negatives)))
    return sum(losses) / len(losses)


def simclr_projections(method, views):
    """Both views share a forward pass, and with it BatchNorm's statistics."""
    return method.projection(method.encoder(torch.cat(views))).chunk(2)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_simclr_is_nt_xent_of_both_views(temperature):
    method, twin, views = build("simclr", temperature=temperature), build("simclr"), random_views()
    expected = nt_xent(*simclr_projections(twin, views), temperature)
    assert_same_loss_and_gradients(method, method(views).loss, twin, expected)


def test_simclr_logs_the_cosines_of_one_clip_and_of_two_and_how_often_the_nearest_is_the_right_one():
    method, twin, views = build("simclr"), build("simclr"), random_views()
    logs = method(views).logs
    first, second = (unit(z).detach() for z in simclr_projections(twin, views))
    pairs = [(i, j) for i in range(CLIPS) for j in range(CLIPS) if i != j]
    assert float(logs["positive_similarity"]) == pytest.approx(
        sum(float(first[i] @ second[i]) for i in range(CLIPS)) / CLIPS, abs=1e-5
    )
    assert float(logs["negative_similarity"]) == pytest.approx(
        sum(float(first[i] @ second[j]) for i, j in pairs) / len(pairs), abs=1e-5
    )
    nearest = [max(range(CLIPS), key=lambda j: float(first[i] @ second[j])) for i in range(CLIPS)]
    assert float(logs["contrastive_accuracy"]) == pytest.approx(
        sum(i == j for i, j in enumerate(nearest)) / CLIPS, abs=1e-6
    )


def test_a_batch_of_twice_the_same_sound_costs_simclr_the_log_of_all_others():
    method = build("simclr")
    views = [torch.ones(CLIPS, 5, 7)] * 2
    # Every projection is the same, so each of the 2 N - 1 others is equally likely.
    assert float(method.eval()(views).loss.detach()) == pytest.approx(math.log(2 * CLIPS - 1), abs=1e-4)


def moco_projections(method, views):
    """Queries of the first view; keys of the second, of even and odd clips with statistics of their own."""
    queries = method.projection(method.encoder(views[0]))
    keys = torch.zeros_like(queries)
    with torch.no_grad():
        for parity in (0, 1):
            keys[parity::2] = method.key_projection(method.key_encoder(views[1][parity::2]))
    return queries, keys


@pytest.mark.parametrize("temperature", [0.07, 0.5])
@pytest.mark.parametrize("name", ["moco", "moco_v2"])
def test_moco_is_info_nce_of_query_key_and_the_queue_as_it_was_before_the_step(name, temperature):
    method, twin, views = build(name, temperature=temperature), build(name), random_views()
    queries, keys = moco_projections(twin, views)
    expected = info_nce(queries, keys, twin.queue.keys.clone(), temperature)
    assert_same_loss_and_gradients(method, method(views).loss, twin, expected)


@pytest.mark.parametrize("name", ["moco", "moco_v2"])
def test_moco_logs_the_cosines_to_key_and_queue(name):
    method, twin, views = build(name), build(name), random_views()
    logs = method(views).logs
    queries, keys = (unit(z).detach() for z in moco_projections(twin, views))
    negative = [float(q @ k) for q in queries for k in twin.queue.keys]
    positive = [float(q @ k) for q, k in zip(queries, keys, strict=True)]
    best = [max(float(q @ k) for k in twin.queue.keys) for q in queries]
    assert float(logs["positive_similarity"]) == pytest.approx(sum(positive) / CLIPS, abs=1e-5)
    assert float(logs["negative_similarity"]) == pytest.approx(sum(negative) / len(negative), abs=1e-5)
    hits = sum(p > b for p, b in zip(positive, best, strict=True)) / CLIPS
    assert float(logs["contrastive_accuracy"]) == pytest.approx(hits, abs=1e-6)


def test_moco_has_a_linear_head_and_moco_v2_one_with_a_hidden_layer():
    assert isinstance(build("moco").projection, torch.nn.Linear)
    linear = [layer for layer in build("moco_v2").projection.modules() if isinstance(layer, torch.nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in linear] == [(6, 8), (8, 4)]


@pytest.mark.parametrize("name", list(METHODS))
def test_the_embeddings_of_a_step_are_the_trained_encoders_of_the_first_view(name):
    method, twin, views = build(name), build(name), random_views()
    embeddings = method(views).embeddings
    together = name in ("simclr", "dino", "swav")
    expected = twin.encoder(torch.cat(views))[:CLIPS] if together else twin.encoder(views[0])
    torch.testing.assert_close(embeddings, expected)
    assert embeddings.requires_grad and embeddings.dtype == torch.float32


@pytest.mark.parametrize("name", list(METHODS))
def test_a_wrong_number_of_views_is_refused(name):
    method = build(name)
    multi_crop = name in ("dino", "swav")
    with pytest.raises(QuaclrsError, match=f"learns from {'at least two' if multi_crop else 'two'} views.*not 1"):
        method(random_views()[:1])
    if multi_crop:
        assert torch.isfinite(method(random_views(local=1)).loss)
    else:
        with pytest.raises(QuaclrsError, match="learns from two views of a clip, not 3"):
            method(random_views(local=1))
