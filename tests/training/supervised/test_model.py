"""The network that a run begins with: whose weights it has, what is frozen, and how mistakes are told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from timm.layers import DropPath
from torch import nn

from quaclrs.default_model import DEFAULT_MODEL
from quaclrs.errors import QuaclrsError
from quaclrs.labels import CLASS_NAMES
from quaclrs.models import QuaclrsConfig, QuaclrsForAudioClassification, QuaclrsModel
from training.clips.augmentation import build_augmentation, build_log_mel_config
from training.cross_validate import CrossValidationConfig, plan_run
from training.supervised.config import SupervisedConfig
from training.supervised.model import build_model

BACKBONE = "mobilenetv3_small_050"


def options(**changed) -> SupervisedConfig:
    return SupervisedConfig(
        dataset="data", test_fold=1, output_dir="out", **{"backbone": BACKBONE, "image_size": 32, **changed}
    )


def build(**changed) -> QuaclrsForAudioClassification:
    config = options(**changed)
    return build_model(config, list(CLASS_NAMES), [build_log_mel_config(config)])


def a_run(classifier: Path, folder: Path) -> Path:
    """A finished run's folder, as far as its weights go."""
    shutil.copytree(classifier, folder / "run" / "model")
    return folder / "run"


def an_encoder(classifier: Path, folder: Path) -> Path:
    """What `save_pretrained` of the encoder alone writes."""
    QuaclrsModel.from_pretrained(classifier).save_pretrained(folder / "encoder")
    return folder / "encoder"


@pytest.mark.parametrize("mode", ["finetune", "linear_probe"])
@pytest.mark.parametrize("source", [a_run, an_encoder])
def test_init_from_takes_exactly_the_encoder_of_a_run_or_of_a_model_folder(
    source, mode, tiny_classifier_folder, tmp_path
):
    model = build(mode=mode, init_from=str(source(tiny_classifier_folder, tmp_path)))
    stored = load_file(tiny_classifier_folder / "model.safetensors")
    encoder = {name: tensor for name, tensor in stored.items() if name.startswith("quaclrs.backbone.")}
    built = model.state_dict()
    assert encoder.keys() == {name for name in built if name.startswith("quaclrs.backbone.")}
    assert all(torch.equal(built[name], tensor) for name, tensor in encoder.items())
    assert not torch.equal(built["classifier.weight"], stored["classifier.weight"])
    assert model.config.log_mel["image_size"] == 32  # the run's own, though the source was trained on 96 pixels
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    head = {"classifier.weight", "classifier.bias"}
    assert trained == (head if mode == "linear_probe" else {name for name, _ in model.named_parameters()})


def test_a_probe_of_yamnet_begins_with_the_encoder_of_the_package_in_single_precision():
    model = build(mode="linear_probe", backbone="yamnet", image_size=None)
    stored = load_file(DEFAULT_MODEL / "model.safetensors")
    for name, tensor in model.quaclrs.backbone.state_dict().items():
        expected = stored[f"quaclrs.more_encoders.0.backbone.{name}"]
        assert tensor.dtype == (torch.float32 if expected.is_floating_point() else expected.dtype)
        assert torch.equal(tensor, expected.to(tensor.dtype)), name
    assert not torch.equal(model.classifier.weight, stored["classifier.weight"].float())


def whole(run: Path) -> Path:
    return run


def without_a_tensor(run: Path) -> Path:
    tensors = load_file(run / "model" / "model.safetensors")
    tensors.pop("quaclrs.backbone.network.conv_stem.weight")
    save_file(tensors, run / "model" / "model.safetensors", metadata={"format": "pt"})
    return run


def without_half(run: Path) -> Path:
    file = run / "model" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:5000])
    return run


@pytest.mark.parametrize("source", [a_run, an_encoder])
def test_short_clips_are_filled_up_as_init_from_did_where_nothing_is_said(source, tiny_classifier_folder, tmp_path):
    folder = source(tiny_classifier_folder, tmp_path)
    assert options(mode="finetune", init_from=str(folder)).pad_mode == "zeros"
    saved = next(folder.rglob("config.json"))
    content = json.loads(saved.read_text())
    saved.write_text(json.dumps({**content, "log_mel": {**content["log_mel"], "pad_mode": "repeat"}}))
    assert options(mode="finetune", init_from=str(folder)).pad_mode == "repeat"
    assert build(mode="finetune", init_from=str(folder)).config.log_mel["pad_mode"] == "repeat"
    assert options(mode="finetune", init_from=str(folder), pad_mode="zeros").pad_mode == "zeros"


def test_folds_of_a_cross_validation_each_fill_up_as_the_run_that_they_start_from(tiny_classifier_folder, tmp_path):
    for fold, pad_mode in ((1, "repeat"), (2, "zeros")):
        folder = tmp_path / f"encoder-{fold}"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"log_mel": {"pad_mode": pad_mode}}))
    config = CrossValidationConfig(
        dataset="data", output_dir="out", mode="finetune", init_from=str(tmp_path / "encoder-{fold}")
    )
    assert config.pad_mode is None
    assert [plan_run(config, fold, seed=0).config.pad_mode for fold in (1, 2)] == ["repeat", "zeros"]


def unfinished(run: Path) -> Path:
    shutil.rmtree(run / "model")
    return run


def absent(run: Path) -> Path:
    return run / "nowhere"


@pytest.mark.parametrize(
    ("made", "changed", "named"),
    [
        (whole, {"backbone": "resnet18"}, "is a mobilenetv3_small_050; pass --backbone mobilenetv3_small_050"),
        (whole, {"duration": 2.0}, "was trained with duration 4.0"),
        (whole, {"pad_mode": "repeat"}, "was trained with pad_mode zeros"),
        (absent, {}, "holds no model"),
        (unfinished, {}, "holds no model"),
        (without_a_tensor, {}, "lacks weights .*conv_stem.weight"),
        (without_half, {}, "damaged or cut short"),
    ],
)
def test_init_from_something_else_is_one_line_that_names_it(made, changed, named, tiny_classifier_folder, tmp_path):
    run = made(a_run(tiny_classifier_folder, tmp_path))
    with pytest.raises(QuaclrsError, match=named) as error:
        build(mode="finetune", init_from=str(run), **changed)
    assert str(error.value).startswith(f"--init-from {run} ")
    assert "\n" not in str(error.value)


def test_random_weights_under_finetune_are_bit_for_bit_those_of_scratch_with_the_same_seed():
    torch.manual_seed(3)
    expected = QuaclrsForAudioClassification(
        QuaclrsConfig(backbone=BACKBONE, log_mel={"image_size": 32}, num_labels=13)
    ).state_dict()
    for changed in ({"mode": "scratch"}, {"mode": "finetune", "initial_weights": "random"}):
        torch.manual_seed(3)
        built = build(**changed).state_dict()
        assert built.keys() == expected.keys()
        assert all(torch.equal(built[name], tensor) for name, tensor in expected.items())
    torch.manual_seed(4)
    weight = "quaclrs.backbone.network.conv_stem.weight"
    assert not torch.equal(build(mode="scratch").state_dict()[weight], expected[weight])


def test_weights_of_convolutions_lie_in_memory_with_channels_last(tiny_classifier_folder):
    for model in (build(), build(mode="finetune", init_from=str(tiny_classifier_folder))):
        convolutions = [module.weight for module in model.modules() if isinstance(module, nn.Conv2d)]
        assert len(convolutions) > 20
        for weight in convolutions:
            _, channels, height, width = weight.shape
            # Channels next to each other, then columns, rows and filters; a size of 1 has no stride to speak of.
            strides = (channels * height * width, 1, channels * width, channels)
            assert [s for s, n in zip(weight.stride(), weight.shape, strict=True) if n > 1] == [
                s for s, n in zip(strides, weight.shape, strict=True) if n > 1
            ]


def test_dropout_and_drop_path_are_those_of_the_options_and_saved_with_the_model(tmp_path):
    model = build(backbone="resnet10t", dropout=0.4, drop_path=0.2)
    assert model.quaclrs.backbone.network.drop_rate == 0.4
    assert max(m.drop_prob for m in model.modules() if isinstance(m, DropPath)) == pytest.approx(0.2)
    model.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert (saved["dropout"], saved["drop_path_rate"]) == (0.4, 0.2)
    assert QuaclrsForAudioClassification.from_pretrained(tmp_path).quaclrs.backbone.network.drop_rate == 0.4


def test_a_drop_path_that_the_network_has_not_is_one_line_that_names_the_option():
    with pytest.raises(QuaclrsError, match=r"^--dropout, --drop-path: alexnet has no drop path; leave it out$"):
        build(backbone="alexnet", drop_path=0.1)


def test_frozen_stages_are_frozen_in_the_model_that_is_built():
    model = build(freeze_stages=1)
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    network = "quaclrs.backbone.network"
    assert frozen == {f"{network}.conv_stem.weight", f"{network}.bn1.weight", f"{network}.bn1.bias"}


def augmentation(**changed):
    config = options(**changed)
    return build_augmentation(config, build_log_mel_config(config))


def test_mixup_alpha_adds_mixup_to_the_policy_unless_that_has_its_own(tmp_path):
    plain, mixed = augmentation(augment="default"), augmentation(augment="default", mixup_alpha=0.2)
    assert "mixup" not in plain.policy.augmentations
    assert mixed.policy.augmentations == {**plain.policy.augmentations, "mixup": {"alpha": 0.2}}
    policy = tmp_path / "mine.yaml"
    policy.write_text("mixup: {alpha: 0.4}\n")
    with pytest.raises(QuaclrsError, match=r"--mixup-alpha: --augment .*mine.yaml has a mixup of its own"):
        augmentation(augment=str(policy), mixup_alpha=0.2)


def test_nothing_is_augmented_where_nothing_is_asked_for():
    assert augmentation(augment_on="none") is None
    assert augmentation(augment="original") is None  # the paper's variant that changes nothing
