"""Optimiser groups, schedules, frozen stages and averaged weights against names, formulas and steps written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from timm.optim import param_groups_weight_decay
from torch import nn
from torch.utils.data import DataLoader

from quaclrs.errors import QuaclrsError
from quaclrs.models import PAPER_BACKBONES, QuaclrsConfig, QuaclrsForAudioClassification
from training.clips.stored import StoredClips
from training.runs.optimization import Schedule, optimizer_of
from training.supervised.config import SupervisedConfig
from training.supervised.model import average_of, freeze_stages, parameter_groups, set_to_train
from training.supervised.step import SupervisedStep
from training.supervised.trainable import EmbeddingClassifier


def build_optimizer(config: SupervisedConfig, model: nn.Module) -> torch.optim.Optimizer:
    whole = isinstance(model, QuaclrsForAudioClassification)
    groups = parameter_groups(config, model) if whole else param_groups_weight_decay(model, config.weight_decay)
    return optimizer_of(config, groups)


def options(**changed) -> SupervisedConfig:
    return SupervisedConfig(dataset="data", test_fold=1, output_dir="out", **changed)


def classifier(backbone: str, image_size: int = 32) -> QuaclrsForAudioClassification:
    return QuaclrsForAudioClassification(
        QuaclrsConfig(backbone=backbone, log_mel={"image_size": image_size}, num_labels=5)
    )


def without_memory(backbone: str) -> QuaclrsForAudioClassification:
    """Names and shapes alone: VGG16's weights would take half a gigabyte."""
    with torch.device("meta"):
        return classifier(backbone)


def group_of(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, dict]:
    """The group of each trained parameter by its name; fails where one is in no group or in two."""
    groups = {}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            assert id(parameter) not in groups
            groups[id(parameter)] = group
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert groups.keys() == {id(parameter) for parameter in trained.values()}
    return {name: groups[id(parameter)] for name, parameter in trained.items()}


@pytest.mark.parametrize("layer_decay", [1.0, 0.5])
@pytest.mark.parametrize("backbone", ["resnet18", "mobilenetv3_small_050", "convnext_tiny", "alexnet"])
def test_weight_decay_spares_norms_and_biases_and_nothing_else(backbone, layer_decay):
    model = without_memory(backbone)
    groups = group_of(build_optimizer(options(weight_decay=0.05, layer_decay=layer_decay), model), model)
    decays = {name: group["weight_decay"] for name, group in groups.items()}
    spared = {name for name in decays if name.endswith((".bias", ".gamma"))}  # gamma scales a ConvNeXt block
    for name, module in model.named_modules():
        if isinstance(module, (nn.modules.batchnorm._NormBase, nn.LayerNorm)):
            spared |= {f"{name}.weight", f"{name}.bias"}
    assert decays == {name: 0 if name in spared else 0.05 for name in decays}
    assert 0 < len(spared & decays.keys()) < len(decays)


def test_weight_decay_spares_what_an_architecture_excludes():
    model = without_memory("vit_tiny_patch16_224")
    groups = group_of(build_optimizer(options(weight_decay=0.05), model), model)
    network = "quaclrs.backbone.network"
    assert groups[f"{network}.pos_embed"]["weight_decay"] == groups[f"{network}.cls_token"]["weight_decay"] == 0
    assert groups[f"{network}.patch_embed.proj.weight"]["weight_decay"] == 0.05


def test_what_is_frozen_is_in_no_group():
    model = classifier("mobilenetv3_small_050")
    model.quaclrs.requires_grad_(False)
    groups = group_of(build_optimizer(options(weight_decay=0.05, optimizer="adamw"), model), model)
    assert groups.keys() == {"classifier.weight", "classifier.bias"}
    assert [groups[f"classifier.{name}"]["weight_decay"] for name in ("weight", "bias")] == [0.05, 0]


@pytest.mark.parametrize(("name", "wanted"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_the_optimizer_is_the_one_that_was_named(name, wanted):
    assert type(build_optimizer(options(optimizer=name), nn.Linear(2, 2))) is wanted


#: How parameter names begin, layer by layer, the one next to the classifier first.
LAYERS = {
    "resnet18": [*(f"layer{i}.{j}." for i in (4, 3, 2, 1) for j in (1, 0)), ("conv1.", "bn1.")],
    "alexnet": ["classifier.4.", "classifier.1.", *(f"features.{i}." for i in (10, 8, 6, 3, 0))],
    "vgg16": ["pre_logits.", *(f"features.{i}." for i in (28, 26, 24, 21, 19, 17, 14, 12, 10, 7, 5, 2, 0))],
}


@pytest.mark.parametrize("backbone", LAYERS)
def test_under_layer_decay_each_layer_learns_at_a_power_of_the_factor(backbone):
    model = without_memory(backbone)
    groups = group_of(build_optimizer(options(learning_rate=1e-2, layer_decay=0.5), model), model)
    for name, group in groups.items():
        parameter = name.removeprefix("quaclrs.backbone.network.")
        below = [i for i, layer in enumerate(LAYERS[backbone]) if parameter.startswith(layer)]
        # The classifier and the backbone's uppermost layer learn at the full rate.
        distance = 0 if name.startswith("classifier") else below[0]
        assert group["lr"] == pytest.approx(1e-2 * 0.5**distance), name


def test_without_layer_decay_all_learn_at_the_same_rate():
    optimizer = build_optimizer(options(learning_rate=0.3), without_memory("resnet18"))
    assert {group["lr"] for group in optimizer.param_groups} == {0.3}


def rates_of_steps(config: SupervisedConfig, clips: int) -> list[float]:
    """The rate of each step of the optimiser, read from a training of a linear classifier on embeddings."""
    torch.manual_seed(0)
    accelerator = Accelerator(gradient_accumulation_steps=config.gradient_accumulation_steps)
    data = StoredClips("embeddings", torch.randn(clips, 3), torch.arange(clips) % 2)
    network = EmbeddingClassifier(nn.Linear(3, 2), data.values)
    optimizer = optimizer_of(config, param_groups_weight_decay(network, config.weight_decay))
    loader = DataLoader(data, batch_size=config.batch_size, collate_fn=lambda batch: batch)
    network, optimizer, loader = accelerator.prepare(network, optimizer, loader)
    schedule = Schedule(config, optimizer, len(loader))
    step = SupervisedStep(config, accelerator, network, optimizer, schedule, torch.ones(2), None, None)
    rates, before = [], schedule.learning_rate
    for epoch in range(config.epochs):
        weight = network.linear.weight.detach().clone()
        for number, batch in enumerate(loader):
            step(batch, epoch, number)
            stepped = accelerator.sync_gradients
            # Adam moves by about the rate itself; between two of its steps nothing moves.
            moved = float((network.linear.weight - weight).detach().abs().max())
            assert stepped == (moved > 0) or before == 0
            if stepped:
                rates.append(before)
                before, weight = schedule.learning_rate, network.linear.weight.detach().clone()
    return rates


@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize(
    ("name", "decline"),
    [
        ("cosine", lambda share: (1 + math.cos(math.pi * share)) / 2),
        ("linear", lambda share: 1 - share),
        ("constant", lambda share: 1),
    ],
)
def test_the_schedule_is_its_formula_over_steps_of_the_optimiser(name, decline, accumulation):
    # 5 batches an epoch, the last of a single clip: 5 steps, or 3 of two batches at most.
    config = options(
        lr_scheduler=name, epochs=4, warmup_epochs=1, learning_rate=0.1, batch_size=4,
        gradient_accumulation_steps=accumulation,
    )  # fmt: skip
    steps_an_epoch = {1: 5, 2: 3}[accumulation]
    rising, all_steps = steps_an_epoch, 4 * steps_an_epoch
    expected = [
        0.1 * (step / rising if step < rising else decline((step - rising) / (all_steps - rising)))
        for step in range(all_steps)
    ]
    assert rates_of_steps(config, clips=17) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("patience", "accuracies", "rates"),
    [
        (1, [0.5, 0.5, 0.6, 0.1], [1, 0.1, 0.1, 0.01]),
        (2, [0.5, 0.4, 0.5, 0.5, 0.3], [1, 1, 0.1, 0.1, 0.01]),
        (3, [0.5, 0.4, 0.5, 0.6, 0.5, 0.6, 0.2, 0.7], [1, 1, 1, 1, 1, 1, 0.1, 0.1]),
    ],
)
def test_on_a_plateau_the_rate_falls_after_so_many_epochs_without_a_better_accuracy(patience, accuracies, rates):
    config = options(lr_scheduler="reduce_lr_on_plateau", learning_rate=1, plateau_patience=patience)
    schedule = Schedule(config, build_optimizer(config, nn.Linear(2, 2)), batches=3)
    found = []
    for accuracy in accuracies:
        for _ in range(3):
            schedule.after_step()
        schedule.after_epoch(accuracy)
        found.append(schedule.learning_rate)
    assert found == pytest.approx(rates)


#: How the parameter names of the first and of the second stage begin, and how many stages there are.
STAGES = {
    "alexnet": (("features.0.",), ("features.3.",), 7),
    "vgg16": (("features.0.",), ("features.2.",), 14),
    "resnet18": (("conv1.", "bn1."), ("layer1.",), 5),
    "mobilenet_v2": (("conv_stem.", "bn1."), ("blocks.0.",), 8),
    "inception_v3": (("Conv2d_1a", "Conv2d_2a", "Conv2d_2b"), ("Conv2d_3b", "Conv2d_4a"), 13),
    "efficientnet_b0": (("conv_stem.", "bn1."), ("blocks.0.",), 8),
    "convnext_tiny": (("stem.",), ("stages.0.",), 6),
}


@pytest.mark.parametrize("stages", [1, 2])
@pytest.mark.parametrize("backbone", PAPER_BACKBONES)
def test_stages_are_frozen_from_the_stem_on(backbone, stages):
    model = without_memory(backbone)
    freeze_stages(model, stages)
    network = model.quaclrs.backbone.network
    frozen = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    beginnings = sum(STAGES[backbone][:stages], ())
    assert frozen == {name for name, _ in network.named_parameters() if name.startswith(beginnings)}
    assert all(parameter.requires_grad for parameter in model.classifier.parameters())


@pytest.mark.parametrize("backbone", PAPER_BACKBONES)
def test_more_stages_than_there_are_is_one_line_with_their_number(backbone):
    count = STAGES[backbone][2]
    freeze_stages(without_memory(backbone), count - 1)
    with pytest.raises(QuaclrsError, match=f"^--freeze-stages is {count}, but {backbone} has {count} stages.*$"):
        freeze_stages(without_memory(backbone), count)


# VGG16 is built like AlexNet, and its weights with their gradients take a gigabyte.
@pytest.mark.parametrize(
    ("backbone", "image_size"),
    [("alexnet", 64), ("resnet18", 32), ("mobilenet_v2", 32), ("inception_v3", 80), ("efficientnet_b0", 32),
     ("convnext_tiny", 32)],
)  # fmt: skip
def test_a_step_leaves_frozen_weights_and_statistics_as_they_were_and_moves_the_others(backbone, image_size):
    torch.manual_seed(0)
    model = classifier(backbone, image_size)
    freeze_stages(model, 2)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    set_to_train(model)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    model(input_features=torch.rand(4, 128, 60), labels=torch.arange(4)).loss.backward()
    optimizer.step()
    prefix = "quaclrs.backbone.network."
    unchanged = {n.removeprefix(prefix) for n, t in model.state_dict().items() if torch.equal(t, before[n])}
    names = [name.removeprefix(prefix) for name in before if "log_mel" not in name]
    for name in names:
        if name.startswith(STAGES[backbone][0] + STAGES[backbone][1]):
            assert name in unchanged
        elif name.startswith("classifier") or "running_" in name:
            assert name not in unchanged
    # Of the other weights a few may have no gradient, as a bias before a norm has none.
    assert len([name for name in names if name not in unchanged]) > 0.5 * len(names)


@pytest.mark.parametrize("decay", [0.9, 0.2])
def test_averaged_weights_are_their_formula_which_warms_up_and_statistics_are_copied(decay):
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    averaged = average_of(model, decay)
    values = [2.0, 4.0, -1.0, 7.0]
    for value in values:
        nn.init.constant_(model[0].weight, value)
        model[1].running_mean.fill_(10 * value)
        model[1].num_batches_tracked.add_(1)
        averaged.update_parameters(model)
    # It begins with the weights after the first step; then (1 + n) / (10 + n) of the average stays, `decay` at most.
    expected = values[0]
    for step, value in enumerate(values[1:], start=1):
        kept = min(decay, (1 + step) / (10 + step))
        expected = kept * expected + (1 - kept) * value
    assert averaged.module[0].weight.item() == pytest.approx(expected)
    assert (float(averaged.module[1].running_mean), int(averaged.module[1].num_batches_tracked)) == (70, 4)
    assert model[0].weight.item() == 7


def test_an_average_that_was_saved_and_loaded_goes_on_as_one_that_was_not():
    def follow(averaged, values) -> float:
        for value in values:
            nn.init.constant_(model.weight, value)
            averaged.update_parameters(model)
        return averaged.module.weight.item()

    model = nn.Linear(1, 1, bias=False)
    whole, stopped, resumed = (average_of(model, 0.9) for _ in range(3))
    expected = follow(whole, [2.0, 4.0, -1.0, 7.0])
    follow(stopped, [2.0, 4.0])
    resumed.load_state_dict(stopped.state_dict())
    assert follow(resumed, [-1.0, 7.0]) == expected


def test_the_step_schedule_falls_to_a_tenth_at_60_and_80_percent_of_the_steps():
    model = nn.Linear(2, 2)
    given = options(lr_scheduler="step", warmup_epochs=1, epochs=10, learning_rate=0.1, optimizer="sgd")
    optimizer = build_optimizer(given, model)
    schedule = Schedule(given, optimizer, batches=10)
    rates = []
    for _ in range(100):
        rates.append(schedule.learning_rate)
        optimizer.step()
        schedule.after_step()
    expected = [0.01 * step for step in range(10)] + [0.1] * 50 + [0.01] * 20 + [0.001] * 20
    np.testing.assert_allclose(rates, expected, atol=1e-12)


def test_sgd_has_momentum():
    model = nn.Linear(1, 1, bias=False)
    optimizer = build_optimizer(options(optimizer="sgd", learning_rate=1.0), model)
    model.weight.data.fill_(0)
    for _ in range(2):
        model.weight.grad = torch.ones_like(model.weight)
        optimizer.step()
    assert model.weight.item() == pytest.approx(-(1 + 1.9))  # the second step: gradient and 0.9 of the first
