"""Rows with pictures of log-mels (paper, section 3), made by the code that makes training's augmented copies."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import numpy as np

from quaclrs.audio import load_audio
from quaclrs.augment import COPIES, ORIGINAL, copy_id
from quaclrs.data import STORED_SAMPLING_RATE

#: What a row of each config holds.
CONTENT_OF_KIND = {
    "audio": "the audio of a clip, mono FLAC at 48 kHz, at its true length",
    "spectrogram": "a picture of a clip's log-mel",
    "augmented": "a picture of one of the paper's twelve variants of a clip, as training draws it by seed 0",
}

#: Variants whose pictures a build makes of every clip, in turn: copies have files of their own. None keeps the audio.
VARIANTS_OF_KIND: dict[str, list[tuple[str, ...] | None]] = {
    "audio": [None],
    "spectrogram": [(ORIGINAL,)],
    "augmented": [(ORIGINAL,), COPIES],
}


def picture_rows(row: dict[str, Any], variants: tuple[str, ...]) -> list[dict[str, Any]]:
    """A row with audio, as the data set stores it, as one row with a picture for each of these variants."""
    waveform = load_audio(row["audio"]["bytes"], STORED_SAMPLING_RATE, name=row["clip_id"])
    shared = {name: value for name, value in row.items() if name != "audio"}
    rows = []
    for variant in variants:
        clip_id = copy_id(row["clip_id"], variant)
        # Quoting keeps file names apart: replacing "/" by "_" would give a_b/c the name of a/b_c.
        image = {"bytes": _drawer()(waveform, clip_id), "path": f"{quote(clip_id, safe='')}.png"}
        rows.append({**shared, "image": image, "clip_id": clip_id, "variant": variant})
    return rows


@functools.cache
def _drawer() -> Callable[[np.ndarray, str], bytes]:
    """Draw the picture that the models see of a waveform and the id of a variant: an RGB PNG.

    It is grey, black at the floor of the log-mel, with low frequencies at the bottom. The paper speaks of RGB images
    and names no colour map; grey is what its backbones can be fed without undoing one.
    """
    import torch
    from PIL import Image

    from quaclrs.augment import VariantLogMel
    from quaclrs.models import LogMelConfig, LogMelSpectrogram

    torch.set_num_threads(1)  # the processes of a build share the cores already
    size, log_mel_of = LogMelConfig().picture_size, VariantLogMel(LogMelSpectrogram(LogMelConfig()))

    def draw(waveform: np.ndarray, clip_id: str) -> bytes:
        upright = log_mel_of(waveform, clip_id).flip(0)[None, None]
        grey = torch.nn.functional.interpolate(upright, size, mode="bilinear", antialias=True)[0, 0]
        png = io.BytesIO()
        Image.fromarray((255 * grey).round().byte().numpy()).convert("RGB").save(png, format="PNG")
        return png.getvalue()

    return draw
