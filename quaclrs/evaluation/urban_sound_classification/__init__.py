"""The figures of `quaclrs.evaluation.metrics` as a metric of the `evaluate` library, in a folder that is a Space."""

from __future__ import annotations

from .urban_sound_classification import UrbanSoundClassification

__all__ = ["UrbanSoundClassification"]
