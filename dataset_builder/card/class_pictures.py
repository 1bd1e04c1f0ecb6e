"""A picture of every class for the data card: the log-mel of one typical clip each."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from quaclrs.audio import load_audio
from quaclrs.models import LogMelConfig

from ..table.pictures import LibrosaFrontEnd

PICTURE_NAME = "classes.png"


def draw_classes(folder: Path, clips: pd.DataFrame, log_mel: Mapping[str, Any]) -> None:
    """Draw `classes.png` into a built data set's folder.

    Args:
        folder: with the shards in `data/`.
        clips: its rows as `read_clips` gives them, with the columns `file` and `row`, the place of each.
        log_mel: the front end's parameters.
    """
    from quaclrs.evaluation.figures.spectrograms import spectrogram_grid_figure
    from quaclrs.evaluation.figures.style import save_figure

    front_end = LibrosaFrontEnd(log_mel)
    spectrograms = {}
    for label, of_class in clips[clips["variant"] == "original"].groupby("label"):
        typical = _typical_clip(of_class)
        content = _content(folder / "data" / typical["file"], int(typical["row"]))
        if "audio" in content:
            waveform = load_audio(content["audio"]["bytes"], front_end.sampling_rate, name=typical["clip_id"])
            spectrograms[str(label)] = front_end(waveform)
        else:
            spectrograms[str(label)] = _grey(content["image"]["bytes"])
    figure = spectrogram_grid_figure(spectrograms, log_mel["duration"], LogMelConfig.from_dict(log_mel))
    save_figure(figure, folder / PICTURE_NAME)


def _typical_clip(clips: pd.DataFrame) -> pd.Series:
    """In the foreground where that is known, and as long as most of its class; of several the first by name."""
    candidates = clips[clips["salience"] == 1] if (clips["salience"] == 1).any() else clips
    distance = (candidates["duration"] - clips["duration"].median()).abs()
    return candidates.assign(distance=distance).sort_values(["distance", "clip_id"]).iloc[0]


def _content(file: Path, row: int) -> dict:
    """The audio or image of a row, without reading other row groups."""
    parquet = pq.ParquetFile(file)
    name = "audio" if "audio" in parquet.schema_arrow.names else "image"
    for group in range(parquet.num_row_groups):
        rows = parquet.metadata.row_group(group).num_rows
        if row < rows:
            return {name: parquet.read_row_group(group, columns=[name])[name][row].as_py()}
        row -= rows
    raise IndexError(f"{file} has no row {row}")


def _grey(png: bytes) -> np.ndarray:
    """A picture of the data set as values in [0, 1], lowest frequency first."""
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(png)).convert("L"), dtype=np.float32)[::-1] / 255
