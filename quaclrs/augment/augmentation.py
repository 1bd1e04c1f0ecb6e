"""Base of every batched augmentation: options with a probability, and draws that belong to it by name."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from numbers import Real
from typing import Any, ClassVar, cast

import numpy as np
from torch import nn

from ..errors import QuaclrsError
from .draws import Draws

#: A number, or the lowest and highest value of a uniform draw.
Range = float | Sequence[float]


class Augmentation(nn.Module):
    """Base of the batched augmentations; a subclass acts at one stage of the way from waveform to log-mel.

    Waveform augmentations take and return a list of clips, each (samples,) at its true length and on one device, none
    of which they change in place. Log-mel augmentations take and return (clips, n_mels, frames) in [0, 1]. Those that
    act in between give `AugmentedLogMel` their parameters.

    Attributes:
        name: what a policy calls it, and the first part of its draws' names.
        probability: of acting on a clip, in [0, 1].
    """

    name: ClassVar[str]

    def __init__(self, probability: float = 1.0) -> None:
        super().__init__()
        self.probability = number(self.name, "probability", probability, low=0, high=1)

    @classmethod
    def option_names(cls) -> list[str]:
        """The options that a policy may set."""
        return [name for name in inspect.signature(cls.__init__).parameters if name != "self"]

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={getattr(self, name)}" for name in self.option_names() if hasattr(self, name))

    def rows(self, draws: Draws) -> np.ndarray:
        """Rows of the clips that it acts on."""
        return np.flatnonzero(draws.chosen(self.name, self.probability))

    def draw(self, option: str, draws: Draws, neutral: float | None = None) -> np.ndarray:
        """A value from the range of an option, float64 (clips,); with `neutral`, that where it does not act."""
        low, high = getattr(self, option)
        values = draws.uniform(f"{self.name}.{option}", low, high)
        if neutral is not None:
            values[~draws.chosen(self.name, self.probability)] = neutral
        return values


def number(
    augmentation: str, option: str, value: Any, low: float = -np.inf, high: float = np.inf, above: float = -np.inf
) -> float:
    """An option as a float; a `QuaclrsError` if it is not a number, below `low`, above `high` or not above `above`."""
    allowed = [f"{word} {limit:g}" for word, limit in (("at least", low), ("at most", high)) if np.isfinite(limit)]
    allowed += [f"above {above:g}"] if np.isfinite(above) else []
    # The bounds also refuse NaN, and integers that no float holds.
    if isinstance(value, bool) or not isinstance(value, Real) or not -1e300 < cast(float, value) < 1e300:
        number_given = np.nan
    else:
        number_given = float(value)
    if not (low <= number_given <= high and number_given > above):
        wanted = " and ".join(["a finite number", *allowed])
        raise QuaclrsError(f"{augmentation} {option} is {value!r}; it must be {wanted}")
    return number_given


def number_range(augmentation: str, option: str, value: Range, **limits: float) -> tuple[float, float]:
    """An option as its lowest and highest value; a single number is both. Errors and limits as `number`."""
    ends = [value] if isinstance(value, Real) else value
    if not isinstance(ends, (list, tuple)) or len(ends) not in (1, 2):
        raise QuaclrsError(f"{augmentation} {option} is {value!r}; it must be a number or [lowest, highest]")
    low, high = (number(augmentation, option, end, **limits) for end in (ends[0], ends[-1]))
    if low > high:
        raise QuaclrsError(f"{augmentation} {option} is {value!r}; the lowest value comes first")
    return low, high


def whole_number(augmentation: str, option: str, value: Any, low: int, high: int = 10_000) -> int:
    """An option as an integer from `low` to `high`; a `QuaclrsError` otherwise."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise QuaclrsError(f"{augmentation} {option} is {value!r}; it must be a whole number from {low} to {high}")
    return value
