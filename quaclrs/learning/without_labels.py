"""Sounds that have no label of a class: background, and windows to learn from without labels."""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from ..audio import AudioError, find_audio_files
from ..errors import QuaclrsError, QuaclrsWarning
from ..saved_model import SavedModel
from .background import Background, packaged_background, plain
from .clips import embedded
from .embedded import Part
from .embeddings import Embedder
from .learner import MOST_WINDOWS
from .unlabelled import SpreadOptions


def sounds_in(folder: str | os.PathLike[str], option: str) -> list[Path]:
    """Find the sound files of a folder; a `QuaclrsError` names the option where there is none."""
    if not os.path.isdir(folder):
        raise QuaclrsError(f"{option} {folder} is not a folder; give a folder of sounds")
    if files := find_audio_files(folder):
        return files
    raise QuaclrsError(f"{option} {folder} holds no sounds; give a folder that does")


def collect_background(
    own: bool,
    folders: Sequence[tuple[Path, Sequence[Path]]],
    embedder: Embedder,
    base: SavedModel,
    labels: Sequence[str],
    kept: Collection[str],
    progress: bool | None,
) -> tuple[Background, dict[str, str]]:
    """Collect background: the package's, without kinds named like a class, and that of folders.

    Args:
        own: the package's too.
        folders: each with its files.
        embedder: of the base.
        base: whose encoder it is.
        labels: of the model.
        kept: those of them that are the base's: what comes with the package is a reminder of them.
        progress: as of `learn`.

    Returns:
        The background, and the kinds that were left out, each with the class of its name.
    """
    vectors: list[np.ndarray] = []
    kinds: list[str] = []
    namesakes: dict[str, str] = {}
    packaged = packaged_background(base) if own else None
    if own and packaged is None and not folders:
        told = "no background comes with this encoder, so every sound will be called one of the classes"
        warnings.warn(f"{told}; give --background DIR", QuaclrsWarning, stacklevel=3)
    if packaged is not None:
        names = {plain(label): label for label in labels if label not in kept}
        namesakes = {kind: names[plain(kind)] for kind in sorted(set(packaged.kinds.tolist())) if plain(kind) in names}
        packaged = packaged.without(namesakes)
        vectors.append(packaged.vectors)
        kinds += packaged.kinds.tolist()
    for path, files in folders:
        for file, found in zip(
            files, embedded(embedder, [Part(f) for f in files], "background", progress), strict=True
        ):
            if isinstance(found, AudioError):
                warnings.warn(f"left out: {found}", QuaclrsWarning, stacklevel=3)
                continue
            heard = found.vectors[found.levels > 0][:MOST_WINDOWS]
            vectors.append(heard)
            parts = file.relative_to(path).parts
            kinds += [f"{path.name}/{parts[0] if len(parts) > 1 else file.stem}"] * len(heard)
    if not vectors:
        size = embedder.classifier.embed_waveforms(np.zeros((1, embedder.classifier.log_mel_config.n_samples))).shape[1]
        return Background(np.zeros((0, size), dtype=np.float32), np.array([], dtype=str)), namesakes
    return Background(np.concatenate(vectors), np.array(kinds)), namesakes


def collect_unlabelled(
    folder: str | os.PathLike[str], files: Sequence[Path], embedder: Embedder, progress: bool | None
) -> np.ndarray:
    """Choose windows of sounds without labels that are not silent; of too many, evenly spread ones."""
    found = [
        entry.vectors[entry.levels > 0]
        for entry in embedded(embedder, [Part(file) for file in files], "unlabelled", progress)
        if not isinstance(entry, AudioError)
    ]
    if not sum(map(len, found)):
        raise QuaclrsError(f"--unlabelled {folder} holds no sounds that can be heard; give a folder that does")
    windows = np.concatenate(found)
    return windows[:: -(-len(windows) // SpreadOptions().most)]
