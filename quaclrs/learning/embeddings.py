"""Embeddings of the windows of sounds, computed once and cached on disk by the content of the sound.

A file of the cache belongs to one sound, or a part of one, and one encoder. Two processes may write the same file: each
writes a whole copy, and the last one stays. Values are rounded to half precision before they are used, as in the cache,
so an answer does not depend on what was in it.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..audio import AudioError
from ..code_version import DECODING, code_version
from ..errors import QuaclrsWarning
from ..files import digest_of, written
from ..inference.batches import in_order
from ..inference.encoder_graph import BASE, encoder_of
from ..inference.windows import Window
from ..saved_model import WEIGHTS, SavedModel
from .embedded import Embedded, Part, Sound, audio_error, windows_of_part

if TYPE_CHECKING:
    from ..inference.classifier import AudioClassifier

#: Files that are decoded ahead of the network, windows of each (a minute, 12 MB), and those that go through it at once.
_AHEAD, _HELD, _BATCH = 16, 15, 8

#: Weights by which embeddings are standardised.
STATISTICS = (f"{BASE}feature_mean", f"{BASE}feature_deviation")

#: Part of a cache's key, beside the code that decodes: changes where the same sound would give other windows.
_VERSION = "1"


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
        waiting: deque[Sound] = deque()
        windows: list[tuple[Sound, Window]] = []  # of `waiting`, those not embedded yet

        def embed_some() -> None:
            vectors = self._vectors_of([window for _, window in windows[:_BATCH]])
            for (sound, window), vector in zip(windows[:_BATCH], vectors, strict=True):
                sound.add(window, vector, self.classifier.log_mel_config.silent_peak)
            del windows[:_BATCH]

        def finished() -> Iterator[Embedded | AudioError]:
            while waiting and (found := waiting[0].found()) is not None:
                if waiting.popleft().is_new and isinstance(found, Embedded):
                    self._keep(found)
                yield found
                done()

        for sound in self._read_ahead(parts):
            waiting.append(sound)
            for window in sound.windows():
                windows.append((sound, window))
                if len(windows) == _BATCH:
                    embed_some()
            yield from finished()
        while windows:
            embed_some()
        yield from finished()

    def _vectors_of(self, windows: list[Window]) -> list[np.ndarray]:
        fit = self.classifier.log_mel_config.fit
        embedded = self.classifier.embed_waveforms(np.stack([fit(window.waveform) for window in windows]))
        return list(np.clip(embedded, -65504, 65504).astype(np.float16).astype(np.float32))

    def _read_ahead(self, parts: Iterable[Part]) -> Iterator[Sound]:
        """Yield sounds, their first windows decoded in threads while the network runs."""
        with ThreadPoolExecutor(2) as pool:
            for _, found in in_order(pool, self._read, parts, _AHEAD):
                yield found

    def _read(self, part: Part) -> Sound:
        try:
            key = self._key(part)
            if key is not None and (known := load_embedded(key)):
                return Sound(part, key, known)
            every = windows_of_part(part, self.classifier.log_mel_config)
            return Sound(part, key, first=list(islice(every, _HELD)), rest=every)
        except (AudioError, OSError) as error:
            return Sound(part, None, audio_error(part, error))

    def _key(self, part: Part) -> Path | None:
        if self.folder is None:
            return None
        with part.file.open("rb") as file:
            content = digest_of(file, "sha256")
        told = repr((_VERSION, code_version(DECODING), content, part.start, part.end, self._front_end))
        name = hashlib.sha256(told.encode()).hexdigest()[:40]
        return self.folder / name[:2] / f"{name}.safetensors"

    def _keep(self, found: Embedded) -> None:
        if (key := found.key) is None:
            return
        try:
            key.parent.mkdir(parents=True, exist_ok=True)
            with written(key) as unfinished:
                unfinished.write_bytes(_file_of(found))
        except OSError as error:
            told = f"the cache {self.folder} cannot be written ({error.strerror}), so embeddings are not kept"
            warnings.warn(f"{told}; set HF_HOME to a folder that can", QuaclrsWarning, stacklevel=2)
            self.folder = None


def _file_of(found: Embedded) -> bytes:
    from safetensors.numpy import save

    vectors, duration = found.vectors.astype(np.float16), np.array([found.duration])
    return save({"starts": found.starts, "levels": found.levels, "vectors": vectors, "duration": duration})


def load_embedded(file: Path) -> Embedded | None:
    """Read embeddings from a file of the cache; None where it is missing or damaged."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        # Not `np.load`: it parses Python, which two threads of Python before 3.11.8 and 3.12.2 cannot do at once
        # (python/cpython#106905).
        found = load(file.read_bytes())
        starts, levels, vectors = found["starts"], found["levels"], found["vectors"].astype(np.float32)
        if not len(starts) == len(levels) == len(vectors) or not np.isfinite(vectors).all():
            return None
        return Embedded(starts, levels, vectors, float(found["duration"][0]), file)
    except (OSError, KeyError, SafetensorError):
        return None
