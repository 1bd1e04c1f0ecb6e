"""Sounds that are none of the classes: those that come with the package, as embeddings, and those of a folder."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..default_model import DEFAULT_MODEL

#: File of the background beside the model in the package.
BACKGROUND = "background.npz"


@dataclass(frozen=True)
class Background:
    """Embeddings of background.

    Attributes:
        vectors: (clips, hidden_size) float32.
        kinds: (clips,) what each is, by which they are held out together.
    """

    vectors: np.ndarray
    kinds: np.ndarray

    def without(self, kinds: Collection[str]) -> Background:
        """The rest of it."""
        kept = ~np.isin(self.kinds, list(kinds))
        return Background(self.vectors[kept], self.kinds[kept])


def packaged_background(encoder: str, folder: Path = DEFAULT_MODEL) -> Background | None:
    """The background in the package; None where it was made by another encoder, or is not there.

    Args:
        encoder: what `digest_of_encoder` says of the model's.
        folder: where it lies.
    """
    if not (folder / BACKGROUND).is_file():
        return None
    with np.load(folder / BACKGROUND, allow_pickle=False) as found:
        if str(found["encoder"]) != encoder:
            return None
        vectors = found["values"].astype(np.float32) * found["scales"].astype(np.float32)
        return Background(vectors, found["kinds"].astype(str))


def save_background(file: Path, background: Background, encoder: str) -> None:
    """Write background in 8 bits: of each clip, its largest number is 127."""
    scales = np.abs(background.vectors).max(axis=1, keepdims=True) / 127
    values = np.round(background.vectors / np.maximum(scales, 1e-12)).astype(np.int8)
    np.savez_compressed(
        file, values=values, scales=scales.astype(np.float32), kinds=background.kinds.astype(str), encoder=encoder
    )


def plain(name: str) -> str:
    """A name of a class in which case, underscores and hyphens make no difference."""
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())
