"""Under mixed precision networks run in bfloat16, and losses, queues and what is reported stay in float32."""

from __future__ import annotations

import pytest
import torch
from ssl_stand_ins import build, random_views
from torch import nn

from quaclrs.ssl import METHODS


@pytest.mark.parametrize("name", list(METHODS))
def test_mixed_precision_changes_a_loss_by_the_rounding_of_the_networks_alone(name):
    exact, mixed = build(name), build(name)
    exact.progress = mixed.progress = 0.5
    expected = exact(random_views()).loss
    halves = []
    linear = next(layer for layer in mixed.encoder.modules() if isinstance(layer, nn.Linear))
    linear.register_forward_hook(lambda _, inputs, output: halves.append(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        output = mixed(random_views())
    assert set(halves) == {torch.bfloat16}
    assert output.loss.dtype == output.embeddings.dtype == torch.float32
    assert output.loss.shape == ()
    assert float(output.loss.detach()) == pytest.approx(float(expected.detach()), rel=0.1, abs=0.05)
    output.loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in mixed.parameters() if p.grad is not None)
    assert all(not value.requires_grad and value.numel() == 1 for value in output.logs.values())


@pytest.mark.parametrize(("name", "queue"), [("moco", "queue"), ("moco_v2", "queue"), ("swav", "queues.0")])
def test_queued_vectors_keep_unit_length_to_float32_under_mixed_precision(name, queue):
    method = build(name)
    with torch.autocast("cpu", torch.bfloat16):
        method(random_views())
    keys = method.get_submodule(queue).keys
    assert keys.dtype == torch.float32
    torch.testing.assert_close(keys.norm(dim=1), torch.ones(len(keys)), rtol=1e-5, atol=1e-5)
