"""Search for what sounds like a clip: windows of a folder by the cosine of their embeddings.

Embeddings of a million windows fill 9 GB, so the folder's index holds a random projection of each to 256 numbers
(W. Johnson and J. Lindenstrauss, 1984): a gigabyte for a million. A search compares all of them, and the best again by
their whole embeddings. New and changed files are embedded anew; the others are not read again.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..audio import AudioError, find_audio_files
from ..errors import QuaclrsError, print_error
from ..files import written
from ..inference.head import normalize_parts
from ..inference.loading import load_classifier
from ..saved_model import SavedModel, open_saved_model
from .clips import embedded
from .embedded import Part
from .embeddings import Embedder, cache_folder, digest_of_encoder, load_embedded
from .head import parts_of, weights_of_parts

#: Numbers that stand for a window, and windows that are compared whole, at least and for each one asked for.
SKETCH, _WHOLE, _WHOLE_EACH = 256, 200, 10

#: Windows whose cosines are held at once.
_BLOCK = 1 << 16

#: Loudest windows of a long query that are looked for.
_OF_QUERY = 8


@dataclass(frozen=True)
class Match:
    """A window that sounds like the query: its file, its times in seconds, and the cosine, at most 1."""

    file: Path
    start: float
    end: float
    similarity: float


class Features:
    """Embeddings as they are compared: parts of one length each, weighted as for a head, of length 1.

    Args:
        saved: the model whose encoder embeds.
    """

    def __init__(self, saved: SavedModel) -> None:
        self.parts = parts_of(saved)
        self.weights = weights_of_parts(saved, self.parts)
        generator = np.random.default_rng(0)
        self.projection = generator.standard_normal((sum(self.parts), SKETCH), dtype=np.float32)

    def whole(self, vectors: np.ndarray) -> np.ndarray:
        """Unit vectors (windows, hidden_size) of embeddings."""
        return _unit(normalize_parts(vectors.astype(np.float32), self.parts) * self.weights)

    def sketch(self, vectors: np.ndarray) -> np.ndarray:
        """Unit vectors (windows, `SKETCH`), float32, whose cosines are about those of the whole."""
        return _unit(self.whole(vectors) @ self.projection)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), dtype=np.float32)


@dataclass(frozen=True)
class Entry:
    """A file in an index: its size and time of change, its rows, and the cache file of its embeddings."""

    size: int
    changed: int
    first: int
    count: int
    duration: float
    key: str


@dataclass(frozen=True)
class Index:
    """The windows of a folder.

    Attributes:
        files: path within the folder -> its entry.
        starts: (windows,) seconds.
        sketches: (windows, `SKETCH`) float32, perhaps mapped from the disk.
    """

    files: dict[str, Entry]
    starts: np.ndarray
    sketches: np.ndarray


def search(
    clip: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    count: int = 10,
    model: str | os.PathLike[str] | None = None,
    cache: Path | None = None,
    progress: bool | None = False,
) -> list[Match]:
    """Find windows below a folder that sound like a clip, the most similar first; the clip itself is left out.

    Args:
        clip: a sound; of a long one the loudest windows are looked for.
        folder: of recordings.
        count: windows at most.
        model: whose encoder compares; the model in the package where absent.
        cache: of embeddings and indexes; `cache_folder()` where absent.
        progress: show a bar; where None, on a terminal.

    Raises:
        QuaclrsError: the clip cannot be decoded or is silent, or the folder holds no sound that can be heard.
    """
    if count < 1:
        raise QuaclrsError(f"-n is {count}; it must be 1 or more")
    saved, features = open_saved_model(model), Features(open_saved_model(model))
    encoder = digest_of_encoder(saved)
    embedder = Embedder(load_classifier(model), encoder, cache or cache_folder())
    query = next(iter(embedder.embed([Part(Path(clip))])))
    if isinstance(query, AudioError):
        raise query
    if not query.levels.any():
        raise QuaclrsError(f"{clip} is silent; give a clip in which something is heard")
    loudest = query.vectors[np.argsort(-query.levels, kind="stable")[:_OF_QUERY]]
    root = Path(folder)
    index = refreshed_index(root, embedder, features, progress)
    own = Path(clip).resolve()
    entries = [entry for name, entry in index.files.items() if (root / name).resolve() == own]
    of_clip = [row for entry in entries for row in range(entry.first, entry.first + entry.count)]
    wanted = max(_WHOLE, count * _WHOLE_EACH)
    rows, _ = nearest(index.sketches, features.sketch(loudest), wanted + len(of_clip))
    rows = rows[~np.isin(rows, of_clip)]
    matches = _compared_whole(root, index, rows, features.whole(loudest), features, embedder)
    length = embedder.classifier.log_mel_config.duration
    return [Match(file, start, min(start + length, end), s) for file, start, end, s in matches[:count]]


def nearest(sketches: np.ndarray, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the largest cosines with any of the queries, the largest first, and those cosines.

    Args:
        sketches: (windows, size) unit vectors, gone through in blocks.
        queries: (queries, size) unit vectors.
        count: rows at most.
    """
    best = np.empty(len(sketches), dtype=np.float32)
    for first in range(0, len(sketches), _BLOCK):
        best[first : first + _BLOCK] = (sketches[first : first + _BLOCK] @ queries.T).max(axis=1)
    count = min(count, len(best))
    rows = np.argpartition(-best, count - 1)[:count]
    rows = rows[np.argsort(-best[rows], kind="stable")]
    return rows, best[rows]


def refreshed_index(root: Path, embedder: Embedder, features: Features, progress: bool | None = False) -> Index:
    """Bring the index of a folder up to date; it is kept in the embedder's cache, if there is one.

    Raises:
        QuaclrsError: the folder holds no sound that can be heard.
    """
    paths = find_audio_files(root) if root.is_dir() else []
    if not paths:
        raise QuaclrsError(f"{root} holds no sounds; give a folder that does")
    place = None
    if embedder.folder is not None:
        name = hashlib.sha256(os.fsencode(os.path.realpath(root))).hexdigest()[:32]
        place = embedder.folder / "indexes" / f"{name}.npz"
    old = _load_index(place) if place else None
    state = {str(path.relative_to(root)): path.stat() for path in paths}
    known = old.files if old else {}
    same = {
        name
        for name, found in state.items()
        if name in known and (known[name].size, known[name].changed) == (found.st_size, found.st_mtime_ns)
    }
    if old is not None and same == set(state) == set(known):
        return old
    new = [name for name in state if name not in same]
    starts: list[np.ndarray] = []
    sketches: list[np.ndarray] = []
    files: dict[str, Entry] = {}
    total = 0

    def add(name: str, at: np.ndarray, sketched: np.ndarray, duration: float, key: str) -> None:
        nonlocal total
        found = state[name]
        files[name] = Entry(found.st_size, found.st_mtime_ns, total, len(at), duration, key)
        starts.append(at)
        sketches.append(sketched)
        total += len(at)

    for name in sorted(same):
        assert old is not None
        entry = known[name]
        rows = slice(entry.first, entry.first + entry.count)
        add(name, old.starts[rows], old.sketches[rows], entry.duration, entry.key)
    for name, found_here in zip(
        new, embedded(embedder, [Part(root / name) for name in new], "listening", progress), strict=True
    ):
        if isinstance(found_here, AudioError):
            print_error(found_here, "left out")
            continue
        heard = found_here.levels > 0
        key = str(found_here.key or "")
        add(name, found_here.starts[heard], features.sketch(found_here.vectors[heard]), found_here.duration, key)
    if not total:
        raise QuaclrsError(f"{root} holds no sound that can be heard; give a folder that does")
    index = Index(files, np.concatenate(starts), np.concatenate(sketches))
    if place is not None:
        _keep_index(place, index)
    return index


def _compared_whole(
    root: Path, index: Index, rows: np.ndarray, queries: np.ndarray, features: Features, embedder: Embedder
) -> list[tuple[Path, float, float, float]]:
    """File, start, duration and cosine of windows by their whole embeddings, the likest first."""
    names = list(index.files)
    firsts = np.array([index.files[name].first for name in names])
    counts = np.array([index.files[name].count for name in names])
    order = np.argsort(firsts + 1e-9 * (counts == 0), kind="stable")
    order = order[counts[order] > 0]
    owner = order[np.searchsorted(firsts[order], rows, side="right") - 1]
    found: list[tuple[Path, float, float, float]] = []
    for file in np.unique(owner).tolist():
        name, entry = names[file], index.files[names[file]]
        whole = load_embedded(Path(entry.key)) if entry.key else None
        if whole is None:  # somebody emptied the cache
            again = next(iter(embedder.embed([Part(root / name)])))
            if isinstance(again, AudioError):
                continue
            whole = again
        heard = whole.vectors[whole.levels > 0]
        for row in (rows[owner == file] - entry.first).tolist():
            if row < len(heard):
                cosine = float((features.whole(heard[row : row + 1]) @ queries.T).max())
                found.append((root / name, float(index.starts[entry.first + row]), entry.duration, cosine))
    return sorted(found, key=lambda match: -match[3])


def _load_index(place: Path) -> Index | None:
    """Read an index from the cache; None where it is missing or damaged."""
    try:
        with np.load(place, allow_pickle=False) as found:
            files = {name: Entry(*entry) for name, entry in json.loads(str(found["files"])).items()}
            starts = found["starts"]
            sketches = np.load(place.with_name(str(found["sketches"])), mmap_mode="r", allow_pickle=False)
        if len(starts) != len(sketches) or sum(entry.count for entry in files.values()) != len(starts):
            return None
        return Index(files, starts, sketches)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None


def _keep_index(place: Path, index: Index) -> None:
    """Write the sketches under a new name, then the table that names them: a reader sees the old pair or the new."""
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        before = list(place.parent.glob(f"{place.stem}.*.npy"))
        sketches = place.with_name(f"{place.stem}.{uuid.uuid4().hex[:8]}.npy")
        np.save(sketches, index.sketches)
        table = json.dumps({name: list(vars(entry).values()) for name, entry in index.files.items()})
        with written(place) as unfinished, unfinished.open("wb") as file:
            np.savez(file, files=table, starts=index.starts, sketches=sketches.name)
        for old in before:
            old.unlink(missing_ok=True)
