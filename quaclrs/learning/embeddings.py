"""Embeddings of the windows of sounds, computed once and cached on disk by the content of the sound.

A file of the cache belongs to one sound, or a part of one, and one encoder. Two processes may write the same file: each
writes a whole copy, and the last one stays. Values are rounded to half precision before they are used, as in the cache,
so an answer does not depend on what was in it.
"""

from __future__ import annotations

import hashlib
import os
import warnings
import zipfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..audio import AudioError, Recording, read_part
from ..code_version import DECODING, code_version
from ..errors import QuaclrsWarning
from ..files import digest_of, written
from ..inference.batches import in_order
from ..inference.encoder_graph import BASE, encoder_of
from ..inference.windows import Window, read_windows
from ..saved_model import WEIGHTS, SavedModel

if TYPE_CHECKING:
    from ..inference.classifier import AudioClassifier

#: A sound of at most this many windows is heard in one window, the loudest.
_IN_ONE = 1.5

#: Files that are decoded ahead of the network, and windows that go through it at once.
_AHEAD, _BATCH = 16, 8

#: Weights by which embeddings are standardised.
STATISTICS = (f"{BASE}feature_mean", f"{BASE}feature_deviation")

#: Part of a cache's key, beside the code that decodes: changes where the same sound would give other windows.
_VERSION = "1"


@dataclass(frozen=True)
class Part:
    """A sound to embed: a file, or the seconds from `start` to `end` of it."""

    file: Path
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True)
class Embedded:
    """The windows of one sound.

    Attributes:
        starts: (windows,) seconds from the beginning of the file.
        levels: (windows,) root of the mean power, full scale 1; 0 where nothing is heard.
        vectors: (windows, hidden_size) float32 that half precision holds.
        duration: of the sound, in seconds.
        key: file of the cache that holds it; None without one.
    """

    starts: np.ndarray
    levels: np.ndarray
    vectors: np.ndarray
    duration: float
    key: Path | None = None


#: A sound's file of the cache; what is known of it, or what is wrong; else its windows, and its seconds.
_Read = tuple[Path | None, Embedded | AudioError | None, list[Window], float]


def cache_folder() -> Path:
    """Folder of embeddings: `quaclrs/windows` in the cache of Hugging Face (`HF_HOME`)."""
    from huggingface_hub.constants import HF_HOME

    return Path(os.path.expanduser(HF_HOME)) / "quaclrs" / "windows"


def digest_of_encoder(saved: SavedModel, with_statistics: bool = True) -> str:
    """Digest of an encoder's options and weights; the classes do not matter.

    Args:
        saved: the model.
        with_statistics: include those that standardise embeddings.
    """
    digest = hashlib.sha256(repr(sorted(encoder_of(saved.options).items())).encode())
    content = (saved.folder / WEIGHTS).read_bytes()
    from safetensors import deserialize

    for name, entry in sorted(deserialize(content)):
        if name.startswith(BASE) and (with_statistics or name not in STATISTICS):
            digest.update(f"{name} {entry['dtype']} {entry['shape']}".encode())
            digest.update(entry["data"])
    return digest.hexdigest()[:32]


class Embedder:
    """Embeds sounds by a classifier's encoder.

    Args:
        classifier: whose encoder it is.
        encoder: what `digest_of_encoder` says of it.
        cache: folder of the cache; none is kept where it is None.
    """

    def __init__(self, classifier: AudioClassifier, encoder: str, cache: Path | None = None) -> None:
        self.classifier = classifier
        self.folder = None if cache is None else cache / encoder
        self._front_end = repr(sorted(classifier.log_mel_config.to_dict().items()))

    def embed(
        self, parts: Iterable[Part], done: Callable[[], object] = lambda: None
    ) -> Iterator[Embedded | AudioError]:
        """Embed sounds in order; for one that cannot be decoded, its error takes the place.

        Args:
            parts: the sounds.
            done: is called after each.
        """
        waiting: deque[_Read] = deque()
        windows: list[Window] = []  # of `waiting`, those not embedded yet
        vectors: list[np.ndarray] = []
        for key, known, cut, duration in self._read_ahead(parts):
            waiting.append((key, known, cut, duration))
            windows += cut
            while len(windows) >= _BATCH:
                vectors.extend(self._vectors_of(windows[:_BATCH]))
                del windows[:_BATCH]
            while waiting and (waiting[0][1] is not None or len(waiting[0][2]) <= len(vectors)):
                yield self._finish(waiting.popleft(), vectors)
                done()
        vectors.extend(self._vectors_of(windows))
        while waiting:
            yield self._finish(waiting.popleft(), vectors)
            done()

    def _finish(self, entry: _Read, vectors: list[np.ndarray]) -> Embedded | AudioError:
        key, known, cut, duration = entry
        if known is not None:
            return known
        rows = np.stack(vectors[: len(cut)])
        del vectors[: len(cut)]
        silent = self.classifier.log_mel_config.silent_peak
        levels = [
            float(np.sqrt(np.mean(np.square(w.waveform)))) if w.peak(0, w.duration) > silent else 0.0 for w in cut
        ]
        found = Embedded(np.array([w.start for w in cut]), np.array(levels), rows, duration, key)
        if key is not None:
            self._keep(key, found)
        return found

    def _vectors_of(self, windows: list[Window]) -> list[np.ndarray]:
        if not windows:
            return []
        fit = self.classifier.log_mel_config.fit
        embedded = self.classifier.embed_waveforms(np.stack([fit(window.waveform) for window in windows]))
        return list(np.clip(embedded, -65504, 65504).astype(np.float16).astype(np.float32))

    def _read_ahead(self, parts: Iterable[Part]) -> Iterator[_Read]:
        """Yield what is known of each sound, or its windows, decoded in threads while the network runs."""
        with ThreadPoolExecutor(2) as pool:
            for _, found in in_order(pool, self._read, parts, _AHEAD):
                yield found

    def _read(self, part: Part) -> _Read:
        try:
            key = self._key(part)
            if key is not None and (known := load_embedded(key)):
                return key, known, [], 0.0
            cut, duration = self._windows(part)
            return key, None, cut, duration
        except AudioError as error:
            return None, error, [], 0.0
        except OSError as error:
            return None, AudioError(f"{part.file} cannot be read ({error.strerror}); check the file"), [], 0.0

    def _windows(self, part: Part) -> tuple[list[Window], float]:
        front_end = self.classifier.log_mel_config
        duration = front_end.duration
        rate = front_end.sampling_rate
        if part.start is not None and part.end is not None:
            sound = _cut(part)
            found = list(read_windows(sound, rate, duration, duration, full=True))
            shifted = [Window(w.start + part.start, w.waveform, rate, w.total) for w in found]
            return shifted, part.end - part.start
        found = list(read_windows(part.file, rate, duration, duration, full=True))
        length = found[-1].total or found[-1].end
        if len(found) > 1 and length <= _IN_ONE * duration:
            found = [_loudest(found, duration, length)]
        return found, length

    def _key(self, part: Part) -> Path | None:
        if self.folder is None:
            return None
        with part.file.open("rb") as file:
            content = digest_of(file, "sha256")
        told = repr((_VERSION, code_version(DECODING), content, part.start, part.end, self._front_end))
        name = hashlib.sha256(told.encode()).hexdigest()[:40]
        return self.folder / name[:2] / f"{name}.npz"

    def _keep(self, key: Path, found: Embedded) -> None:
        try:
            key.parent.mkdir(parents=True, exist_ok=True)
            with written(key) as unfinished, unfinished.open("wb") as file:
                np.savez(
                    file,
                    starts=found.starts,
                    levels=found.levels,
                    vectors=found.vectors.astype(np.float16),
                    duration=np.float64(found.duration),
                )
        except OSError as error:
            told = f"the cache {self.folder} cannot be written ({error.strerror}), so embeddings are not kept"
            warnings.warn(f"{told}; set HF_HOME to a folder that can", QuaclrsWarning, stacklevel=2)
            self.folder = None


def load_embedded(file: Path) -> Embedded | None:
    """Read embeddings from a file of the cache; None where it is missing or damaged."""
    try:
        with np.load(file, allow_pickle=False) as found:
            starts, levels, vectors = found["starts"], found["levels"], found["vectors"].astype(np.float32)
            if not len(starts) == len(levels) == len(vectors) or not np.isfinite(vectors).all():
                return None
            return Embedded(starts, levels, vectors, float(found["duration"]), file)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _cut(part: Part) -> Recording:
    """The seconds of a part, mono."""
    assert part.start is not None and part.end is not None
    sound = read_part(part.file, part.start, part.end)
    if not sound.duration:
        raise AudioError(f"{part.file} ends before a label of it begins at {part.start:g} s; correct the table")
    return sound


def _loudest(found: list[Window], duration: float, length: float) -> Window:
    """The window of greatest power in a sound that is a little longer than one; the first of equals."""
    first, last, rate = found[0], found[-1], found[0].sampling_rate
    whole = np.concatenate([first.waveform, last.waveform[len(last.waveform) - round((length - first.end) * rate) :]])
    powers = np.concatenate([[0.0], np.cumsum(np.square(whole, dtype=np.float64))])
    size = round(duration * rate)
    heard = powers[size:] - powers[:-size]
    begin = int(np.argmax(heard > heard.max() * (1 - 1e-9)))
    return Window(begin / rate, whole[begin : begin + size], rate, length)
