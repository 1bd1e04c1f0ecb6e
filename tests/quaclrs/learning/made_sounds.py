"""Sounds of three kinds that anybody tells apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

RATE = 16_000


def sound_of(kind: str, seed: int, seconds: float = 2.0) -> np.ndarray:
    """A hum, a hiss or clicks, unlike that of any other seed."""
    rng = np.random.default_rng((seed, len(kind)))
    time = np.arange(round(seconds * RATE)) / RATE
    if kind == "hum":
        pitch = rng.uniform(90, 180)
        return sum(np.sin(2 * np.pi * pitch * n * time + rng.uniform(0, 6)) / n for n in range(1, 8)) * 0.15
    noise = rng.standard_normal(len(time))
    if kind == "hiss":
        return 0.1 * noise * np.interp(time, np.linspace(0, seconds, 9), rng.uniform(0.5, 1, 9))
    envelope = np.zeros(len(time))
    for start in np.arange(rng.uniform(0, 0.2), seconds, rng.uniform(0.2, 0.35)):
        first = round(start * RATE)
        envelope[first : first + 400] = np.exp(-np.arange(len(envelope[first : first + 400])) / 60)
    return 0.8 * np.clip(noise, -2, 2) / 2 * envelope


def write_sounds(folder: Path, clips: int = 5, seconds: float = 2.0, first: int = 0) -> Path:
    """A folder of folders with clips of the three kinds."""
    for kind in ("hum", "hiss", "clicks"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for seed in range(first, first + clips):
            soundfile.write(folder / kind / f"{kind}-{seed}.wav", sound_of(kind, seed, seconds), RATE)
    return folder
