"""Embeddings of a file's windows, written while it is heard: NumPy's own format, which is mapped and not read whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..files import name_unwritable, written


class EmbeddingWriter:
    """Appends rows to a `.npy` of float16 (windows, hidden_size); a window begins one hop after the one before."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._shape = file, (0, 0)

    def add(self, embeddings: np.ndarray) -> None:
        """Append embeddings (windows, hidden_size) of any floating type."""
        if not self._shape[0]:
            self._header(0, embeddings.shape[1])
        self._file.write(np.ascontiguousarray(embeddings, dtype="<f2").data)
        self._shape = self._shape[0] + len(embeddings), embeddings.shape[1]

    def end(self) -> None:
        """Write the number of rows into the header, in which NumPy leaves room for it."""
        self._file.seek(0)
        self._header(*self._shape)

    def _header(self, rows: int, columns: int) -> None:
        told = {"descr": "<f2", "fortran_order": False, "shape": (rows, columns)}
        np.lib.format.write_array_header_1_0(self._file, told)


@contextmanager
def embeddings_at(place: Path | None) -> Iterator[EmbeddingWriter | None]:
    """Open a writer of a file that ends complete or absent; None without a place for it."""
    if place is None:
        yield None
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    with name_unwritable(place), written(place) as unfinished, unfinished.open("wb") as file:
        writer = EmbeddingWriter(file)
        yield writer
        writer.end()
