"""Targets, teachers and key networks: no gradient reaches them, and only `after_step` moves them, by the formula."""

from __future__ import annotations

import math

import pytest
import torch
from ssl_stand_ins import CLIPS, FOLLOWERS, MOMENTUM, build, copy_of, random_views, sgd, train_step
from torch import nn

from quaclrs.ssl import METHODS, MoCo
from quaclrs.ssl.base import cosine_momentum


def rising(base: float, progress: float) -> float:
    """Grill et al., 2020, section 3.3."""
    return 1 - (1 - base) * (math.cos(math.pi * progress) + 1) / 2


@pytest.mark.parametrize("progress", [0.0, 0.25, 0.5, 0.9])
def test_a_rising_momentum_follows_half_a_cosine(progress):
    assert cosine_momentum(0.9, progress) == pytest.approx(rising(0.9, progress))


def test_a_rising_momentum_begins_at_its_base_and_ends_at_one():
    assert cosine_momentum(0.9, 0.0) == pytest.approx(0.9)
    assert cosine_momentum(0.9, 0.5) == pytest.approx(0.95)
    assert cosine_momentum(0.9, 1.0) == pytest.approx(1.0)


@pytest.mark.parametrize("name", MOMENTUM)
def test_networks_that_follow_begin_as_copies(name):
    torch.manual_seed(0)
    fresh = METHODS[name](build(name).encoder)
    for target, source in FOLLOWERS[name].items():
        theirs = getattr(fresh, source).state_dict()
        assert {k for k, v in getattr(fresh, target).state_dict().items() if not torch.equal(v, theirs[k])} == set()
        assert getattr(fresh, target) is not getattr(fresh, source)


@pytest.mark.parametrize("name", MOMENTUM)
def test_no_gradient_reaches_networks_that_follow_and_no_optimiser_gets_them(name):
    method = build(name)
    method(random_views()).loss.backward()
    followers = [p for target in FOLLOWERS[name] for p in getattr(method, target).parameters()]
    assert followers
    assert all(p.grad is None and not p.requires_grad for p in followers)
    given = {id(p) for group in method.parameter_groups(0.1) for p in group["params"]}
    assert not given & {id(p) for p in followers}
    trained = {id(p) for p in method.parameters() if p.requires_grad}
    assert given == trained
    assert {id(p) for p in method.encoder.parameters()} <= given


@pytest.mark.parametrize("name", MOMENTUM)
def test_networks_that_follow_keep_their_weights_through_loss_gradient_and_optimiser(name):
    method = build(name)
    before = {target: [p.clone() for p in getattr(method, target).parameters()] for target in FOLLOWERS[name]}
    optimizer = sgd(method)
    method(random_views()).loss.backward()
    method.before_optimizer_step()
    optimizer.step()
    for target, parameters in before.items():
        assert all(torch.equal(a, b) for a, b in zip(parameters, getattr(method, target).parameters(), strict=True))


@pytest.mark.parametrize("progress", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("name", MOMENTUM)
def test_after_a_step_they_move_towards_their_sources_by_the_momentum(name, progress):
    method = build(name, momentum=0.8)
    method.progress = progress
    before = {target: [p.clone() for p in getattr(method, target).parameters()] for target in FOLLOWERS[name]}
    train_step(method, random_views(), sgd(method))
    momentum = 0.8 if name.startswith("moco") else rising(0.8, progress)
    for target, source in FOLLOWERS[name].items():
        sources = list(getattr(method, source).parameters())
        for old, new, learnt in zip(before[target], getattr(method, target).parameters(), sources, strict=True):
            torch.testing.assert_close(new, momentum * old + (1 - momentum) * learnt)


@pytest.mark.parametrize("name", MOMENTUM)
def test_after_step_leaves_what_is_trained_as_it_is(name):
    method = build(name, momentum=0.5)
    followers = tuple(f"{target}." for target in FOLLOWERS[name])
    before = copy_of(method)
    method.after_step()
    moved = {entry for entry, values in method.state_dict().items() if not torch.equal(values, before[entry])}
    assert moved
    assert all(entry.startswith(followers) for entry in moved - {"steps"})


@pytest.mark.parametrize("name", ["moco", "moco_v2"])
def test_running_statistics_of_moco_keys_are_an_average_of_the_query_encoders_that_forgets_faster_at_first(name):
    method = build(name, momentum=0.3)
    ours, theirs = method.encoder.layers[1], method.key_encoder.layers[1]
    for momentum in (2 / 11, 3 / 12, 0.3):
        before = copy_of(theirs)
        train_step(method, random_views(), sgd(method))
        for statistic in ("running_mean", "running_var"):
            new, old, learnt = getattr(theirs, statistic), before[statistic], getattr(ours, statistic)
            assert not torch.allclose(learnt, old)
            torch.testing.assert_close(new, momentum * old + (1 - momentum) * learnt)
    assert theirs.num_batches_tracked == ours.num_batches_tracked == 3


@pytest.mark.parametrize("name", ["moco", "moco_v2"])
def test_key_networks_of_moco_stay_in_evaluation_mode(name):
    method = build(name)
    for mode in (True, False, True):
        method.train(mode)
        assert method.encoder.training is mode and method.projection.training is mode
        modules = [*method.key_encoder.modules(), *method.key_projection.modules()]
        assert not any(module.training for module in modules)
    nn.Sequential(method).train()
    assert not method.key_encoder.layers[1].training


@pytest.mark.parametrize("name", ["moco", "moco_v2"])
def test_a_key_of_moco_does_not_depend_on_the_clips_it_came_with(name):
    first, second = build(name), build(name)
    views = random_views()
    other = [torch.cat([view[:1], 5 * view[1:]]) for view in views]
    first(views)
    second(other)
    torch.testing.assert_close(first.queue.keys[0], second.queue.keys[0])
    assert not torch.allclose(first.queue.keys[1:CLIPS], second.queue.keys[1:CLIPS])


def test_a_new_moco_has_its_key_networks_in_evaluation_mode():
    method = MoCo(build("moco").encoder)
    assert method.training
    assert not method.key_encoder.training and not method.key_projection.training


def test_students_see_all_views_of_dino_and_the_teacher_the_global_ones():
    method = build("dino")
    views = random_views(local=3)
    method.encoder.seen.clear()
    method.teacher_encoder.seen.clear()
    method(views)
    assert len(method.teacher_encoder.seen) == 1
    assert torch.equal(method.teacher_encoder.seen[0], torch.cat(views[:2]))
    assert [tuple(seen.shape) for seen in method.encoder.seen] == [(2 * CLIPS, 5, 7), (3 * CLIPS, 5, 3)]
    assert torch.equal(
        torch.cat([seen.mean(-1) for seen in method.encoder.seen]), torch.cat([v.mean(-1) for v in views])
    )


def test_moco_queries_are_of_the_first_view_and_keys_of_the_second():
    method, views = build("moco"), random_views()
    method.encoder.seen.clear()
    method.key_encoder.seen.clear()
    method(views)
    assert [torch.equal(seen, views[0]) for seen in method.encoder.seen] == [True]
    assert [torch.equal(seen, views[1]) for seen in method.key_encoder.seen] == [True]
