"""What changes with the share of the run that is done: frozen layers, queues, the teacher's temperature."""

from __future__ import annotations

import pytest
import torch
from ssl_stand_ins import build, copy_of, random_views, sgd, train_step


def changed(method, before: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, values in method.state_dict().items() if not torch.equal(values, before[name])}


@pytest.mark.parametrize(("progress", "frozen"), [(0.0, True), (0.19, True), (0.2, False), (0.7, False)])
def test_the_prototypes_of_swav_are_frozen_at_the_beginning(progress, frozen):
    method = build("swav", frozen_prototypes_share=0.2)
    method.progress = progress
    before = method.prototypes.heads[0].weight.detach().clone()
    encoder = copy_of(method.encoder)
    train_step(method, random_views(), torch.optim.SGD(method.parameter_groups(0.1), lr=0.1, weight_decay=0.1))
    # To rounding: the step ends with prototypes of unit length.
    assert torch.allclose(method.prototypes.heads[0].weight, before, atol=1e-6) is frozen
    assert changed(method.encoder, encoder)


def test_prototypes_have_unit_length_from_the_start_and_after_every_step_and_no_bias():
    method = build("swav")
    method.progress = 0.5
    optimizer = sgd(method, 5.0)
    for step in range(3):
        weight = method.prototypes.heads[0].weight
        torch.testing.assert_close(weight.norm(dim=1), torch.ones(3))
        assert method.prototypes.heads[0].bias is None
        train_step(method, random_views(seed=step), optimizer)
    torch.testing.assert_close(method.prototypes.heads[0].weight.norm(dim=1), torch.ones(3))


def test_normalising_a_prototype_keeps_its_direction():
    method = build("swav")
    weight = method.prototypes.heads[0].weight
    with torch.no_grad():
        weight.mul_(torch.tensor([[3.0], [0.5], [7.0]]))
    expected = weight.detach() / weight.detach().square().sum(1, keepdim=True).sqrt()
    method.after_step()
    torch.testing.assert_close(weight.detach(), expected)


@pytest.mark.parametrize(("progress", "takes_part"), [(0.0, False), (0.39, False), (0.4, True), (0.9, True)])
def test_the_queue_of_swav_takes_part_from_queue_start_on(progress, takes_part):
    losses = []
    for queued in (0.0, 1.0):
        method = build("swav", queue_start=0.4)
        method.progress = progress
        for queue in method.queues:
            queue.keys.copy_(queued * method.prototypes.heads[0].weight.detach()[:1])
        losses.append(float(method(random_views()).loss.detach()))
    assert (losses[0] != pytest.approx(losses[1], rel=1e-4)) is takes_part


def test_the_queue_of_swav_fills_before_it_takes_part():
    method = build("swav")
    method(random_views())
    assert [int(queue.filled) for queue in method.queues] == [6, 6]


@pytest.mark.parametrize(("progress", "frozen"), [(0.0, True), (0.09, True), (0.1, False), (0.7, False)])
def test_the_last_layer_of_dino_is_frozen_at_the_beginning(progress, frozen):
    method = build("dino", frozen_last_layer_share=0.1)
    method.progress = progress
    before, encoder = copy_of(method.projection.last_layer), copy_of(method.encoder)
    train_step(method, random_views(), sgd(method))
    assert (not changed(method.projection.last_layer, before)) is frozen
    assert changed(method.encoder, encoder)


def test_the_rows_of_dinos_last_layer_keep_unit_length():
    method = build("dino")
    method.progress = 0.5
    optimizer = sgd(method, 5.0)
    for step in range(3):
        train_step(method, random_views(seed=step), optimizer)
    method(random_views())
    for head in (method.projection, method.teacher_projection):
        assert torch.isfinite(head.last_layer.weight).all()
    torch.testing.assert_close(method.projection.last_layer.weight.norm(dim=1), torch.ones(9))


@pytest.mark.parametrize(
    ("warmup_share", "progress", "expected"),
    [(0.4, 0.0, 0.02), (0.4, 0.1, 0.03), (0.4, 0.4, 0.06), (0.4, 0.9, 0.06), (0.0, 0.0, 0.06), (1.0, 0.5, 0.04)],
)
def test_the_teachers_temperature_rises_along_a_line(warmup_share, progress, expected):
    method = build("dino", warmup_share=warmup_share, warmup_teacher_temperature=0.02, teacher_temperature=0.06)
    method.progress = progress
    assert method.teacher_temperature == pytest.approx(expected)


@pytest.mark.parametrize("name", ["simclr", "barlow_twins"])
def test_methods_without_a_second_network_do_nothing_after_a_step(name):
    method = build(name)
    before = copy_of(method)
    method.before_optimizer_step()
    method.after_step()
    assert changed(method, before) == set()
