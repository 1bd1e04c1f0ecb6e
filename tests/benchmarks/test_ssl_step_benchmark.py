"""`benchmarks.ssl_step` makes steps of every method as its preset has it: ours, plain ones and lightly's."""

import pytest

from benchmarks.ssl_step import EXAMPLES, WAYS, make_encoder, make_views, step_times
from quaclrs.ssl import METHODS
from training.ssl.config import SSLConfig


def config_of(method: str) -> SSLConfig:
    sizes = {"backbone": "mobilenetv3_small_050", "image_size": 32, "batch_size": 32, "epochs": 2}
    return SSLConfig(method=method, dataset="in memory", test_fold=1, output_dir="nowhere", **sizes)


@pytest.mark.parametrize("method", METHODS)
def test_every_way_steps_with_the_preset_of_the_method(method):
    milliseconds = step_times(config_of(method), rounds=1)
    assert milliseconds.shape == (1, len(WAYS))
    assert (milliseconds > 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_lightlys_example_reaches_the_encoder(method):
    config = config_of(method)
    encoder = make_encoder(config).train()
    loss_of, _, _ = EXAMPLES[method](encoder, config.build_method_options())
    loss_of(make_views(config)).backward()
    gradients = [parameter.grad for parameter in encoder.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    assert any(gradient.abs().max() > 0 for gradient in gradients)
