"""The image networks: sizes, names, weights from files, against timm, torchvision and the published architectures."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.layers import DropPath
from torchvision.models import alexnet, get_model
from torchvision.ops import StochasticDepth

from quaclrs.models import PAPER_BACKBONES, Backbone, BackboneError, find_backbone
from quaclrs.models.patches import level

# Length of the pooled vector as each architecture's paper has it, and a picture small enough for a test.
PUBLISHED = {
    "alexnet": (4096, 64),
    "vgg16": (4096, 32),
    "resnet18": (512, 32),
    "mobilenet_v2": (1280, 32),
    "inception_v3": (2048, 75),
    "efficientnet_b0": (1280, 32),
    "convnext_tiny": (768, 32),
}


def assert_one_line(error: BaseException, *words: str) -> None:
    assert "\n" not in str(error)
    for word in words:
        assert word in str(error)


def classifier_input(network: torch.nn.Module, pictures: torch.Tensor) -> torch.Tensor:
    """What reaches the network's own classifier: the pooled vector, as the network itself computes it."""
    seen = []
    network.get_classifier().register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        network.eval()(pictures)
    return seen[0]


def without_initialisation(name: str) -> Backbone:
    """The network with every weight a hundredth: drawing the hundred million of VGG16 takes longer than the rest."""
    with torch.device("meta"):
        backbone = Backbone(name)
    backbone.to_empty(device="cpu")
    with torch.no_grad():
        for tensor in backbone.state_dict().values():
            tensor.fill_(1 if tensor.dtype == torch.long else 0.01)
    return backbone.eval()


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_papers_backbones_pool_to_their_published_size(name: str) -> None:
    hidden_size, picture = PUBLISHED[name]
    backbone = without_initialisation(name)

    with torch.no_grad():
        feature_map, pooled = backbone(torch.rand(2, 3, picture, picture))

    assert backbone.hidden_size == hidden_size
    assert pooled.shape == (2, hidden_size)
    assert (feature_map.ndim, len(feature_map)) == (4, 2)
    assert torch.isfinite(pooled).all()


def test_the_paper_has_seven_backbones_and_only_inception_takes_299_pixels() -> None:
    assert set(PAPER_BACKBONES) == set(PUBLISHED)
    for name in PUBLISHED:
        assert find_backbone(name).image_size == (299 if name == "inception_v3" else 224)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_papers_backbones_drop_what_torchvisions_do(name: str) -> None:
    spec = find_backbone(name)
    with torch.device("meta"):
        theirs = get_model(name, weights=None, **({"init_weights": False} if name == "inception_v3" else {}))
        ours = Backbone(name, spec.dropout, spec.drop_path_rate)

    assert {spec.dropout} == ({m.p for m in theirs.modules() if isinstance(m, torch.nn.Dropout)} or {0.0})
    expected = sorted(m.p for m in theirs.modules() if isinstance(m, StochasticDepth) and m.p)
    assert sorted(m.drop_prob for m in ours.modules() if isinstance(m, DropPath)) == pytest.approx(expected)
    assert bool(expected) == bool(spec.drop_path_rate) == (name in {"efficientnet_b0", "convnext_tiny"})


@pytest.mark.parametrize(
    ("name", "picture"), [("mobilenet_v2", 32), ("inception_v3", 75), ("resnet18", 32), ("test_vit", 160)]
)
def test_the_dropout_that_was_asked_for_drops_its_share_of_the_vector_in_training_only(name: str, picture: int) -> None:
    torch.manual_seed(0)
    pictures, backbone = torch.rand(8, 3, picture, picture), Backbone(name, dropout=0.3).eval()

    with torch.no_grad():
        whole = backbone(pictures)[1]
        backbone.network.training = True  # of itself alone: norms keep their statistics
        for module in backbone.modules():
            if isinstance(module, torch.nn.Dropout):
                module.train()
        dropped = backbone(pictures)[1]

    assert (dropped[whole != 0] == 0).double().mean().item() == pytest.approx(0.3, abs=0.05)
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], whole[kept] / 0.7, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "rates", "words"),
    [
        ("vgg16", {"drop_path_rate": 0.1}, "vgg16 has no drop path"),
        ("alexnet", {"drop_path_rate": 0.0}, "alexnet has no drop path"),
        ("inception_v3", {"dropout": 0.5, "drop_path_rate": 0.1}, "inception_v3 has no drop path"),
    ],
)
def test_a_network_without_drop_path_says_so(name: str, rates: dict, words: str) -> None:
    with pytest.raises(BackboneError) as error, torch.device("meta"):
        Backbone(name, **rates)
    assert_one_line(error.value, words, "leave it out")


@pytest.mark.parametrize(
    ("name", "hidden_size", "picture"),
    [("vit_tiny_patch16_224", 192, 224), ("mobilenetv3_small_050", 1024, 32), ("resnet10t", 512, 32)],
)
def test_any_timm_architecture_gives_the_vector_its_own_classifier_sees(
    name: str, hidden_size: int, picture: int
) -> None:
    pictures = torch.rand(2, 3, picture, picture)
    backbone = Backbone(name).eval()
    reference = timm.create_model(name, pretrained=False)
    reference.load_state_dict(backbone.network.state_dict(), strict=False)

    with torch.no_grad():
        _, pooled = backbone(pictures)

    assert backbone.hidden_size == hidden_size == reference.get_classifier().in_features
    torch.testing.assert_close(pooled, classifier_input(reference, pictures), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "near"),
    [("resnet81", "resnet18"), ("efficientnet-b0", "efficientnet_b0"), ("alexnets", "alexnet"), ("zzzzz", "vgg16")],
)
def test_an_unknown_backbone_is_one_line_with_a_near_name(name: str, near: str) -> None:
    for build in (find_backbone, Backbone):
        with pytest.raises(BackboneError) as error:
            build(name)
        assert_one_line(error.value, repr(name), near)
        assert isinstance(error.value, ValueError)


def test_an_unknown_pretrained_tag_is_one_line_that_names_it() -> None:
    with pytest.raises(BackboneError) as error:
        Backbone("resnet18.no_such_tag")
    assert_one_line(error.value, "resnet18.no_such_tag")


@pytest.mark.parametrize("name", ["resnet10t", "mobilenetv3_small_050"])
def test_weights_from_a_file_give_the_features_of_the_network_that_wrote_it(name: str, tmp_path: Path) -> None:
    torch.manual_seed(5)
    writer = timm.create_model(name, pretrained=False)
    for buffer_name, buffer in writer.named_buffers():
        if buffer_name.endswith("running_mean"):
            torch.nn.init.normal_(buffer, std=0.1)
    file = tmp_path / "weights.safetensors"
    save_file(writer.state_dict(), file)
    pictures = torch.rand(2, 3, 64, 64)
    backbone = Backbone(name).eval()

    backbone.load_weights(file)

    with torch.no_grad():
        _, pooled = backbone(pictures)
    torch.testing.assert_close(pooled, classifier_input(writer, pictures), atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_alexnets_weights_have_torchvisions_names(tmp_path: Path) -> None:
    writer = alexnet(weights=None).eval()
    save_file(writer.state_dict(), tmp_path / "alexnet.safetensors")
    seen = []
    writer.classifier[-1].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    backbone = Backbone("alexnet").eval()

    backbone.load_weights(tmp_path / "alexnet.safetensors")

    pictures = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        writer(pictures)
        torch.testing.assert_close(backbone(pictures)[1], seen[0])


class RunsCode:
    """A pickle that would make a folder when it is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.folder),)


def test_a_file_that_is_no_fitting_tensor_file_is_refused_in_one_line_and_changes_nothing(tmp_path: Path) -> None:
    backbone = Backbone("test_resnet")
    before = {key: value.clone() for key, value in backbone.network.state_dict().items()}
    state = {key: value + 1 for key, value in before.items()}
    first = min(key for key in state if key.endswith("weight"))
    save_file({key: value for key, value in state.items() if key != first}, tmp_path / "lacking.safetensors")
    save_file({**state, first: state[first][:-1].clone()}, tmp_path / "shape.safetensors")
    save_file(timm.create_model("mobilenetv3_small_050").state_dict(), tmp_path / "another.safetensors")
    save_file({**state, first: state[first] * float("nan")}, tmp_path / "nan.safetensors")
    variance = min(key for key in state if key.endswith("running_var"))
    save_file({**state, variance: -state[variance]}, tmp_path / "negative.safetensors")
    torch.save(state, tmp_path / "plain.pth")
    (tmp_path / "text.safetensors").write_text("these are no tensors\n" * 10)
    (tmp_path / "empty.pth").touch()
    (tmp_path / "folder.pth").mkdir()
    torch.save({**state, "code": RunsCode(tmp_path / "executed")}, tmp_path / "code.pth")
    words = {
        "lacking.safetensors": first,
        "shape.safetensors": first,
        "another.safetensors": "do not fit",
        "nan.safetensors": f"damaged: {first} holds NaN",
        "negative.safetensors": f"damaged: {variance} holds negative variances",
        "plain.pth": "is not .safetensors and can hold code",
        "text.safetensors": "no plain tensors",
        "empty.pth": "is not .safetensors",
        "folder.pth": "does not exist",
        "absent.pth": "does not exist",
        "code.pth": "is not .safetensors",
    }

    for name, reason in words.items():
        with pytest.raises(BackboneError) as error:
            backbone.load_weights(tmp_path / name)
        assert_one_line(error.value, str(tmp_path / name), reason)

    assert not (tmp_path / "executed").exists()
    for key, value in backbone.network.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_the_trap_of_the_test_above_would_spring_if_the_pickle_were_executed(tmp_path: Path) -> None:
    torch.save({"code": RunsCode(tmp_path / "executed")}, tmp_path / "code.pth")

    torch.load(tmp_path / "code.pth", weights_only=False)

    assert (tmp_path / "executed").is_dir()


def test_a_failed_download_is_one_line_that_names_the_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = Backbone("test_resnet")
    create_model = timm.create_model

    def without_network(*args, pretrained: bool = False, **kwargs):
        if pretrained:
            raise OSError("We couldn't connect to the Hub\nto load the files.\n")
        return create_model(*args, **kwargs)

    monkeypatch.setattr(timm, "create_model", without_network)

    with pytest.raises(BackboneError) as error:
        backbone.load_weights()
    assert_one_line(error.value, "test_resnet", "We couldn't connect to the Hub")


def test_a_download_replaces_the_random_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = Backbone("test_resnet")
    published = timm.create_model("test_resnet", num_classes=0)
    asked = []

    def download(name: str, pretrained: bool = False, **kwargs):
        asked.append((name, pretrained))
        return published

    monkeypatch.setattr(timm, "create_model", download)

    backbone.load_weights()

    assert asked == [("test_resnet", True)]
    for key, value in published.state_dict().items():
        assert torch.equal(backbone.network.state_dict()[key], value), key


@pytest.mark.parametrize(
    ("name", "mean", "std"),
    [
        ("inception_v3", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ("resnet18", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("vit_tiny_patch16_224", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ("alexnet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ],
)
def test_pictures_are_normalised_as_the_pretrained_weights_were(name: str, mean: tuple, std: tuple) -> None:
    with torch.device("meta"):
        backbone = Backbone(name)

    if name != "alexnet":
        cfg = timm.get_pretrained_cfg(find_backbone(name).timm_name)
        assert (backbone.image_mean, backbone.image_std) == (cfg.mean, cfg.std)
    assert backbone.image_mean == pytest.approx(mean)
    assert backbone.image_std == pytest.approx(std)


def test_a_backbone_of_patches_averages_what_it_makes_of_each() -> None:
    backbone = Backbone("yamnet").eval()
    pictures = torch.randn(2, 1, 64, 384, generator=torch.Generator().manual_seed(0)).expand(-1, 3, -1, -1)
    levelled = level(pictures)

    with torch.no_grad():
        feature_map, pooled = backbone(pictures)
        alone = [backbone.network(levelled[..., i : i + 96].flip(-1)) for i in range(0, 384, 96)]

    torch.testing.assert_close(pooled, torch.stack(alone).mean(0), atol=1e-5, rtol=1e-5)
    assert feature_map.shape == (2, 1024, 2, 12)
    torch.testing.assert_close(feature_map.mean((2, 3)), pooled, atol=1e-5, rtol=1e-5)


def test_maxima_stand_beside_means_over_overlapping_patches() -> None:
    torch.manual_seed(0)
    plain, both = Backbone("yamnet").eval(), Backbone("yamnet", pooling="mean_max", patch_overlap=0.5).eval()
    both.network.load_state_dict(plain.network.state_dict())
    pictures = torch.randn(2, 1, 64, 240, generator=torch.Generator().manual_seed(0)).expand(-1, 3, -1, -1)
    levelled = level(pictures)

    with torch.no_grad():
        pooled = both(pictures)[1]
        alone = torch.stack([plain.network(levelled[..., i : i + 96].flip(-1)) for i in (0, 48, 96, 144)])

    assert both.hidden_size == 2048
    torch.testing.assert_close(pooled, torch.cat([alone.mean(0), alone.amax(0)], 1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["resnet18", "alexnet", "vit_tiny_patch16_224", "mobilenetv3_small_050"])
def test_maxima_stand_beside_means_over_the_places_of_a_map(name: str) -> None:
    backbone = Backbone(name, pooling="mean_max").eval()
    pictures = torch.rand(2, 3, 224 if name.startswith("vit") else 64, 224 if name.startswith("vit") else 64)

    with torch.no_grad():
        feature_map, pooled = backbone(pictures)
        backbone.pooling = "mean"
        own = backbone(pictures)[1]

    assert pooled.shape == (2, backbone.hidden_size)
    channels = feature_map.shape[-1] if feature_map.ndim == 3 else feature_map.shape[1]
    largest = feature_map.flatten(2).max(-1).values if feature_map.ndim == 4 else feature_map.max(1).values
    torch.testing.assert_close(pooled[:, -channels:], largest)
    torch.testing.assert_close(pooled[:, :-channels], own)


@pytest.mark.parametrize(("name", "count"), [("resnet18", 2), ("mobilenetv3_small_050", 1), ("convnext_tiny", 3)])
@pytest.mark.parametrize("pooling", ["mean", "mean_max"])
def test_earlier_stages_are_those_of_timms_own_feature_network(name: str, count: int, pooling: str) -> None:
    torch.manual_seed(0)
    backbone = Backbone(name, pooling=pooling, earlier_stages=count).eval()
    plain = Backbone(name, pooling=pooling).eval()
    plain.load_state_dict(backbone.state_dict())
    theirs = timm.create_model(name, features_only=True).eval()
    ours = backbone.network.state_dict()
    renamed = {key: ours.get(key, ours.get(key.replace("_", ".", 1))) for key in theirs.state_dict()}
    theirs.load_state_dict(renamed)
    pictures = torch.rand(2, 3, 64, 64)

    with torch.no_grad():
        pooled, own = backbone(pictures)[1], plain(pictures)[1]
        maps = theirs(pictures)[-2 : -2 - count : -1]

    ways = [lambda m: m.mean((2, 3)), lambda m: m.amax((2, 3))][: 1 if pooling == "mean" else 2]
    assert pooled.shape == (2, backbone.hidden_size)
    torch.testing.assert_close(pooled, torch.cat([own, *(way(stage) for stage in maps for way in ways)], dim=1))


def test_earlier_stages_of_patches_are_pooled_over_all_of_them_and_stand_before_the_tags() -> None:
    torch.manual_seed(0)
    backbone = Backbone("yamnet", pooling="mean_max", patch_overlap=0.5, tag_groups=[[3]], earlier_stages=1).eval()
    seen: list[torch.Tensor] = []
    backbone.network.blocks[3].register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        pooled = backbone(torch.rand(1, 3, 64, 240))[1]
    (maps,) = seen  # (4 patches, 512, 4, 6)
    assert maps.shape == (4, 512, 4, 6) and pooled.shape == (1, backbone.hidden_size) == (1, 2 * 1024 + 2 * 512 + 1)
    np.testing.assert_allclose(pooled[0, 2048:2560], maps.numpy().mean((0, 2, 3)), atol=1e-6)
    np.testing.assert_array_equal(pooled[0, 2560:3072], maps.numpy().max((0, 2, 3)))


@pytest.mark.parametrize(("name", "count"), [("alexnet", 1), ("resnet18", 5)])
def test_stages_that_a_backbone_does_not_have_are_refused(name: str, count: int) -> None:
    with pytest.raises(BackboneError) as error:
        Backbone(name, earlier_stages=count)
    assert_one_line(error.value, name, f"no {count} stages before its last; lower earlier_stages")


def test_patches_that_a_backbone_does_not_hear_cannot_overlap() -> None:
    with pytest.raises(BackboneError) as error:
        Backbone("resnet18", patch_overlap=0.5)
    assert_one_line(error.value, "resnet18", "patch_overlap")


def test_groups_of_tags_are_the_largest_log_odds_over_patches_and_kinds(tmp_path) -> None:
    torch.manual_seed(0)
    plain, tagging = Backbone("yamnet").eval(), Backbone("yamnet", patch_overlap=0.5, tag_groups=[[3, 500], [7]]).eval()
    weight, bias = torch.randn(521, 1024), torch.randn(521)
    tagger = {"tagger.weight": weight, "tagger.bias": bias, "of.something.else": torch.ones(3)}
    save_file({**plain.network.state_dict(), **tagger}, tmp_path / "yamnet.safetensors")
    tagging.load_weights(tmp_path / "yamnet.safetensors")
    pictures = torch.randn(2, 1, 64, 240, generator=torch.Generator().manual_seed(0)).expand(-1, 3, -1, -1)
    levelled = level(pictures)

    with torch.no_grad():
        pooled = tagging(pictures)[1].numpy()
        patches = [plain.network(levelled[..., i : i + 96].flip(-1)).numpy() for i in (0, 48, 96, 144)]

    of_kinds = np.max([patch @ weight.numpy().T + bias.numpy() for patch in patches], axis=0)
    expected = [np.mean(patches, axis=0), of_kinds[:, [3, 500]].max(axis=1, keepdims=True), of_kinds[:, [7]]]
    assert tagging.hidden_size == 1026
    np.testing.assert_allclose(pooled, np.concatenate(expected, axis=1), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize(("name", "group"), [("resnet18", [0]), ("yamnet", [520, 521])])
def test_kinds_that_a_backbone_does_not_tell_apart_make_no_group(name: str, group: list[int]) -> None:
    with pytest.raises(BackboneError) as error:
        Backbone(name, tag_groups=[group])
    assert_one_line(error.value, name, "tag_groups")


def test_weights_without_the_classifier_that_groups_need_do_not_fit(tmp_path) -> None:
    save_file(Backbone("yamnet").network.state_dict(), tmp_path / "yamnet.safetensors")
    with pytest.raises(BackboneError) as error:
        Backbone("yamnet", tag_groups=[[0]]).load_weights(tmp_path / "yamnet.safetensors")
    assert_one_line(error.value, "yamnet.safetensors", "tagger")


def test_weights_of_a_network_for_sound_are_not_looked_for_on_the_hub() -> None:
    with pytest.raises(BackboneError) as error:
        Backbone("yamnet").load_weights()
    assert_one_line(error.value, "yamnet", "quaclrs.default_model")
