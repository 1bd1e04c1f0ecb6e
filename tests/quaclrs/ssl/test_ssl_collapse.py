"""Collapses, provoked: one line says what happened and why it may have."""

from __future__ import annotations

import math

import pytest
import torch
from ssl_stand_ins import build, random_views, sgd, train_step

from quaclrs.ssl import METHODS, describe_collapse, diagnose

HEALTHY = {"train_loss": 1.0, "embedding_std": 0.8, "effective_rank": 20.0, "uniformity": -2.0}


def describe(sign: str | None = None, before: dict | None = None, **now) -> str | None:
    return describe_collapse({**HEALTHY, **now}, before or HEALTHY, sign, "the cause")


def figures_of(logs: dict) -> dict[str, float]:
    return {name: float(value) for name, value in logs.items()}


def embeddings_now(method) -> torch.Tensor:
    with torch.no_grad():
        return method.encoder(random_views(clips=40)[0])


def test_a_healthy_representation_gives_no_line():
    assert describe() is None
    assert describe(embedding_std=0.081, effective_rank=2.1) is None
    # One that had few dimensions before training, and still has, has not collapsed.
    assert describe(before={**HEALTHY, "effective_rank": 1.5}, effective_rank=1.4) is None


@pytest.mark.parametrize("name", ["train_loss", "embedding_std"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_has_diverged(name, value):
    line = describe(**{name: value}, sign="a sign")
    assert line.startswith("diverged")
    assert "not finite" in line and "lower the learning rate" in line and "\n" not in line


def test_little_spread_is_a_collapse_with_its_figure_and_cause():
    assert describe(embedding_std=0.079) == (
        "collapsed: embeddings of all clips are nearly the same (spread 0.079); likely cause: the cause"
    )


def test_few_dimensions_are_a_collapse_with_their_number_and_cause():
    assert describe(effective_rank=1.94) == "collapsed: embeddings use 1.9 dimensions; likely cause: the cause"
    few = {**HEALTHY, "effective_rank": 1.5}
    assert "0.7 dimensions" in describe(before=few, effective_rank=0.7)


def test_the_methods_own_sign_comes_first_and_alone_where_embeddings_are_fine():
    assert describe(sign="a sign") == "collapsed: a sign"
    assert describe(sign="a sign", embedding_std=0.01) == "collapsed: a sign; likely cause: the cause"
    assert describe(sign="a sign", effective_rank=1.0) == "collapsed: a sign; likely cause: the cause"


@pytest.mark.parametrize("name", list(METHODS))
def test_an_encoder_that_gives_every_clip_the_same_is_reported_with_the_methods_cause(name):
    method = build(name)
    before = diagnose(embeddings_now(method))
    with torch.no_grad():
        method.encoder.layers[3].weight.zero_()
    now = {**diagnose(embeddings_now(method)), "train_loss": 1.0}
    line = describe_collapse(now, before, None, method.collapse_cause)
    assert line.startswith("collapsed: embeddings of all clips are nearly the same (spread 0.000)")
    assert line.endswith(f"likely cause: {method.collapse_cause}")
    assert "\n" not in line


def test_an_encoder_that_uses_one_dimension_is_reported():
    method = build("simclr")
    before = diagnose(embeddings_now(method))
    with torch.no_grad():
        layer = method.encoder.layers[3]
        layer.weight.copy_(torch.outer(torch.arange(1.0, 7.0), layer.weight[0]))
        layer.bias.zero_()
    now = {**diagnose(embeddings_now(method)), "train_loss": 1.0}
    assert "embeddings use 1.0 dimensions" in describe_collapse(now, before, None, method.collapse_cause)


@pytest.mark.parametrize("name", list(METHODS))
def test_a_rate_that_is_far_too_high_is_reported_as_divergence(name):
    method = build(name)
    method.progress = 0.5
    before = diagnose(embeddings_now(method))
    optimizer, loss = sgd(method, math.inf), 0.0
    for step in range(2):
        loss = train_step(method, random_views(seed=step), optimizer)
    now = {**diagnose(embeddings_now(method.eval())), "train_loss": loss}
    sign = method.explain_collapse(figures_of(method(random_views()).logs))
    assert describe_collapse(now, before, sign, method.collapse_cause).startswith("diverged")


@pytest.mark.parametrize("name", list(METHODS))
def test_a_method_that_has_just_begun_shows_no_sign(name):
    method = build(name)
    assert method.explain_collapse(figures_of(method(random_views(clips=20)).logs)) is None


def steer_teacher(method, row: int) -> None:
    """Let the teacher's head give every clip one output: its bottleneck is a constant, that row's direction."""
    layers, last = method.teacher_projection.layers, method.teacher_projection.last_layer
    with torch.no_grad():
        layers[-1].weight.zero_()
        layers[-1].bias.copy_(last.weight_v[row])


def test_a_teacher_of_dino_that_gives_all_clips_one_output_is_reported():
    method = build("dino", center_momentum=1.0, teacher_temperature=1e-3, warmup_share=0.0)
    steer_teacher(method, 4)
    sign = method.explain_collapse(figures_of(method(random_views()).logs))
    assert sign.startswith("the teacher assigns all clips to one output")
    assert "center_momentum" in sign


def test_centring_keeps_dino_from_giving_all_clips_one_output():
    method = build("dino", center_momentum=0.0, teacher_temperature=0.07, warmup_share=0.0)
    steer_teacher(method, 4)
    for _ in range(2):
        logs = figures_of(method(random_views()).logs)
    # With the constant taken away, every output is as likely as another: sharpening has nothing left to sharpen.
    assert logs["teacher_entropy"] == pytest.approx(1, abs=1e-3)
    assert method.explain_collapse(logs).startswith("the teacher assigns every clip to all outputs alike")


def test_the_entropies_that_dino_logs_are_relative_to_that_of_uniform_assignments():
    method, twin, views = build("dino"), build("dino"), random_views()
    logs = figures_of(method(views).logs)
    with torch.no_grad():
        taught = twin.teacher_projection(twin.teacher_encoder(torch.cat(views))[:6])
        both = torch.cat([taught, twin.teacher_projection(twin.teacher_encoder(torch.cat(views))[6:])])
    shares = torch.softmax(both.double() / 0.04, 1)
    entropies = [-(row * row.log()).sum() / math.log(9) for row in shares]
    mean = shares.mean(0)
    assert logs["teacher_entropy"] == pytest.approx(float(sum(entropies) / 12), rel=1e-3)
    assert logs["teacher_usage_entropy"] == pytest.approx(float(-(mean * mean.log()).sum() / math.log(9)), rel=1e-3)


def test_a_target_of_byol_that_gives_every_clip_the_same_projection_is_reported():
    method = build("byol")
    with torch.no_grad():
        method.target_projection.layers[-1].weight.zero_()
    sign = method.explain_collapse(figures_of(method(random_views()).logs))
    assert sign == "the target gives every clip the same projection"


def test_clips_that_all_fall_to_one_of_many_prototypes_are_reported():
    method = build("swav", n_prototypes=64)
    with torch.no_grad():
        method.projection.layers[-1].weight.zero_()
    logs = figures_of(method(random_views(clips=40)).logs)
    assert logs["prototypes_used"] == pytest.approx(1 / 40)
    assert method.explain_collapse(logs).startswith("all clips fall to a few prototypes")


def test_prototypes_used_are_a_share_of_those_that_the_batch_could_use():
    method, views = build("swav", n_prototypes=3), random_views(clips=40)
    logs = figures_of(method(views).logs)
    twin = build("swav", n_prototypes=3)
    projected = twin.projection(twin.encoder(torch.cat(views)))[:40]
    used = (projected @ twin.prototypes.heads[0].weight.T).argmax(1).unique()
    assert logs["prototypes_used"] == pytest.approx(len(used) / 3)
