"""The twelve named variants of a clip on which the paper's augmented data set rests (section 3, Tables 15 and 17)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, Protocol

import numpy as np

from ..errors import QuaclrsError
from .draws import seeded_generator
from .librosa_reference import add_gaussian_noise, pitch_shift, time_stretch
from .spectrogram import patch_augment, spec_augment

VariantKind = Literal["original", "noise", "timestretch", "pitchshift", "specaugment", "patchaugment"]

ORIGINAL = "original"


@dataclass(frozen=True)
class Variant:
    """What makes a variant of a clip.

    Args:
        kind: the augmentation: `noise`, `timestretch` and `pitchshift` of the waveform, the other two of the log-mel.
        parameters: keyword arguments of the augmentation's function, for instance `snr_db` of `add_gaussian_noise`.
    """

    kind: VariantKind
    parameters: Mapping[str, float] = field(default_factory=dict)


_SPEC_AUGMENT = {"n_masks": 2, "max_width": 20}
_PATCH_AUGMENT = {"n_patches": 5, "size": 10}

#: In the paper's order. Variants of one kind and equal parameters differ by their draws. The paper's tables call
#: timestretch_1.2 "timestretch_1".
VARIANTS: Mapping[str, Variant] = MappingProxyType(
    {
        ORIGINAL: Variant("original"),
        "noise_5dB": Variant("noise", {"snr_db": 5.0}),
        "noise_15dB": Variant("noise", {"snr_db": 15.0}),
        "timestretch_0.8": Variant("timestretch", {"rate": 0.8}),
        "timestretch_1.2": Variant("timestretch", {"rate": 1.2}),
        "pitchshift_-2": Variant("pitchshift", {"semitones": -2.0}),
        "pitchshift_2": Variant("pitchshift", {"semitones": 2.0}),
        "specaugment_0": Variant("specaugment", _SPEC_AUGMENT),
        "specaugment_1": Variant("specaugment", _SPEC_AUGMENT),
        "specaugment_2": Variant("specaugment", _SPEC_AUGMENT),
        "patchaugment_0": Variant("patchaugment", _PATCH_AUGMENT),
        "patchaugment_1": Variant("patchaugment", _PATCH_AUGMENT),
    }
)


class FrontEnd(Protocol):
    """What turns a waveform into a log-mel.

    `sampling_rate` is that of its waveforms in Hz. A call takes a waveform (samples,) of any length, cuts or pads it,
    and gives the log-mel (n_mels, frames) in [0, 1].
    """

    @property
    def sampling_rate(self) -> int: ...

    def __call__(self, waveform: np.ndarray) -> np.ndarray: ...


def make_variant(
    name: str, waveform: np.ndarray, clip_id: str, seed: int = 0, front_end: FrontEnd | None = None
) -> np.ndarray:
    """The log-mel of a named variant of a clip.

    Noise, stretch and shift act on the clip at its true length, before the front end cuts it or pads it with silence.

    Args:
        name: a key of `VARIANTS`.
        waveform: the clip, float32 (samples,), at its true length and at the front end's rate; it is not changed.
        clip_id: with seed and name, all that the draws depend on.
        seed: 0 or more; another seed draws other noise, masks and patches.
        front_end: `model_front_end()` where absent.

    Returns:
        (n_mels, frames), float32 in [0, 1].

    Raises:
        QuaclrsError: no variant has this name, the seed is below 0, or the waveform is empty or not one-dimensional.
    """
    if name not in VARIANTS:
        raise QuaclrsError(f"unknown variant {name!r}; choose {', '.join(VARIANTS)}")
    front_end = front_end or model_front_end()
    kind, parameters = VARIANTS[name].kind, dict[str, Any](VARIANTS[name].parameters)
    generator = seeded_generator(seed, name, clip_id)
    if kind == "noise":
        waveform = add_gaussian_noise(waveform, generator=generator, **parameters)
    elif kind == "timestretch":
        waveform = time_stretch(waveform, **parameters)
    elif kind == "pitchshift":
        waveform = pitch_shift(waveform, front_end.sampling_rate, **parameters)
    log_mel = front_end(waveform)
    if kind == "specaugment":
        log_mel = spec_augment(log_mel, generator, **parameters)
    elif kind == "patchaugment":
        log_mel = patch_augment(log_mel, generator, **parameters)
    return log_mel


def model_front_end(log_mel: Mapping[str, Any] | None = None) -> FrontEnd:
    """The front end of the models: feature extractor and `LogMelSpectrogram`. Imports torch.

    Args:
        log_mel: fields of `quaclrs.LogMelConfig` that differ from the paper's.
    """
    import torch

    from ..models import LogMelConfig, LogMelSpectrogram, QuaclrsFeatureExtractor

    extractor = QuaclrsFeatureExtractor(dict(log_mel or {}))
    spectrogram = LogMelSpectrogram(LogMelConfig.from_dict(extractor.log_mel))

    class ModelFrontEnd:
        sampling_rate = extractor.sampling_rate

        def __call__(self, waveform: np.ndarray) -> np.ndarray:
            return spectrogram(torch.from_numpy(extractor(waveform)["input_values"][0])).numpy()

    return ModelFrontEnd()
