"""Front end of training: waveforms to augmented log-mels by a policy, on the device of the front end."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from ..errors import QuaclrsError
from ..models.log_mel import LogMelSpectrogram
from .augmentation import Augmentation
from .draws import Draws
from .noise import BackgroundNoise, GaussianNoise
from .on_log_mels import PatchAugment, RandomResizedCrop, SpecAugment
from .on_waveforms import Clips, Gain, Mixup, RandomCut, TimeShift, choose_offsets, place
from .policy import Policy
from .spectral_stretch import (
    Equalizer,
    PitchShift,
    TimeStretch,
    shifted_filterbanks,
    stretched_mel_power,
)

_ON_WAVEFORMS: tuple[type[Augmentation], ...] = (
    TimeStretch,
    PitchShift,
    Gain,
    GaussianNoise,
    BackgroundNoise,
    RandomCut,
)
_ON_LOG_MELS: tuple[type[Augmentation], ...] = (RandomResizedCrop, SpecAugment, PatchAugment)
_IN_ORDER: tuple[type[Augmentation], ...] = (Mixup, *_ON_WAVEFORMS, TimeShift, Equalizer, *_ON_LOG_MELS)

#: Every augmentation, in the order in which they act: on the waveform, between waveform and log-mel, on the log-mel.
AUGMENTATIONS: dict[str, type[Augmentation]] = {kind.name: kind for kind in _IN_ORDER}


class AugmentedLogMel(nn.Module):
    """The front end of training: clips, augmented by a policy, to log-mels.

    The order is physical: another sound is mixed in, the pitch or speed of `reference` changes, level, noise, a cut, a
    place in the window; then the spectrum, where `fast` stretch and shift and the equaliser act; then the picture of
    it. So noise is stretched and shifted with the clip by `fast`, and comes after by `reference`. With an empty policy
    it equals feature extractor and `LogMelSpectrogram`.

    Args:
        policy: what to do.
        log_mel: the front end; its parameters set window, padding and rate.

    Raises:
        QuaclrsError: an unknown augmentation or option, or an option out of range.
    """

    def __init__(self, policy: Policy, log_mel: LogMelSpectrogram) -> None:
        super().__init__()
        self.policy = policy
        self.log_mel = log_mel
        unknown = sorted(set(policy.augmentations) - set(AUGMENTATIONS))
        if unknown:
            raise QuaclrsError(f"unknown augmentation {', '.join(unknown)}; choose {', '.join(AUGMENTATIONS)}")
        self.steps = nn.ModuleDict(
            {
                name: _build(kind, policy.augmentations[name], log_mel.config.sampling_rate)
                for name, kind in AUGMENTATIONS.items()
                if name in policy.augmentations
            }
        )
        if (patches := self._find(PatchAugment)) is not None:
            patches.check_fits(log_mel.config.n_mels, self._n_frames)

    @property
    def mixup(self) -> Mixup | None:
        """Its mixup, which needs other clips of the data set and mixes labels too; None without."""
        return self._find(Mixup)

    @property
    def on_log_mels_alone(self) -> bool:
        """True if the policy acts on log-mels alone, so that a clip's own can be made once."""
        return not self.policy.random_placement and all(
            AUGMENTATIONS[name] in _ON_LOG_MELS for name in self.policy.augmentations
        )

    @property
    def _n_frames(self) -> int:
        return 1 + self.log_mel.config.n_samples // self.log_mel.config.hop_length

    @torch.no_grad()
    def forward(
        self,
        waveform: torch.Tensor,
        lengths: Sequence[int] | np.ndarray,
        draws: Draws,
        partners: torch.Tensor | None = None,
        partner_lengths: Sequence[int] | np.ndarray | None = None,
    ) -> torch.Tensor:
        """Augmented log-mels.

        Args:
            waveform: (clips, samples); each clip lies at the beginning of its row.
            lengths: (clips,) true lengths in samples, at least 1 each.
            draws: of these clips, in this epoch and view.
            partners, partner_lengths: what mixup mixes in, in the same form.

        Returns:
            (clips, n_mels, frames), float32 in [0, 1], as `LogMelSpectrogram` gives them.

        Raises:
            QuaclrsError: the policy mixes clips and no partners are given.
        """
        with torch.autocast(device_type=waveform.device.type, enabled=False):
            draws = draws.salted(self.policy.salt)
            clips = _true_length(waveform, lengths)
            if not clips:
                return waveform.new_empty(0, self.log_mel.config.n_mels, self._n_frames)
            if self.mixup is not None:
                if partners is None or partner_lengths is None:
                    raise QuaclrsError("mixup needs partners; load clips with ClipTransform(…, partners=dataset)")
                clips = self.mixup(clips, draws, _true_length(partners, partner_lengths))
            for kind in _ON_WAVEFORMS:
                if (step := self._find(kind)) is not None:
                    clips = step(clips, draws)
            mel = self._mel_power(clips, draws)
            if (equalizer := self._find(Equalizer)) is not None:
                mel = equalizer(mel, draws)
            return self._augment_log_mels(self.log_mel.to_unit_decibels(mel), draws)

    def _augment_log_mels(self, log_mel: torch.Tensor, salted: Draws) -> torch.Tensor:
        for kind in _ON_LOG_MELS:
            if (step := self._find(kind)) is not None:
                log_mel = step(log_mel, salted)
        return log_mel

    def augment_batch(
        self, batch: Mapping[str, Any], seed: int = 0, epoch: int = 0, view: int = 0
    ) -> dict[str, torch.Tensor]:
        """A batch of a keyed `ClipTransform` as a model takes it.

        Args:
            batch: `input_values` on the front end's device, `length` and `clip_key` anywhere (on the host they cost no
                wait for the device), and for mixup `partner_values` and `partner_length`. Where the policy is
                `on_log_mels_alone`, `input_features` and `clip_key` do.
            seed, epoch, view: of the draws.

        Returns:
            What the batch holds beside these, and `input_features`; with `partner_labels` also `label_share` (clips,),
            the weight of `labels`, where that of `partner_labels` is the rest.

        Raises:
            QuaclrsError: the batch lacks a column.
        """
        keys, lengths, partner_lengths = (_on_host(batch.get(n)) for n in ("clip_key", "length", "partner_length"))
        if keys is not None and self.on_log_mels_alone and "input_features" in batch:
            draws = Draws(keys, seed, epoch, view).salted(self.policy.salt)
            own = {name: values for name, values in batch.items() if name != "clip_key"}
            return own | {"input_features": self._augment_log_mels(batch["input_features"], draws)}
        if keys is None or lengths is None:
            raise QuaclrsError("the batch has no clip_key and length; load clips with ClipTransform(…, views=[…])")
        draws = Draws(keys, seed, epoch, view)
        features = self(batch["input_values"], lengths, draws, batch.get("partner_values"), partner_lengths)
        consumed = {"input_values", "length", "clip_key", "partner_values", "partner_length"}
        augmented = {name: values for name, values in batch.items() if name not in consumed}
        augmented["input_features"] = features
        if "partner_labels" in batch:
            augmented["label_share"] = torch.from_numpy(self.label_shares(draws)).to(features)
        return augmented

    def label_shares(self, draws: Draws) -> np.ndarray:
        """The weight of each clip's own label under mixup, float64 (clips,); 1 where it is not mixed."""
        return np.ones(len(draws)) if self.mixup is None else self.mixup.shares(draws.salted(self.policy.salt))

    def _find(self, kind: type[Augmentation]) -> Any:
        """The policy's augmentation of this kind, or None."""
        return self.steps[kind.name] if kind.name in self.steps else None  # noqa: SIM401 - a ModuleDict has no get

    def _mel_power(self, clips: Clips, draws: Draws) -> torch.Tensor:
        c = self.log_mel.config
        stretch, pitch, shift = (self._find(kind) for kind in (TimeStretch, PitchShift, TimeShift))
        rates = np.ones(len(clips)) if stretch is None else stretch.rates(draws)
        ratios = np.ones(len(clips)) if pitch is None else pitch.ratios(draws)
        lengths = np.maximum(1, np.round(np.array([len(clip) for clip in clips]) / rates)).astype(np.int64)
        offsets = choose_offsets(lengths, c.n_samples, self.policy.random_placement, draws)
        if shift is not None:
            offsets = shift.shift(offsets, lengths, c.n_samples, draws)
        groups, made = [], []
        for stretched in (False, True):
            for shifted in (False, True):
                rows = np.flatnonzero(((rates != 1) == stretched) & ((ratios != 1) == shifted))
                if len(rows) == 0:
                    continue
                chosen = [clips[row] for row in rows]
                banks = shifted_filterbanks(self.log_mel, ratios[rows]) if shifted else None
                groups.append(rows)
                if stretched:
                    made.append(stretched_mel_power(self.log_mel, chosen, rates[rows], offsets[rows], banks))
                else:
                    placed = place(chosen, offsets[rows], c.n_samples, c.pad_mode)
                    made.append(self.log_mel.mel_power(placed, banks))
        if len(groups) == 1:
            return made[0]
        return torch.cat(made)[torch.from_numpy(np.argsort(np.concatenate(groups))).to(made[0].device)]


def _build(kind: type[Augmentation], options: Mapping[str, Any], sampling_rate: int) -> Augmentation:
    known = set(kind.option_names()) - {"sampling_rate"}
    unknown = sorted(set(options) - known)
    if unknown:
        raise QuaclrsError(f"{kind.name} has no option {', '.join(unknown)}; choose {', '.join(sorted(known))}")
    needs_rate = "sampling_rate" in inspect.signature(kind.__init__).parameters
    return kind(**options, **({"sampling_rate": sampling_rate} if needs_rate else {}))


def _on_host(values: Any) -> np.ndarray | None:
    return values.cpu().numpy() if isinstance(values, torch.Tensor) else values


def _true_length(waveform: torch.Tensor, lengths: Sequence[int] | np.ndarray) -> Clips:
    return [row[: int(length)] for row, length in zip(waveform.to(torch.float32), lengths, strict=True)]
