"""Report of `quaclrs.learn` on what it learned."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from .worth import Curve, Worth


@dataclass(frozen=True)
class LearnReport:
    """Report of what was learned and what it is worth.

    Attributes:
        worth: figures of held-out clips.
        curve: accuracy by the number of recordings.
        labels: classes of the model.
        clips, seconds: that were learned from, and that it took.
        background_kinds: kinds of background that were heard.
        background_dropped: kinds that were left out -> the class that they sound like, or have the name of.
        background_named: share of held-out background that is named a class; `background_certain` by more than 0.5.
        strength, temperature: of the classifier.
        unlabelled: windows without labels that were given; None without any.
        unlabelled_heard: True where they helped and were learned from.
        left_out: names of sounds that were left out, and why.
    """

    worth: Worth
    curve: Curve
    labels: list[str]
    clips: int
    seconds: float
    background_kinds: list[str]
    background_dropped: dict[str, str]
    background_named: float | None
    background_certain: float | None
    strength: float
    temperature: float
    unlabelled: int | None
    unlabelled_heard: bool
    left_out: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Convert everything to what JSON takes."""
        worth = self.worth
        return {
            "labels": self.labels,
            "clips": self.clips,
            "seconds": round(self.seconds, 2),
            "accuracy": worth.accuracy,
            "interval": worth.interval,
            "balanced_accuracy": worth.balanced_accuracy,
            "calibration_error": worth.calibration_error,
            "tested": {"clips": worth.clips, "recordings": worth.recordings},
            "classes": [asdict(entry) for entry in worth.classes],
            "confusion": {"columns": worth.columns, "counts": worth.confusion.tolist()},
            "perhaps_mislabelled": [asdict(suspect) for suspect in worth.suspects],
            "learning_curve": self.curve.points,
            "with_twice_the_labels": self.curve.twice,
            "background": {
                "kinds": self.background_kinds,
                "left_out": self.background_dropped,
                "named_a_class": self.background_named,
                "named_with_certainty": self.background_certain,
            },
            "strength": self.strength,
            "temperature": self.temperature,
            "unlabelled": {"windows": self.unlabelled, "heard": self.unlabelled_heard},
            "left_out": self.left_out,
        }
