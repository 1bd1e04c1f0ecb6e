"""Targets, teachers and key networks: no gradient reaches them, and only `after_step` moves them, by the formula."""

from __future__ import annotations

import math

import pytest
import torch
from ssl_stand_ins import CLIPS, FOLLOWERS, MOMENTUM, build, copy_of, random_views, sgd, train_step

from quaclrs.ssl import METHODS
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
    assert all(entry.startswith(followers) for entry in moved)


@pytest.mark.parametrize("name", ["moco", "moco_v2"])
@pytest.mark.parametrize("groups", [1, 2, 3])
def test_a_key_of_moco_depends_on_the_clips_of_its_group_alone(name, groups):
    first, second = build(name, key_groups=groups), build(name, key_groups=groups)
    views = random_views()
    changed = 1  # the second clip, and with it the statistics of every n-th
    other = [views[0], torch.cat([views[1][:1], 5 * views[1][1:2], views[1][2:]])]
    first(views)
    second(other)
    for clip in range(CLIPS):
        alike = torch.allclose(first.queue.keys[clip], second.queue.keys[clip], atol=1e-6)
        assert alike == (clip % groups != changed % groups)


@pytest.mark.parametrize("name", ["moco", "moco_v2"])
def test_a_key_of_moco_that_is_alone_in_its_batch_has_a_group_of_its_own(name):
    method = build(name, key_groups=4).eval()
    method([view[:1] for view in random_views()])
    assert method.queue.filled == 1


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
    evens, odds = method.key_encoder.seen
    assert torch.equal(evens, views[1][::2]) and torch.equal(odds, views[1][1::2])
