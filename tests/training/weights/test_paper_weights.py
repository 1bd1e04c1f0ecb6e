"""ImageNet weights of the paper's tables: from a folder, from the Hub, and what is said where there are none."""

from typing import ClassVar

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import save_file

from quaclrs.errors import QuaclrsError
from quaclrs.models import Backbone, BackboneError
from training.weights import imagenet as paper_weights
from training.weights.imagenet import ImageNetWeights, find_imagenet_weights


@pytest.fixture
def empty_cache(monkeypatch):
    monkeypatch.setattr(paper_weights, "_is_cached", lambda name: False)
    monkeypatch.setattr(paper_weights, "HF_HUB_OFFLINE", False)


class FakeBackbone:
    """Answers as the Hub would: `reason` is the exception behind the error."""

    asked: ClassVar[list[str]] = []
    reason: ClassVar[Exception]

    def __init__(self, name):
        self.name = name

    def load_weights(self, file):
        self.asked.append(self.name)
        raise BackboneError("could not be downloaded") from self.reason


@pytest.mark.parametrize(
    ("reason", "asked"),
    [(LocalEntryNotFoundError("no connection"), ["resnet18"]), (OSError("404"), ["resnet18", "vgg16", "mobilenet_v2"])],
)
def test_a_hub_that_does_not_answer_is_asked_once_and_one_that_lacks_a_file_again(
    empty_cache, monkeypatch, reason, asked
):
    monkeypatch.setattr(FakeBackbone, "asked", [])
    monkeypatch.setattr(FakeBackbone, "reason", reason, raising=False)
    monkeypatch.setattr(paper_weights, "Backbone", FakeBackbone)
    found = find_imagenet_weights(["resnet18", "vgg16", "mobilenet_v2"])
    assert FakeBackbone.asked == asked
    assert all(weights.missing for weights in found.values())


def test_offline_nothing_is_asked_of_the_hub_and_a_dry_run_takes_it_at_its_word(empty_cache, monkeypatch):
    monkeypatch.setattr(paper_weights, "Backbone", None)
    assert find_imagenet_weights(["resnet18"], download=False) == {"resnet18": ImageNetWeights()}
    monkeypatch.setattr(paper_weights, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE" in find_imagenet_weights(["alexnet", "resnet18"])["alexnet"].missing


def test_a_file_of_the_folder_is_used_and_one_that_does_not_fit_is_refused(empty_cache, tmp_path):
    save_file(Backbone("mobilenet_v2").network.state_dict(), tmp_path / "mobilenet_v2.safetensors")
    found = find_imagenet_weights(["mobilenet_v2"], tmp_path)
    assert found == {"mobilenet_v2": ImageNetWeights(tmp_path / "mobilenet_v2.safetensors")}
    (tmp_path / "mobilenet_v2.safetensors").rename(tmp_path / "resnet18.safetensors")
    with pytest.raises(QuaclrsError, match=r"resnet18\.safetensors do not fit resnet18"):
        find_imagenet_weights(["resnet18"], tmp_path)
    with pytest.raises(QuaclrsError, match="--pretrained-dir"):
        find_imagenet_weights(["resnet18"], tmp_path / "absent")
