"""QUACLRS models: log-mel front end, a picture of it, an image backbone, and a linear classifier (paper, section 4)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling, SequenceClassifierOutput
from transformers.utils.generic import can_return_tuple

from .backbones import Backbone, find_unusable
from .configuration_quaclrs import QuaclrsConfig
from .log_mel import LogMelSpectrogram

#: Logit of each label of a silent clip where a clip may have several: a score of 1e-13.
_NO_LABEL = -30.0


class QuaclrsPreTrainedModel(PreTrainedModel):
    """Base of the QUACLRS models: their configuration, and the initialisation of weights that no checkpoint holds."""

    config_class = QuaclrsConfig
    base_model_prefix = "quaclrs"
    main_input_name = "input_values"

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """Load as `PreTrainedModel` does; a `ValueError` names weights with which no answer would be a number."""
        loaded = super().from_pretrained(*args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        if damaged := find_unusable(model.state_dict()):
            raise ValueError(f"the weights are damaged: {damaged}")
        return loaded

    def _init_weights(self, module: nn.Module) -> None:
        # `from_pretrained` starts on the meta device: what a checkpoint lacks is uninitialised memory until here.
        if isinstance(module, LogMelSpectrogram):
            module.reset_parameters()
        elif hasattr(module, "init_non_persistent_buffers"):  # timm's position tables and the like
            module.init_non_persistent_buffers()  # type: ignore[operator]
        else:
            super()._init_weights(module)


class QuaclrsModel(QuaclrsPreTrainedModel):
    """The encoder: waveforms or log-mels to the backbone's feature map and pooled embedding.

    With `config.more_encoders` several encoders hear a waveform, and their embeddings are put side by side.

    Args:
        config: which backbone and front end. Weights start random; `model.backbone.load_weights()` takes ImageNet's.

    Attributes:
        log_mel, backbone: of the first encoder.
        more_encoders: the others, each a `QuaclrsModel`.
        feature_mean, feature_deviation: (hidden_size,) by which embeddings are standardised, if they are; 0 and 1 until
            `standardize_by` sets them.
    """

    feature_mean: torch.Tensor
    feature_deviation: torch.Tensor

    def __init__(self, config: QuaclrsConfig) -> None:
        super().__init__(config)
        self.log_mel = LogMelSpectrogram(config.log_mel_config)
        self.backbone = Backbone(
            config.backbone,
            config.dropout,
            config.drop_path_rate,
            config.pooling,
            config.patch_overlap,
            config.tag_groups,
            config.earlier_stages,
        )
        config.image_mean = list(config.image_mean or self.backbone.image_mean)
        config.image_std = list(config.image_std or self.backbone.image_std)
        if not any(parameter.is_meta for parameter in self.backbone.parameters()):
            # Each architecture's own initialisation stays: `post_init` passes over modules with this mark.
            for module in self.backbone.modules():
                module._is_hf_initialized = True  # type: ignore[assignment]
        of_others = [QuaclrsConfig(**options) for options in config.more_encoders or []]
        self.more_encoders = nn.ModuleList(QuaclrsModel(other) for other in of_others)
        for options, other in zip(config.more_encoders or [], of_others, strict=True):
            options |= {"image_mean": other.image_mean, "image_std": other.image_std}
        if config.standardize:
            self.register_buffer("feature_mean", torch.zeros(self.hidden_size))
            self.register_buffer("feature_deviation", torch.ones(self.hidden_size))
        self.post_init()

    @property
    def hidden_size(self) -> int:
        """Length of the pooled embedding, of all encoders together."""
        others: Any = self.more_encoders
        return self.backbone.hidden_size + sum(other.hidden_size for other in others)

    @torch.no_grad()
    def standardize_by(self, embeddings: torch.Tensor) -> None:
        """Take mean and deviation of raw embeddings (clips, hidden_size); a dead dimension keeps its scale.

        Raises:
            ValueError: the configuration does not `standardize`.
        """
        if not self.config.standardize:
            raise ValueError("the embeddings of this model are not standardised; set standardize in its configuration")
        deviation, mean = torch.std_mean(embeddings, dim=0, correction=0)
        self.feature_mean.copy_(mean)
        self.feature_deviation.copy_(torch.where(deviation > 1e-6, deviation, torch.ones_like(deviation)))

    def pictures(self, log_mel: torch.Tensor, width: int | None = None) -> torch.Tensor:
        """Log-mels (batch, mels, frames) in [0, 1] as normalised pictures (batch, 3, height, width).

        Low frequencies are at the bottom. Pooling is antialiased: at 96 pixels four frames share a column. Height and
        width are the front end's `picture_size`, unless another `width` is given.
        """
        height, own_width = self.config.log_mel_config.picture_size
        size = (height, width or own_width)
        grey = log_mel.flip(-2).unsqueeze(1)
        if grey.shape[-2:] != size:
            grey = nn.functional.interpolate(grey, size=size, mode="bilinear", antialias=True, align_corners=False)
        channels = [(grey - m) / s for m, s in zip(self.config.image_mean, self.config.image_std, strict=True)]
        return torch.cat(channels, dim=1)

    @can_return_tuple
    def forward(
        self,
        input_values: torch.Tensor | None = None,
        input_features: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPooling:
        """Encode a batch.

        Args:
            input_values: waveforms (batch, samples) as `QuaclrsFeatureExtractor` prepares them.
            input_features: instead of waveforms, log-mels (batch, mels, frames) in [0, 1].

        Returns:
            `last_hidden_state`, the (first) backbone's feature map ((batch, channels, height, width) for a CNN), and
            `pooler_output` (batch, hidden_size).

        Raises:
            ValueError: neither or both inputs are given, or log-mels to several encoders.
        """
        if (input_values is None) == (input_features is None):
            raise ValueError("pass either input_values (waveforms) or input_features (log-mels)")
        if len(self.more_encoders) and input_values is None:
            raise ValueError("the model has several encoders, each with its own log-mel; pass input_values")
        log_mel = self.log_mel(input_values) if input_features is None else input_features
        feature_map, embedding = self.backbone(self.pictures(log_mel).to(self.dtype))
        if len(self.more_encoders):
            others = [encoder(input_values=input_values).pooler_output for encoder in self.more_encoders]
            embedding = torch.cat([embedding, *others], dim=-1)
        if self.config.standardize:
            embedding = (embedding - self.feature_mean) / self.feature_deviation
        return BaseModelOutputWithPooling(last_hidden_state=feature_map, pooler_output=embedding)


class QuaclrsForAudioClassification(QuaclrsPreTrainedModel):
    """The encoder with a linear classifier on its pooled embedding.

    Args:
        config: as for `QuaclrsModel`; `num_labels` or `id2label` sets the classes. A `problem_type` of
            `multi_label_classification` lets a clip have several of them.

    Raises:
        ValueError: the configuration has no classes, or a `problem_type` of `regression`.
    """

    def __init__(self, config: QuaclrsConfig) -> None:
        super().__init__(config)
        if not config.num_labels:
            raise ValueError("the configuration has no classes; set num_labels or id2label")
        if config.problem_type == "regression":
            raise ValueError("problem_type is regression; choose single_label_ or multi_label_classification")
        self.quaclrs = QuaclrsModel(config)
        self.classifier = nn.Linear(self.quaclrs.hidden_size, config.num_labels)
        if config.normalized_parts and sum(config.normalized_parts) != self.quaclrs.hidden_size:
            parts, size = sum(config.normalized_parts), self.quaclrs.hidden_size
            raise ValueError(f"normalized_parts add up to {parts}, and the embedding has {size} numbers")
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_values: torch.Tensor | None = None,
        input_features: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        num_items_in_batch: torch.Tensor | int | None = None,
        **kwargs: Any,
    ) -> SequenceClassifierOutput:
        """Classify a batch.

        Args:
            input_values, input_features: as for `QuaclrsModel`.
            labels: class indices (batch,), int64; of several labels a clip 0 and 1 (batch, num_labels). They add the
                mean cross-entropy, a binary one of several labels, as `loss`.
            num_items_in_batch: what the sum is divided by for a mean over accumulated batches; Transformers' Trainer
                passes it.

        Returns:
            `logits` (batch, num_labels) and, with `labels`, `loss`. Those of a silent clip are equal: every class is as
            likely, or, of several labels a clip, none is.

        Raises:
            ValueError: labels of another kind than the `problem_type`'s.
        """
        embedding = self.quaclrs(input_values=input_values, input_features=input_features).pooler_output
        if self.config.normalized_parts:
            parts = [nn.functional.normalize(p, dim=-1) for p in embedding.split(self.config.normalized_parts, dim=-1)]
            embedding = torch.cat([part * math.sqrt(part.shape[-1]) for part in parts], dim=-1)
        logits = self.classifier(embedding)
        heard = self._is_heard(input_values, input_features)
        logits = torch.where(heard[:, None], logits, _NO_LABEL if self.config.is_multi_label else 0.0)
        loss = None
        if labels is not None:
            loss = self._loss(logits.float(), labels, "mean" if num_items_in_batch is None else "sum")
            loss = loss if num_items_in_batch is None else loss / num_items_in_batch
        return SequenceClassifierOutput(loss=loss, logits=logits)

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Scores in [0, 1] of logits (..., num_labels): of one label a clip they add up to 1."""
        return logits.sigmoid() if self.config.is_multi_label else logits.softmax(-1)

    def _is_heard(self, input_values: torch.Tensor | None, input_features: torch.Tensor | None) -> torch.Tensor:
        """False for each silent clip (batch,). A log-mel does not know its level; digital silence is 0 everywhere."""
        if input_values is not None:
            return input_values.abs().amax(dim=-1) > self.config.log_mel_config.silent_peak
        assert input_features is not None
        return input_features.amax(dim=(-2, -1)) > 0

    def _loss(self, logits: torch.Tensor, labels: torch.Tensor, reduction: str) -> torch.Tensor:
        if labels.shape != (logits.shape if self.config.is_multi_label else logits.shape[:1]):
            raise ValueError(
                f"labels are {tuple(labels.shape)}; class indices are (batch,), and under problem_type "
                "multi_label_classification 0 and 1 are (batch, num_labels)"
            )
        if self.config.is_multi_label:
            return binary_cross_entropy_with_logits(logits, labels.to(logits.dtype), reduction=reduction)
        return cross_entropy(logits, labels, reduction=reduction)
