"""Figures of finished tables, read back from the files that `python -m training.reproduce TABLE` wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from quaclrs.errors import QuaclrsError
from quaclrs.evaluation.result_files import write_text
from quaclrs.folds import PROTOCOLS
from quaclrs.text_files import read_mapping

from .tables import SSL_TABLES, SUPERVISED_TABLES

#: In the order of the page.
TABLES = (*SUPERVISED_TABLES, *SSL_TABLES)

#: Why a cell is empty where its run was not asked for: such a cell is not kept.
_NOT_ASKED_FOR = ("not among --backbones", "fold not run")


@dataclass(frozen=True)
class Kept:
    """A finished table.

    Attributes:
        file: that it was read from.
        table: its name.
        protocol: of its folds.
        cells: (row, column) -> our figure with what stands behind it, or the reason why there is none.
    """

    file: Path
    table: str
    protocol: str
    cells: Mapping[tuple[str, str], Mapping[str, Any]]

    def figure(self, row: str, column: str) -> Mapping[str, Any] | None:
        """The cell, if it has a figure of ours."""
        cell = self.cells.get((row, column))
        return cell if cell and cell["ours"] else None

    def write(self, folder: Path) -> None:
        """Keep it, without notes, in `FOLDER/TABLE.json`: a few kB."""
        lines = ",\n".join(json.dumps(cell, ensure_ascii=False) for cell in self.cells.values())
        head = json.dumps({"table": self.table, "protocol": self.protocol})[:-1]
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / f"{self.table}.json", f'{head}, "cells": [\n{lines}\n]}}\n')


def read_kept(folders: Sequence[Path]) -> dict[tuple[str, str], Kept]:
    """The finished tables of folders, by table and protocol.

    Args:
        folders: that commands wrote (`--output-dir`), or that hold such folders.

    Raises:
        QuaclrsError: a folder holds no table, a file is of another version, or two have the same table and protocol.
    """
    found: dict[tuple[str, str], Kept] = {}
    for folder in folders:
        files = list(_tables_in(folder))
        if not files:
            raise QuaclrsError(f"{folder} holds no table; give the --output-dir of python -m training.reproduce TABLE")
        for file in files:
            kept = _read(file)
            other = found.setdefault((kept.table, kept.protocol), kept)
            if other is not kept:
                raise QuaclrsError(f"{file} and {other.file} are of the same table and protocol; give one of them")
    return {key: found[key] for key in product(TABLES, PROTOCOLS) if key in found}


def _tables_in(folder: Path) -> Iterator[Path]:
    for name in TABLES:
        yield from sorted(file for pattern in (name, f"*/{name}") for file in folder.glob(f"{pattern}.json"))


def _read(file: Path) -> Kept:
    values = read_mapping(file, "run the table again")
    try:
        cells = {
            (cell["row"], cell["column"]): {name: value for name, value in cell.items() if name != "run"}
            for cell in values["cells"]
            if cell["ours"] or cell["reason"] not in _NOT_ASKED_FOR
        }
        return Kept(file, values["table"], values["protocol"], cells)
    except (KeyError, TypeError) as error:
        raise QuaclrsError(f"{file} is of another version ({error}); run the table again") from error
