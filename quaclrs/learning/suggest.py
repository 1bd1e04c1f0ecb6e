"""Choose what to label next: windows that a model knows least about, no two of them alike."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from ..audio import AudioError, find_audio_files, read_part
from ..errors import QuaclrsError, print_error
from ..files import name_unwritable, written
from ..inference.head import head_of, normalize_parts
from ..inference.loading import load_classifier
from ..labels import OTHER
from ..saved_model import open_saved_model
from .clips import embedded
from .embedded import Part
from .embeddings import Embedder, cache_folder, digest_of_encoder
from .groups import clip_names
from .head import parts_of, weights_of_parts

#: The sheet beside the cut windows. It has no column `label`: `quaclrs learn` goes by the folders.
SHEET = "suggestions.csv"

#: Windows of greatest need from which the suggestions are chosen, for each of them.
_POOL = 20


@dataclass(frozen=True)
class Suggestion:
    """A window to label: where it lies, what the model takes it for, and how sure it is; times in seconds."""

    file: Path
    start: float
    end: float
    guess: str
    score: float
    need: float


def suggest(
    folder: str | os.PathLike[str],
    model: str | os.PathLike[str] | None,
    count: int = 30,
    cache: Path | None = None,
    progress: bool | None = False,
) -> list[Suggestion]:
    """Choose windows to label, the most needed first.

    A window's need is the entropy of its scores, in [0, 1], times the rarity of its likeliest class among these
    recordings. Windows are taken one by one: next comes the one whose need times distance from those taken already is
    greatest, so that thirty windows are not of one sound.

    Args:
        folder: of recordings.
        model: folder or repository; the model in the package where absent.
        count: windows at most.
        cache: of embeddings; `cache_folder()` where absent.
        progress: show a bar; where None, on a terminal.

    Raises:
        QuaclrsError: the folder holds no sound that can be heard, or the model cannot be loaded.
    """
    if count < 1:
        raise QuaclrsError(f"-n is {count}; it must be 1 or more")
    files = find_audio_files(folder) if os.path.isdir(folder) else []
    if not files:
        raise QuaclrsError(f"{folder} holds no sounds; give a folder that does")
    saved, classifier = open_saved_model(model), load_classifier(model)
    embedder = Embedder(classifier, digest_of_encoder(saved), cache or cache_folder())
    places: list[tuple[Path, float, float]] = []
    vectors: list[np.ndarray] = []
    length = classifier.log_mel_config.duration
    for file, found in zip(files, embedded(embedder, [Part(f) for f in files], "listening", progress), strict=True):
        if isinstance(found, AudioError):
            print_error(found, "left out")
            continue
        heard = found.levels > 0
        places += [(file, s, min(s + length, found.duration)) for s in found.starts[heard].tolist()]
        vectors.append(found.vectors[heard].astype(np.float16))
    if not places:
        raise QuaclrsError(f"{folder} holds no sound that can be heard; give a folder that does")
    every = np.concatenate(vectors)
    head = head_of(saved)
    blocks = range(0, len(every), 4096)
    scores = np.concatenate([head.scores(every[i : i + 4096].astype(np.float32)) for i in blocks])
    need = needs(scores)
    pool = np.argsort(-need, kind="stable")[: count * _POOL]
    parts = parts_of(saved)
    features = normalize_parts(every[pool].astype(np.float32), parts) * weights_of_parts(saved, parts)
    chosen = pool[spread_out(need[pool], features, count)]
    return [
        Suggestion(file, start, end, classifier.labels[int(row.argmax())], float(row.max()), float(of_window))
        for (file, start, end), row, of_window in ((places[i], scores[i], need[i]) for i in chosen.tolist())
    ]


def needs(scores: np.ndarray) -> np.ndarray:
    """Estimate what each window would teach, (windows,) in [0, 1], by scores (windows, classes)."""
    logs = np.log(np.maximum(scores, 1e-12))
    entropy = -(scores * logs).sum(axis=1) / np.log(max(2, scores.shape[1]))
    seldom = 1 / np.sqrt(scores.mean(axis=0) * scores.shape[1] + 1e-3)
    found = entropy * seldom[scores.argmax(axis=1)]
    return np.asarray(found / max(float(found.max(initial=0.0)), 1e-12))


def spread_out(need: np.ndarray, features: np.ndarray, count: int) -> np.ndarray:
    """Indices of windows, greedily the one whose need times distance from those before is greatest.

    Args:
        need: (windows,).
        features: (windows, size); distances are 1 less the cosine, about the mean of all.
        count: at most.
    """
    centred = features - features.mean(axis=0)
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)
    distance = np.ones(len(need))
    chosen: list[int] = []
    for _ in range(min(count, len(need))):
        gain = (need + 1e-6) * distance
        gain[chosen] = -1.0
        best = int(gain.argmax())
        chosen.append(best)
        distance = np.minimum(distance, np.clip(1 - centred @ centred[best], 1e-6, 1.0))
    return np.array(chosen, dtype=int)


def write_review(suggestions: Sequence[Suggestion], folder: Path, root: Path) -> list[Path]:
    """Cut windows to `folder/guess/…wav` at their own rate, mono, and write the sheet `suggestions.csv`.

    Args:
        suggestions: what to cut.
        folder: new or empty; it is complete or absent.
        root: folder of the recordings.

    Returns:
        The files of the windows.

    Raises:
        QuaclrsError: two windows would have one name, or the folder cannot be written.
    """
    clips = list(_targets(suggestions, root))
    with name_unwritable(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with written(folder) as unfinished:
            unfinished.mkdir()
            for suggestion, clip in zip(suggestions, clips, strict=True):
                target = unfinished / clip
                if target.exists():
                    raise QuaclrsError(f"two windows would be {clip}; rename one of their recordings")
                target.parent.mkdir(parents=True, exist_ok=True)
                sound = read_part(suggestion.file, suggestion.start, suggestion.end)
                soundfile.write(target, sound.waveform[0], sound.sampling_rate, subtype="PCM_16")
            with (unfinished / SHEET).open("w", newline="", encoding="utf-8") as file:
                sheet = csv.writer(file)
                sheet.writerow(("clip", "cut_from", "start", "end", "guess", "score", "need"))
                for suggestion, clip in zip(suggestions, clips, strict=True):
                    times = f"{suggestion.start:.3f}", f"{suggestion.end:.3f}"
                    told = suggestion.guess, f"{suggestion.score:.4f}", f"{suggestion.need:.4f}"
                    sheet.writerow((clip.as_posix(), suggestion.file, *times, *told))
    return [folder / clip for clip in clips]


def _targets(suggestions: Sequence[Suggestion], root: Path) -> Iterator[Path]:
    """`guess/recording__12340.wav`: a name that says the recording, so that no fold splits it, and milliseconds."""
    for suggestion in suggestions:
        guess = suggestion.guess if suggestion.guess not in ("", ".", "..") else OTHER
        *_, recording = clip_names(suggestion.file.relative_to(root))
        name = f"{recording}__{round(1000 * suggestion.start)}.wav"
        yield Path(guess.replace("/", "_").replace("\\", "_"), name)
