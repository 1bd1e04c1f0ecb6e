"""The paper's augmentations (sections 3 and 4.5): on waveforms, on log-mels, and its twelve variants of a clip."""

from .spectrogram import patch_augment, spec_augment
from .variants import ORIGINAL, VARIANTS, FrontEnd, Variant, make_variant, model_front_end, variant_generator
from .waveform import add_gaussian_noise, pitch_shift, time_stretch

__all__ = [
    "ORIGINAL",
    "VARIANTS",
    "FrontEnd",
    "Variant",
    "add_gaussian_noise",
    "make_variant",
    "model_front_end",
    "patch_augment",
    "pitch_shift",
    "spec_augment",
    "time_stretch",
    "variant_generator",
]
