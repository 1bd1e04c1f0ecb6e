"""A picture of every class for the data card: the log-mel of one typical clip each."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from quaclrs.audio import load_audio

PICTURE_NAME = "classes.png"


def draw_classes(folder: Path, clips: pd.DataFrame) -> None:
    """Draw `classes.png` into the folder of a data set with audio.

    Args:
        folder: with the shards in `data/`.
        clips: its rows as `read_rows` gives them, with the columns `file` and `row`, the place of each.
    """
    import torch

    from quaclrs.evaluation.figures.spectrograms import spectrogram_grid_figure
    from quaclrs.evaluation.figures.style import save_figure
    from quaclrs.models import LogMelConfig, LogMelSpectrogram

    config = LogMelConfig()
    front_end, spectrograms = LogMelSpectrogram(config), {}
    for label, of_class in clips.groupby("label"):
        typical = _typical_clip(of_class)
        audio = _audio(folder / "data" / typical["file"], int(typical["row"]))
        waveform = config.fit(load_audio(audio, config.sampling_rate, name=typical["clip_id"]))
        spectrograms[str(label)] = front_end(torch.from_numpy(waveform)).numpy()
    save_figure(spectrogram_grid_figure(spectrograms, config.duration, config), folder / PICTURE_NAME)


def _typical_clip(clips: pd.DataFrame) -> pd.Series:
    """Choose a clip in the foreground where that is known, as long as most of its class; the first by name."""
    candidates = clips[clips["salience"] == 1] if (clips["salience"] == 1).any() else clips
    distance = (candidates["duration"] - clips["duration"].median()).abs()
    return candidates.assign(distance=distance).sort_values(["distance", "clip_id"]).iloc[0]


def _audio(file: Path, row: int) -> bytes:
    """The encoded audio of a row, without reading other row groups."""
    parquet = pq.ParquetFile(file)
    for group in range(parquet.num_row_groups):
        rows = parquet.metadata.row_group(group).num_rows
        if row < rows:
            return parquet.read_row_group(group, columns=["audio"])["audio"][row].as_py()["bytes"]
        row -= rows
    raise IndexError(f"{file} has no row {row}")
