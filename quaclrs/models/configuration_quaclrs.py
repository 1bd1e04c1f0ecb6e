"""Configuration of QUACLRS models: the backbone's name, its normalisation and the whole front end."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedConfig

from .configuration_checks import (
    check_encoder,
    check_false_alarms,
    check_label_count,
    check_parts,
    check_rate,
    complete_encoders,
    labels_in_order,
)
from .configuration_log_mel import LogMelConfig


class QuaclrsConfig(PreTrainedConfig):
    """Configuration of `QuaclrsModel` and `QuaclrsForAudioClassification`.

    Args:
        backbone (`str`, defaults to `"resnet18"`): one of the paper's seven or any timm architecture.
        log_mel (`dict`, *optional*): fields of `LogMelConfig`; the paper's Table 1 where absent.
        image_mean, image_std (`list[float]`, *optional*): normalisation of the three channels; those of the backbone's
            pretrained weights where absent (the model writes them here, so a saved model never depends on timm's).
        dropout, drop_path_rate (`float`, *optional*): of the backbone in training, in [0, 1); as timm or torchvision
            builds it where absent.
        pooling (`str`, defaults to `"mean"`): `mean` for the backbone's own pooled vector, `mean_max` for the maxima
            beside it.
        patch_overlap (`float`, defaults to 0): share of a patch that the next one holds too, in [0, 1), where the
            backbone hears patches.
        tag_groups (`list[list[int]]`, *optional*): groups of AudioSet's kinds of sound, numbered from 0 as YAMNet's own
            classifier does: the largest log-odds of each group stands last in the pooled vector.
        earlier_stages (`int`, defaults to 0): of so many stages before the backbone's last the feature maps are pooled
            too, and stand after the pooled features, the latest stage first.
        more_encoders (`list[dict]`, *optional*): other encoders that hear the same waveform, each with `backbone`,
            `log_mel`, `image_mean`, `image_std`, `pooling`, `patch_overlap`, `tag_groups` and `earlier_stages` of its
            own; their pooled vectors follow the first's. They have the first's sampling rate and duration.
        standardize (`bool`, defaults to `False`): pooled vectors have the mean 0 and the deviation 1 over the clips
            that the model was trained on, whose statistics are weights.
        normalized_parts (`list[int]`, *optional*): sizes of the parts of the pooled vector, such as means and maxima of
            each encoder, that are scaled to the length of the root of their size, each by itself, before they are
            classified: a few labelled clips say more about directions than about lengths.
        false_alarms (`dict`, *optional*): false alarms an hour, as text -> `threshold` of the best class's score at
            which background gives so many, and the `recall` of the classes at it, on sounds that were not heard.
        training_data (`dict`, *optional*): what the weights have heard, as `quaclrs.evaluation.training_data` packs it;
            absent where nobody knows.
        kwargs: those of `PreTrainedConfig`, among them `num_labels`, `id2label` and `label2id`.

    Raises:
        ValueError: an unknown or impossible log-mel option, a normalisation or a share of dropout out of range, or
            classes that are not numbered from 0 on, share a name or are too many.
    """

    model_type = "quaclrs"

    def __init__(
        self,
        backbone: str = "resnet18",
        log_mel: dict[str, Any] | None = None,
        image_mean: list[float] | None = None,
        image_std: list[float] | None = None,
        dropout: float | None = None,
        drop_path_rate: float | None = None,
        pooling: str = "mean",
        patch_overlap: float = 0.0,
        tag_groups: list[list[int]] | None = None,
        earlier_stages: int = 0,
        more_encoders: list[dict[str, Any]] | None = None,
        standardize: bool = False,
        normalized_parts: list[int] | None = None,
        false_alarms: dict[str, dict[str, float]] | None = None,
        training_data: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        check_encoder(backbone, image_mean, image_std, pooling, patch_overlap, tag_groups, earlier_stages)
        check_rate("dropout", dropout)
        check_rate("drop_path_rate", drop_path_rate)
        if kwargs.get("num_labels") is not None:
            check_label_count(kwargs["num_labels"])
        if kwargs.get("id2label") is not None:
            labels_in_order(kwargs["id2label"])
        self.backbone = backbone
        self.log_mel = LogMelConfig.from_dict({} if log_mel is None else log_mel).to_dict()
        self.image_mean = image_mean
        self.image_std = image_std
        self.dropout = dropout
        self.drop_path_rate = drop_path_rate
        self.pooling = pooling
        self.patch_overlap = patch_overlap
        self.tag_groups = tag_groups
        self.earlier_stages = earlier_stages
        self.more_encoders = complete_encoders(more_encoders, self.log_mel)
        self.standardize = bool(standardize)
        self.normalized_parts = check_parts(normalized_parts)
        self.false_alarms = check_false_alarms(false_alarms)
        self.training_data = training_data
        super().__init__(**kwargs)

    @property
    def backbones(self) -> str:
        """Names of the backbones of all encoders, `+` between them."""
        return "+".join([self.backbone, *(options["backbone"] for options in self.more_encoders or [])])

    @property
    def is_multi_label(self) -> bool:
        """True where a clip may have several labels, each with a score of its own."""
        return bool(self.problem_type == "multi_label_classification")

    @property
    def log_mel_config(self) -> LogMelConfig:
        """The front end's parameters as their dataclass."""
        return LogMelConfig.from_dict(self.log_mel)
