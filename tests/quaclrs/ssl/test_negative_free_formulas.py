"""BYOL, Barlow Twins, DINO and SwAV against the formulas of their papers: losses and gradients."""

from __future__ import annotations

import pytest
import torch
from ssl_stand_ins import CLIPS, assert_same_loss_and_gradients, build, random_views, unit


def test_byol_is_the_squared_distance_of_unit_predictions_and_targets_in_both_directions():
    method, twin, views = build("byol"), build("byol"), random_views()
    # Each view has a forward pass, and with it BatchNorm's statistics, of its own.
    predictions = [unit(twin.prediction(twin.projection(twin.encoder(view)))) for view in views]
    with torch.no_grad():
        targets = [unit(twin.target_projection(twin.target_encoder(view))) for view in views]
    expected = (predictions[0] - targets[1]).square().sum(1).mean() + (predictions[1] - targets[0]).square().sum(
        1
    ).mean()
    assert_same_loss_and_gradients(method, method(views).loss, twin, expected)


def correlation(method, views) -> torch.Tensor:
    """Zbontar et al., 2021, equation 2, dimensions centred over the batch."""
    first, second = (method.projection(method.encoder(view)) for view in views)
    first, second = (z - z.mean(0) for z in (first, second))
    rows = []
    for i in range(first.shape[1]):
        norms = [first[:, i].norm() * second[:, j].norm() for j in range(second.shape[1])]
        rows.append(torch.stack([first[:, i] @ second[:, j] / norms[j] for j in range(second.shape[1])]))
    return torch.stack(rows)


@pytest.mark.parametrize(("redundancy_weight", "loss_scale"), [(5e-3, 0.1), (0.5, 1.0), (0.0, 2.0)])
def test_barlow_twins_is_the_scaled_distance_of_the_correlation_from_the_identity(redundancy_weight, loss_scale):
    options = {"redundancy_weight": redundancy_weight, "loss_scale": loss_scale}
    method, twin, views = build("barlow_twins", **options), build("barlow_twins"), random_views(clips=12)
    # BatchNorm's small constant moves correlations of widely spread projections only by rounding.
    for network in (method, twin):
        with torch.no_grad():
            network.projection.layers[-1].weight.mul_(30)
    c = correlation(twin, views)
    on = sum((1 - c[i, i]) ** 2 for i in range(len(c)))
    off = sum(c[i, j] ** 2 for i in range(len(c)) for j in range(len(c)) if i != j)
    output = method(views)
    assert float(output.logs["on_diagonal"]) == pytest.approx(float(c.detach().diagonal().mean()), abs=1e-4)
    mean_square = float(off.detach()) / (len(c) * (len(c) - 1))
    assert float(output.logs["off_diagonal"]) == pytest.approx(mean_square**0.5, abs=1e-4)
    assert_same_loss_and_gradients(method, output.loss, twin, loss_scale * (on + redundancy_weight * off))


def dino_loss(students, teachers, center, student_temperature, teacher_temperature):
    """Caron et al., 2021, equation 3: over all pairs of a teacher's view and another view of the student's."""
    terms = []
    for i, taught in enumerate(teachers):
        goal = torch.softmax((taught - center) / teacher_temperature, 1)
        for j, learnt in enumerate(students):
            if i != j:
                terms.append(-(goal * torch.log(torch.softmax(learnt / student_temperature, 1))).sum(1).mean())
    return sum(terms) / len(terms)


def of_each_length(network, views):
    """Outputs of every view; those of one length share a forward pass."""
    outputs = list(network(torch.cat(views[:2])).chunk(2))
    return outputs + (list(network(torch.cat(views[2:])).chunk(len(views) - 2)) if len(views) > 2 else [])


@pytest.mark.parametrize("local", [0, 1, 3])
@pytest.mark.parametrize(("progress", "temperature"), [(0.0, 0.02), (0.1, 0.04), (0.2, 0.06), (0.9, 0.06)])
def test_dino_is_the_cross_entropy_of_every_other_view_to_the_centred_and_sharpened_teacher(
    local, progress, temperature
):
    options = {"teacher_temperature": 0.06, "warmup_teacher_temperature": 0.02, "warmup_share": 0.2}
    method, twin = build("dino", student_temperature=0.2, **options), build("dino")
    views = random_views(local)
    center = 0.1 * torch.randn(9)
    method.loss.center.copy_(center[None, None])
    method.progress = progress
    students = [twin.projection(embedding) for embedding in of_each_length(twin.encoder, views)]
    with torch.no_grad():
        teachers = [twin.teacher_projection(e) for e in twin.teacher_encoder(torch.cat(views[:2])).chunk(2)]
    expected = dino_loss(students, teachers, center, 0.2, temperature)
    assert_same_loss_and_gradients(method, method(views).loss, twin, expected)


def test_the_centre_of_dino_is_a_running_mean_of_all_that_the_teacher_put_out():
    method, twin, views = build("dino", center_momentum=0.8), build("dino"), random_views(local=2)
    before = torch.randn(9)
    method.loss.center.copy_(before[None, None])
    method(views)
    with torch.no_grad():
        taught = [twin.teacher_projection(e) for e in twin.teacher_encoder(torch.cat(views[:2])).chunk(2)]
    expected = 0.8 * before + 0.2 * torch.cat(taught).mean(0)
    torch.testing.assert_close(method.loss.center.flatten(), expected)


def sinkhorn(scores: torch.Tensor, epsilon: float, iterations: int) -> torch.Tensor:
    """Caron et al., 2020, equation 3 and appendix A: equal shares of clips to prototypes, each clip's summing to 1."""
    q = torch.exp(scores.double().T / epsilon)
    q = q / q.sum()
    prototypes, clips = q.shape
    for _ in range(iterations):
        q = q / q.sum(1, keepdim=True) / prototypes
        q = q / q.sum(0, keepdim=True) / clips
    return (q * clips).T.float()


def swav_loss(scores, queued, temperature, epsilon, iterations):
    """Equations 1 and 2 with multi-crop: every view predicts the assignment of each of the other global views."""
    terms = []
    for i in range(2):
        with torch.no_grad():
            assigned = sinkhorn(torch.cat([scores[i], *queued[i]]), epsilon, iterations)[: len(scores[i])]
        for j, of_view in enumerate(scores):
            if i != j:
                predicted = torch.log_softmax(of_view / temperature, 1)
                terms.append(-(assigned * predicted).sum(1).mean())
    return sum(terms) / len(terms)


@pytest.mark.parametrize("local", [0, 2])
@pytest.mark.parametrize(("queue_size", "progress"), [(0, 0.9), (12, 0.1), (12, 0.4)])
@pytest.mark.parametrize(("temperature", "epsilon", "iterations"), [(0.1, 0.05, 3), (0.3, 0.5, 1)])
def test_swav_is_the_swapped_prediction_of_sinkhorn_assignments(
    local, queue_size, progress, temperature, epsilon, iterations
):
    options = {"temperature": temperature, "epsilon": epsilon, "sinkhorn_iterations": iterations, "queue_start": 0.4}
    method, twin = build("swav", queue_size=queue_size, **options), build("swav", queue_size=queue_size)
    views = random_views(local)
    method.progress = progress
    projections = twin.projection(torch.cat(of_each_length(twin.encoder, views)))
    prototypes = twin.prototypes.heads[0].weight
    scores = (unit(projections) @ prototypes.T).split(CLIPS)
    takes_part = queue_size and progress >= 0.4
    queued = [[queue.keys @ prototypes.T] for queue in twin.queues] if takes_part else [[], []]
    expected = swav_loss(scores, queued, temperature, epsilon, iterations)
    assert_same_loss_and_gradients(method, method(views).loss, twin, expected)


def test_the_two_queues_of_swav_are_of_the_two_global_views():
    method, twin, views = build("swav"), build("swav"), random_views(local=2)
    method(views)
    projections = unit(twin.projection(torch.cat(of_each_length(twin.encoder, views)))).split(CLIPS)
    assert len(method.queues) == 2
    for queue, of_view in zip(method.queues, projections, strict=False):
        torch.testing.assert_close(queue.keys[:CLIPS], of_view.detach())
