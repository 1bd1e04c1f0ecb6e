"""A method that is saved and loaded goes on as if it had never stopped."""

from __future__ import annotations

import io

import pytest
import torch
from ssl_stand_ins import TinyEncoder, build, copy_of, random_views, train_step
from torch import nn

from quaclrs.ssl import METHODS, SSLMethod

#: What a method has beside the encoder and heads, and a part of it that moves at every step.
OWN_STATE = {
    "moco": "queue.keys",
    "moco_v2": "queue.position",
    "byol": "target_projection.layers.0.weight",
    "dino": "loss.center",
    "swav": "queues.1.keys",
}


def optimizer_of(method: SSLMethod) -> torch.optim.Optimizer:
    return torch.optim.Adam(method.parameter_groups(0.01), lr=0.01)


def train(method: SSLMethod, optimizer: torch.optim.Optimizer, steps: range) -> list[float]:
    losses = []
    for step in steps:
        method.progress = step / 6
        losses.append(train_step(method, random_views(seed=step), optimizer))
    return losses


@pytest.mark.parametrize("name", list(METHODS))
def test_after_saving_and_loading_it_continues_identically(name):
    whole = build(name)
    whole_optimizer = optimizer_of(whole)
    train(whole, whole_optimizer, range(3))
    file = io.BytesIO()
    torch.save([whole.state_dict(), whole_optimizer.state_dict()], file)
    expected = train(whole, whole_optimizer, range(3, 6))

    torch.manual_seed(99)  # other weights, queue and prototypes at first
    resumed = METHODS[name](TinyEncoder(), whole.options).train()
    file.seek(0)
    state, optimizer_state = torch.load(file)
    resumed.load_state_dict(state)
    optimizer = optimizer_of(resumed)
    optimizer.load_state_dict(optimizer_state)
    assert train(resumed, optimizer, range(3, 6)) == expected
    ends = resumed.state_dict()
    assert all(torch.equal(values, ends[entry]) for entry, values in whole.state_dict().items())


@pytest.mark.parametrize(("name", "entry"), OWN_STATE.items())
def test_what_a_method_remembers_moves_and_is_in_its_state(name, entry):
    method = build(name)
    before = copy_of(method)
    method.progress = 0.5
    train_step(method, random_views(), optimizer_of(method))
    assert not torch.equal(method.state_dict()[entry], before[entry])


@pytest.mark.parametrize("name", list(METHODS))
def test_weight_decay_leaves_out_norms_and_biases(name):
    method = build(name)
    decays = {id(p): group["weight_decay"] for group in method.parameter_groups(0.3) for p in group["params"]}
    for module in method.modules():
        for part, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad:
                exempt = part == "bias" or isinstance(module, nn.BatchNorm1d)
                assert decays[id(parameter)] == (0.0 if exempt else 0.3)
