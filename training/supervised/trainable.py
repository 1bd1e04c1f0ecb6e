"""Two ways to train a classifier: on clips, or its linear layer alone on embeddings that are computed once."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from timm.optim import param_groups_weight_decay
from torch import nn
from torch.utils.data import DataLoader
from transformers.modeling_outputs import SequenceClassifierOutput

from quaclrs.augment import AugmentedLogMel
from quaclrs.models import Backbone, QuaclrsForAudioClassification, QuaclrsModel

from ..clips.embeddings import embed_split
from ..clips.splits import Split, Splits
from ..clips.stored import MOST_BYTES, bytes_of_log_mel, log_mels_of, stored, together
from .config import SupervisedConfig
from .model import parameter_groups


@dataclass
class Trainable:
    """A network, and the splits as it takes them.

    Attributes:
        network: gives logits (clips, classes).
        groups: of its parameters.
        train: clips to learn from.
        held_out: `validation`, `test`, and `test_cut`, the test clips cut at random; empty where every clip trains.
        num_workers: processes that decode clips of splits that are not in memory.
        whole: makes the whole classifier of the network with its final weights.
        with_validation: makes an untrained one that learns from the training and validation clips; None where the
            latter stay held out.
    """

    network: nn.Module
    groups: list[dict[str, Any]]
    train: Split
    held_out: dict[str, Split]
    num_workers: int
    whole: Callable[[Any], QuaclrsForAudioClassification]
    with_validation: Callable[[], Trainable] | None = None

    def held_out_loaders(self, batch_size: int) -> dict[str, DataLoader]:
        """Batches of the held-out splits in order, by name."""
        return {name: split.loader(batch_size, self.num_workers) for name, split in self.held_out.items()}


def held_out_splits(splits: Splits, seed: int) -> dict[str, Split]:
    """The splits that do not train: validation, test, the test clips cut at random, and background, if there is any."""
    held_out = {"validation": splits.validation, "test": splits.test, "test_cut": splits.test.cut_at_random(seed)}
    return held_out | ({} if splits.background is None else {"background": splits.background})


def classifier_on_clips(
    config: SupervisedConfig,
    model: QuaclrsForAudioClassification,
    splits: Splits,
    hold_out: bool,
    augmentation: AugmentedLogMel | None = None,
) -> Trainable:
    """The whole classifier, which hears clips anew in every epoch.

    Log-mels that every epoch begins with are kept: those of the validation clips, and of the training clips where no
    augmentation acts before them and they fit into memory.
    """
    front_end, train = model.quaclrs.log_mel, splits.train
    held_out = held_out_splits(splits, config.seed) if hold_out else {}
    if hold_out:
        log_mels = log_mels_of(splits.validation, front_end, config.num_workers)
        held_out["validation"] = stored(splits.validation, "input_features", log_mels)
    alike = augmentation is None or (augmentation.on_log_mels_alone and config.augment_on == "device")
    if alike and len(train) * bytes_of_log_mel(front_end) <= MOST_BYTES:
        log_mels = log_mels_of(train.plain(), front_end, config.num_workers)
        train = stored(train, "input_features", log_mels, keyed=augmentation is not None)
    groups = parameter_groups(config, model)
    return Trainable(model, groups, train, held_out, config.num_workers, lambda trained: trained)


def probe_on_embeddings(
    config: SupervisedConfig,
    model: QuaclrsForAudioClassification,
    splits: Splits,
    hold_out: bool,
    accelerator: Accelerator,
) -> Trainable:
    """The linear layer alone, on embeddings that the frozen encoder makes of every clip once."""
    encoder = model.quaclrs.to(accelerator.device)

    def with_mixtures(split: Split) -> list[Split]:
        found = [embed_split(accelerator, encoder, splits, split, config)]
        if (background := splits.train_background) is not None:
            for seed in range(config.seed, config.seed + config.background_mixtures):
                mixed, drawn = split.under(background, seed), ["under", seed, background._fingerprint]
                found.append(embed_split(accelerator, encoder, splits, mixed, config, drawn))
        return found

    train = with_mixtures(splits.train)
    held_out = {
        name: embed_split(
            accelerator, encoder, splits, split, config, ["cut", config.seed] if name == "test_cut" else None
        )
        for name, split in (held_out_splits(splits, config.seed) if hold_out else {}).items()
    }
    scale = encoder_scale(config, model.quaclrs)

    def probe_of(clips: list[Split]) -> Trainable:
        train = together("embeddings", clips)
        embeddings: torch.Tensor = train.dataset.values
        probe = EmbeddingClassifier(model.classifier, embeddings, scale, weights_of_tags(config.tag_weight, encoder))
        groups = param_groups_weight_decay(probe, config.weight_decay)
        return Trainable(probe, groups, train, held_out, 0, lambda trained: whole(trained, embeddings))

    def whole(trained: EmbeddingClassifier, embeddings: torch.Tensor) -> QuaclrsForAudioClassification:
        if model.config.standardize:  # the encoder does what the probe did, by the same figures
            model.cpu().quaclrs.standardize_by(embeddings)
            layer = trained.cpu().linear
            layer.weight.data *= scale
            if trained.fixed is not None:
                layer.weight.data += trained.fixed * model.quaclrs.feature_deviation
                layer.bias.data += trained.fixed @ model.quaclrs.feature_mean
        else:
            layer = trained.cpu().classifier()
        model.cpu().classifier.load_state_dict(layer.state_dict())
        return model

    first = probe_of(train)
    if hold_out and config.refit:
        validation = with_mixtures(splits.validation)
        first.with_validation = lambda: probe_of([*train, *validation])
    return first


def encoder_scale(config: SupervisedConfig, encoder: QuaclrsModel) -> torch.Tensor:
    """The factor of each dimension of the embedding (hidden_size,), by `--encoder-scales` and `--stage-scale`."""
    backbones = _backbones_of(encoder)
    factors = config.factors_of_encoders or [1.0] * len(backbones)
    parts: list[torch.Tensor] = []
    for backbone, factor in zip(backbones, factors, strict=True):
        tags, stages = len(backbone.tag_groups), backbone.stages_size
        parts.append(torch.full((backbone.hidden_size - stages - tags,), factor))
        parts.append(torch.full((stages,), factor * config.stage_scale))
        parts.append(torch.zeros(tags))  # nothing is learned of them
    return torch.cat(parts)


def tag_places(encoder: QuaclrsModel) -> list[int]:
    """Places of the groups of tags in the embedding, in their order; none where no encoder has any."""
    places: list[int] = []
    end = 0
    for backbone in _backbones_of(encoder):
        end += backbone.hidden_size
        places += range(end - len(backbone.tag_groups), end)
    return places


def _backbones_of(encoder: QuaclrsModel) -> list[Backbone]:
    others: Any = encoder.more_encoders
    return [encoder.backbone, *(other.backbone for other in others)]


def weights_of_tags(weight: float, encoder: QuaclrsModel) -> torch.Tensor | None:
    """Weights (classes, hidden_size) that add to the logit of each class its group of tags; None without groups."""
    if not (places := tag_places(encoder)):
        return None
    weights = torch.zeros(len(places), encoder.hidden_size)
    weights[range(len(places)), places] = weight
    return weights


class EmbeddingClassifier(nn.Module):
    """The linear classifier on embeddings that are standardised with the training clips' mean and deviation.

    Dimensions of a network differ in scale by orders of magnitude, which one learning rate does not fit.
    `classifier()` gives the linear layer that does the same on embeddings as they are.

    Args:
        linear: the classifier to begin with.
        embeddings: (clips, hidden_size) of the training split.
        scale: (hidden_size,), of each dimension once it is standardised: weights of larger ones decay less, and of 0
            nothing is learned.
        fixed: weights (classes, hidden_size) on embeddings as they are, whose logits are added to what was learned. In
            training they are not: it would unlearn what they know of kinds that it does not hear.
    """

    def __init__(
        self,
        linear: nn.Linear,
        embeddings: torch.Tensor,
        scale: torch.Tensor | float = 1.0,
        fixed: torch.Tensor | None = None,
    ) -> None:
        super().__init__()
        self.linear = copy.deepcopy(linear)
        deviation, mean = torch.std_mean(embeddings, dim=0, correction=0)
        self.register_buffer("mean", mean)
        # A dead dimension stays as it is.
        self.register_buffer("deviation", torch.where(deviation > 1e-6, deviation, torch.ones_like(deviation)) / scale)
        self.register_buffer("fixed", fixed)
        self.mean: torch.Tensor
        self.deviation: torch.Tensor
        self.fixed: torch.Tensor | None

    def forward(self, embeddings: torch.Tensor) -> SequenceClassifierOutput:
        logits = self.linear((embeddings - self.mean) / self.deviation)
        if self.fixed is not None and not self.training:
            logits = logits + embeddings @ self.fixed.T
        return SequenceClassifierOutput(logits=logits)

    @torch.no_grad()
    def classifier(self) -> nn.Linear:
        """The linear layer without standardisation, computed in float64."""
        folded = copy.deepcopy(self.linear)
        weight = self.linear.weight.double() / self.deviation.double()
        folded.weight.copy_(weight)
        folded.bias.copy_(self.linear.bias.double() - weight @ self.mean.double())
        if self.fixed is not None:
            folded.weight.add_(self.fixed)
        return folded
