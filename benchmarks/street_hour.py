"""An hour of street with known times, strung together from real recordings, and a classifier that never heard them.

Clips of UrbanSound8K's fold 1 lie at random times on backgrounds of ESC-50's fold 3. The model in the package has
trained on all of them, so its linear classifier is learned anew here, on folds 2 and 3 and on ESC-50's folds 1 and 2:
its two networks have heard neither data set.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from sklearn.linear_model import LogisticRegression

from quaclrs.audio import load_audio
from quaclrs.errors import QuaclrsError
from quaclrs.inference.head import LinearHead
from quaclrs.inference.onnx import OnnxClassifier

#: Kinds of ESC-50 that are none of the classes, nor in them.
BACKGROUNDS = ("rain", "wind", "sea_waves", "crickets", "chirping_birds", "insects", "water_drops", "pouring_water")

#: Levels of background and of clips, dBFS (root mean square), and seconds between clips.
BACKGROUND_LEVEL, LEVELS, GAPS = -45.0, (-35.0, -20.0), (3.0, 25.0)

RATE = 48_000


@dataclass(frozen=True)
class Event:
    """A clip in the hour: seconds, and its class."""

    start: float
    end: float
    label: str


def clips_of(data: Path, folds: tuple[int, ...]) -> list[tuple[Path, str]]:
    """Clips of UrbanSound8K's folds that are there, with their class; `siren` is left out, as in the data set."""
    with (data / "UrbanSound8K/metadata/UrbanSound8K.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if int(row["fold"]) in folds and row["class"] != "siren"]
    found = []
    for row in rows:
        path = data / "UrbanSound8K/audio" / f"fold{row['fold']}" / row["slice_file_name"]
        stored = (path.with_suffix(ending) for ending in (".wav", ".flac", ".ogg"))
        found += [(file, row["class"]) for file in stored if file.is_file()][:1]
    if not found:
        raise QuaclrsError(f"{data} holds no clips of UrbanSound8K's folds {folds}; give the folder that holds it")
    return found


def backgrounds_of(data: Path, folds: tuple[int, ...], kinds: tuple[str, ...]) -> list[Path]:
    """Recordings of ESC-50's folds of these kinds."""
    return [p for kind in kinds for p in sorted((data / "ESC-50/audio" / kind).iterdir()) if int(p.name[0]) in folds]


def write_hour(data: Path, file: Path, seconds: float = 3600.0, seed: int = 0) -> list[Event]:
    """Write the hour as 16-bit WAV, and return what is in it when; the same for the same seed."""
    rng = np.random.default_rng(seed)
    samples = round(seconds * RATE)
    sound = np.zeros(samples, dtype=np.float32)
    backgrounds, place = backgrounds_of(data, (3,), BACKGROUNDS), 0
    fade = np.linspace(0, 1, RATE // 2, dtype=np.float32)
    while place < samples - len(fade):  # each kind for some minutes, its recordings faded into each other
        kind = BACKGROUNDS[rng.integers(len(BACKGROUNDS))]
        of_kind = [path for path in backgrounds if path.parent.name == kind]
        for path in rng.choice(np.array(of_kind, dtype=object), 20):
            piece = _at_level(load_audio(path, RATE), BACKGROUND_LEVEL)
            piece[: len(fade)] *= fade
            piece[-len(fade) :] *= fade[::-1]
            sound[place : place + len(piece)] += piece[: samples - place]
            place = min(samples, place + len(piece) - len(fade))
    events, now = [], 5.0
    clips = clips_of(data, (1,))
    by_label = {label: [path for path, of in clips if of == label] for label in sorted({of for _, of in clips})}
    while True:
        label = list(by_label)[rng.integers(len(by_label))]
        clip = load_audio(by_label[label][rng.integers(len(by_label[label]))], RATE)
        now += rng.uniform(*GAPS)
        first = round(now * RATE)
        if first + len(clip) > samples:
            break
        sound[first : first + len(clip)] += _at_level(clip, rng.uniform(*LEVELS))
        events.append(Event(now, now + len(clip) / RATE, label))
        now = events[-1].end
    soundfile.write(file, np.clip(sound, -1, 1), RATE, subtype="PCM_16")
    return events


def _at_level(waveform: np.ndarray, level: float) -> np.ndarray:
    power = float(np.square(waveform).mean())
    return waveform * np.float32(10 ** (level / 20) / max(power, 1e-12) ** 0.5)


def held_out(base: OnnxClassifier, data: Path) -> OnnxClassifier:
    """The model's networks with a classifier that was learned on other recordings than those of `write_hour`."""
    kinds = tuple(sorted(path.name for path in (data / "ESC-50/audio").iterdir()))
    alike = ("car_horn", "dog", "engine", "siren", "airplane", "chainsaw", "helicopter", "laughing", "crying_baby")
    examples = clips_of(data, (2, 3))
    examples += [(p, "other") for p in backgrounds_of(data, (1, 2), tuple(k for k in kinds if k not in alike))]
    labels = [*sorted({label for _, label in examples} - {"other"}), "other"]
    embeddings = base.embed([path for path, _ in examples], batch_size=4)
    # As strong as the release's weight decay; classes weigh alike.
    learned = LogisticRegression(C=1e-4, class_weight="balanced", max_iter=500)
    learned.fit(embeddings, [labels.index(label) for _, label in examples])
    head = LinearHead(learned.coef_.astype(np.float32), learned.intercept_.astype(np.float32))
    return OnnxClassifier(base.session, labels, base.log_mel_config, None, head)
