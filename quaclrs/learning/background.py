"""Background, sounds outside the classes: embeddings that come with the package, and sounds of a folder."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..default_model import DEFAULT_MODEL
from ..saved_model import SavedModel
from .embeddings import STATISTICS, digest_of_encoder

#: File of the background beside the model in the package.
BACKGROUND = "background.npz"


@dataclass(frozen=True)
class Background:
    """Embeddings of background.

    Attributes:
        vectors: (clips, hidden_size) float32.
        kinds: (clips,) kind of each; clips of one kind are held out together.
    """

    vectors: np.ndarray
    kinds: np.ndarray

    def without(self, kinds: Collection[str]) -> Background:
        """Leave these kinds out."""
        kept = ~np.isin(self.kinds, list(kinds))
        return Background(self.vectors[kept], self.kinds[kept])


def packaged_background(saved: SavedModel, folder: Path = DEFAULT_MODEL) -> Background | None:
    """The background in the package; None where it was made by another encoder, or is not there.

    Models may standardise their embeddings by any statistics.

    Args:
        saved: the model whose embeddings are wanted.
        folder: where it lies.
    """
    if not (folder / BACKGROUND).is_file():
        return None
    with np.load(folder / BACKGROUND, allow_pickle=False) as found:
        if str(found["encoder"]) != digest_of_encoder(saved, with_statistics=False):
            return None
        vectors = found["values"].astype(np.float32) * found["scales"]
        then, now = (found["mean"], found["deviation"]), _statistics(saved)
        return Background((vectors * then[1] + then[0] - now[0]) / now[1], found["kinds"].astype(str))


def save_background(file: Path, background: Background, saved: SavedModel) -> None:
    """Write background in 8 bits, scaled so that the largest number of each clip is 127."""
    mean, deviation = _statistics(saved)
    scales = np.abs(background.vectors).max(axis=1, keepdims=True) / 127
    values = np.round(background.vectors / np.maximum(scales, 1e-12)).astype(np.int8)
    np.savez_compressed(
        file,
        values=values,
        scales=scales.astype(np.float32),
        kinds=background.kinds.astype(str),
        mean=mean,
        deviation=deviation,
        encoder=digest_of_encoder(saved, with_statistics=False),
    )


def _statistics(saved: SavedModel) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation by which a model's embeddings are standardised; 0 and 1 where they are not."""
    if not saved.options.get("standardize"):
        return np.zeros(1, np.float32), np.ones(1, np.float32)
    arrays = saved.arrays()
    return arrays[STATISTICS[0]], arrays[STATISTICS[1]]


def plain(name: str) -> str:
    """Simplify a class's name: case, underscores and hyphens do not count."""
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def why_dropped(kind: str, label: str) -> str:
    """Say why a kind of background was left out for a class."""
    return f"as it is the class {label}" if plain(kind) == plain(label) else f"as it sounds like {label}"
