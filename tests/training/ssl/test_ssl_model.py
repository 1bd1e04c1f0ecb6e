"""The network of a self-supervised run."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from quaclrs.models import LogMelConfig
from training.ssl.config import SSLConfig
from training.ssl.model import build_encoder, build_network


@pytest.mark.parametrize("backbone", ["mobilenetv3_small_050", "resnet18"])
def test_norms_that_share_statistics_among_processes_leave_the_network_as_it_is(backbone):
    """timm's norms hold activations; a network without those would save weights that mean nothing in the true one."""
    config = SSLConfig(dataset="d", test_fold=1, output_dir="o", method="simclr", backbone=backbone, image_size=32)
    log_mel = LogMelConfig(image_size=32)
    torch.manual_seed(0)
    plain = build_network(config, build_encoder(config, log_mel), 3, sync_batchnorm=False)
    with torch.no_grad():
        for _ in range(3):
            plain.method.encoder(torch.randn(4, 128, 376))  # norms whose statistics are not those of the beginning
    shared = build_network(config, build_encoder(config, log_mel), 3, sync_batchnorm=True)
    shared.load_state_dict(plain.state_dict())
    assert any(isinstance(module, nn.SyncBatchNorm) for module in shared.modules())
    assert not any(type(module) is nn.BatchNorm2d for module in shared.modules())
    heard = torch.randn(2, 128, 376)
    with torch.no_grad():
        found, expected = (network.eval().method.encoder(heard) for network in (shared, plain))
    torch.testing.assert_close(found, expected)
    assert expected.std() > 0
