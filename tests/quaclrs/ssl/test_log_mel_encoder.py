"""A `QuaclrsModel` as methods call an encoder, and whole steps around the smallest one."""

from __future__ import annotations

import pytest
import torch
from ssl_stand_ins import SMALL, train_step

from quaclrs.models import QuaclrsConfig, QuaclrsModel
from quaclrs.ssl import METHODS, LogMelEncoder

FRAMES = 376


@pytest.fixture(scope="module")
def model() -> QuaclrsModel:
    torch.manual_seed(0)
    return QuaclrsModel(QuaclrsConfig(backbone="mobilenetv3_small_050", log_mel={"image_size": 32})).eval()


@pytest.fixture
def widths(model):
    """Height and width of every picture that reaches the backbone."""
    seen = []
    hook = model.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape)))
    yield seen
    hook.remove()


def test_embeddings_of_whole_clips_are_the_models(model):
    log_mel = torch.rand(3, 128, FRAMES)
    encoder = LogMelEncoder(model).eval()
    with torch.no_grad():
        expected = model(input_features=log_mel).pooler_output
        torch.testing.assert_close(encoder(log_mel), expected.reshape(3, -1))
    assert encoder.hidden_size == expected.reshape(3, -1).shape[1] == model.hidden_size


@pytest.mark.parametrize(("frames", "width"), [(FRAMES, 32), (188, 16), (94, 8), (95, 8), (1, 1), (FRAMES + 100, 32)])
def test_a_shorter_log_mel_becomes_a_picture_that_is_narrower_in_proportion(model, widths, frames, width):
    embeddings = LogMelEncoder(model).eval()(torch.rand(2, 128, frames))
    assert widths == [(2, 3, 32, width)]
    assert embeddings.shape == (2, model.hidden_size)


@pytest.mark.parametrize("name", list(METHODS))
def test_every_method_trains_a_real_encoder(name):
    torch.manual_seed(0)
    encoder = QuaclrsModel(QuaclrsConfig(backbone="mobilenetv3_small_050", log_mel={"image_size": 32}))
    kind = METHODS[name]
    method = kind(LogMelEncoder(encoder), kind.options_type(**SMALL[name])).train()
    method.progress = 0.5
    before = [p.detach().clone() for p in encoder.parameters()]
    views = [torch.rand(4, 128, FRAMES), torch.rand(4, 128, FRAMES)]
    views += [torch.rand(4, 128, 94)] * (2 if kind.multi_crop else 0)
    loss = train_step(method, views, torch.optim.AdamW(method.parameter_groups(), lr=1e-3))
    assert loss == pytest.approx(loss)  # not NaN
    moved = [not torch.equal(a, b) for a, b in zip(before, encoder.parameters(), strict=True)]
    assert sum(moved) > 0.9 * len(moved)
    assert all(torch.isfinite(p).all() for p in encoder.parameters())
