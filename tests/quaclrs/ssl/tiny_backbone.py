"""A network for tests that train: a stem and four residual blocks, quick on a processor, as timm's `tiny_cnn`."""

from __future__ import annotations

from timm.models import build_model_with_cfg, register_model
from timm.models.byobnet import ByoBlockCfg, ByobNet, ByoModelCfg

_LAYERS = ByoModelCfg(
    blocks=tuple(ByoBlockCfg(type="basic", d=1, c=channels, s=2, gs=0) for channels in (16, 32, 64, 128)),
    stem_type="3x3",
    stem_chs=8,
    stem_pool="",
)


@register_model
def tiny_cnn(pretrained: bool = False, **options) -> ByobNet:
    """Blocks of 16 to 128 channels after a 3x3 stem, 300,000 weights."""
    return build_model_with_cfg(ByobNet, "tiny_cnn", pretrained, model_cfg=_LAYERS, **options)
