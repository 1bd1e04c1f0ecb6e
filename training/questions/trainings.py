"""The runs that the questions are answered by, each by a name of its own, so that questions share them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from quaclrs.augment import load_policies

from ..runs.config import ALL_RECORDINGS
from ..runs.run import Run
from ..ssl.config import SSLConfig
from ..supervised.config import SupervisedConfig
from .config import QuestionsConfig

#: The model in the package: its encoders, and how its linear layer is trained (configs/default_model.yaml), but for the
#: end: validation clips stay out, for all rows are compared on the same labels. `earlier_stages` came after the runs of
#: the page.
PAIR = "tf_efficientnet_lite0+yamnet"
_HEAD: dict[str, Any] = {
    "mode": "linear_probe",
    "pooling": "mean_max",
    "pad_mode": "repeat",
    "balanced_sampler": True,
    "recording_power": 0.0,
    "optimizer": "adamw",
    "learning_rate": 3e-4,
    "weight_decay": 10.0,
    "label_smoothing": 0.2,
    "keep_epoch": "last",
}

#: Augmentations of the paper alone, as `--augment` names them; the others are policies in the package.
ALONE = ("time_stretch", "pitch_shift", "gaussian_noise", "spec_augment", "patch_augment")
POLICIES = ("none", *ALONE, "paper", "default")

#: What all runs with labels train under, but where a question varies it. Log-mels are then made once.
POLICY = "masks"

#: Ways to train YAMNet further that validation chooses from.
FURTHER: Mapping[str, dict[str, Any]] = {
    f"{method}, rate {rate:g}": {"method": method, "learning_rate": rate}
    for method in ("simclr", "byol")
    for rate in (1e-5, 1e-4)
}

#: Epochs with few labels take less time than a checkpoint.
_QUICK: dict[str, Any] = {"checkpoint_seconds": 30.0}

#: Looks at the validation clips, about: with few labels they take longer than the epochs between them.
_VALIDATIONS = 20

#: Weight of the labels in quasi-supervision (paper, section 4.4).
_LABELS = 0.3


class Trainings:
    """Makes runs.

    Args:
        config: of the command.
        clips: clips with labels by (labelled recordings a class, seed), of the test fold's training split.
    """

    def __init__(self, config: QuestionsConfig, clips: Mapping[tuple[str, int], int]) -> None:
        self.config, self.clips = config, clips
        self.root = Path(config.output_dir)

    def write_policies(self) -> None:
        """Write the policies of one augmentation each, with the options that they have in the package's `paper`."""
        (policy,) = load_policies("paper")
        for name in ALONE:
            file = self._policy_file(name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(yaml.safe_dump({name: dict(policy.augmentations[name])}), encoding="utf-8")

    def _policy_file(self, name: str) -> Path:
        return self.root / "policies" / f"{name}.yaml"

    def encoder(self, method: str, seed: int) -> Run:
        """An encoder that learned from the training clips without labels, by the method's preset."""
        options = {"method": method, "epochs": self.config.ssl_epochs, "local_views": 0, **self._small}
        return self._run(SSLConfig, f"encoder-{method}", self._encoder_seed(seed), options)

    def further(self, way: str, seed: int) -> Run:
        """The package's YAMNet, trained further without labels in one of the ways `FURTHER`."""
        options = {"backbone": "yamnet", "initial_weights": "pretrained", "pad_mode": "repeat", **FURTHER[way]}
        options |= {"epochs": self.config.further_epochs, "warmup_epochs": 0.1, "optimizer": "adamw", "local_views": 0}
        name = f"yamnet-{way.replace(', rate ', '-')}"
        return self._run(SSLConfig, name, self._encoder_seed(seed), {**options, "augment": "two_views"})

    def small(
        self,
        name: str,
        seed: int,
        amount: str = ALL_RECORDINGS,
        encoder: Run | None = None,
        augment: str = POLICY,
        head_alone: bool = False,
        fold: int | None = None,
        **options: Any,
    ) -> Run:
        """The small network, from scratch or from an encoder, trained as a whole or its linear layer alone.

        Args:
            name: of the training.
            seed: of every draw, of the labelled recordings too.
            amount: labelled recordings a class.
            encoder: to begin with.
            augment: a policy, one of `ALONE`, or `none`.
            head_alone: keep the encoder as it is.
            fold: to test on, if not the command's.
            options: other options of the run.
        """
        start = {} if encoder is None else {"init_from": str(encoder.path)}
        trained: dict[str, Any] = {**self._small, **start, "labelled_recordings": amount, **options}
        if head_alone:
            trained |= {"mode": "linear_probe", "epochs": 100}
        else:
            trained |= {"mode": "scratch" if encoder is None else "finetune", "learning_rate": 1e-3}
            trained |= {"optimizer": "adamw", "weight_decay": 0.01, "class_weights": "none"}
            trained |= self._length(amount, seed, fold)
            policy = str(self._policy_file(augment)) if augment in ALONE else augment
            trained |= {"augment_on": "none"} if augment == "none" else {"augment": policy}
        return self._run(SupervisedConfig, f"{name}-{amount}", seed, {**_QUICK, **trained}, fold)

    def quasi(self, encoder: Run, seed: int, amount: str) -> Run:
        """The encoder's own method and the labels together, beginning with the encoder (paper, section 4.4)."""
        method = dict(encoder.options)["method"]
        options = {**self._small, "method": method, "local_views": 0, "init_from": str(encoder.path)}
        options |= {"supervised_weight": _LABELS, "method_weight": 1 - _LABELS, "labelled_recordings": amount}
        options |= {"epochs": self.config.quasi_epochs, "warmup_epochs": 1}
        return self._run(SSLConfig, f"quasi-encoder-{method}-{amount}", seed, options)

    def head(
        self, name: str, backbone: str, seed: int, amount: str = ALL_RECORDINGS, fold: int | None = None, **options: Any
    ) -> Run:
        """A linear layer on networks of the package as they are, as the package's own model has it, without `other`."""
        trained: dict[str, Any] = {**_HEAD, "backbone": backbone, "labelled_recordings": amount}
        if "yamnet" in backbone:
            trained["patch_overlap"] = 0.5
        if "+" in backbone:
            trained["encoder_scales"] = "0.5,1"
        trained |= self._length(amount, seed, fold, at_least=30)
        return self._run(SupervisedConfig, f"{name}-{amount}", seed, {**_QUICK, **trained, **options}, fold)

    @property
    def _small(self) -> dict[str, Any]:
        return {"backbone": self.config.backbone, "image_size": self.config.image_size, "pad_mode": "repeat"}

    def _encoder_seed(self, seed: int) -> int:
        seeds = self.config.all_encoder_seeds
        return seeds[seed % len(seeds)] if seed not in seeds else seed

    def _length(self, amount: str, seed: int, fold: int | None, at_least: int | None = None) -> dict[str, Any]:
        """Epochs that make the steps asked for, and a batch that the clips fill."""
        epochs = at_least or self.config.epochs
        if fold is not None:
            return {"epochs": epochs, "batch_size": 32}
        clips = self.clips[amount, seed]
        batch_size = min(32, clips)
        epochs = max(epochs, math.ceil(self.config.steps / (clips // batch_size)))
        return {"epochs": epochs, "batch_size": batch_size, "validate_every": max(1, epochs // _VALIDATIONS)}

    def _run(self, kind: Any, name: str, seed: int, options: dict[str, Any], fold: int | None = None) -> Run:
        shared = {"dataset": self.config.dataset, "decode_once": True}
        folder = self.root / "runs" / name
        return Run(kind, folder, fold or self.config.test_fold, seed, tuple({**shared, **options}.items()))
