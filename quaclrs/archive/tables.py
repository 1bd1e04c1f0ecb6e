"""Tables of segments: Parquet, CSV and JSON lines for an archive, selection tables of Audacity and Raven for a file."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import QuaclrsError, first_line_of
from ..extras import MissingLibraryError
from ..files import name_unwritable, written
from .rows import COLUMNS, Annotated, inside

#: Ending of the output -> format of one table.
ENDINGS = {".parquet": "parquet", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}

#: Formats of which every file of the archive gets a table of its own, and the endings of those.
FOLDERS = {"audacity": ".txt", "raven": ".Table.1.selections.txt"}

FORMATS = (*dict.fromkeys(ENDINGS.values()), *FOLDERS)

#: Columns of Raven's selection tables: what it asks for, and ours behind.
_OF_RAVEN = (
    *("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)"),
    *("Label", "Score", "Level (dBFS)"),
)

Row = dict[str, Any]

#: Rows that are held at once.
_GROUP = 1 << 14


def format_of(output: Path, wanted: str | None = None) -> str:
    """Choose the format: the one that is asked for, or the one of the output's ending.

    Raises:
        QuaclrsError: neither names one, or the library for it is missing.
    """
    style = wanted or ENDINGS.get(output.suffix.lower())
    if style is None:
        raise QuaclrsError(
            f"--output {output} ends in none of {', '.join(ENDINGS)}; choose one, or give a folder and --format "
            f"{' or '.join(FOLDERS)}"
        )
    if style == "parquet":
        _pyarrow()
    return style


def write_tables(archive: Iterable[Annotated], output: Path, style: str) -> None:
    """Write the table of an archive, or the folder of its files' tables, complete or not at all.

    Args:
        archive: its files in order.
        output: replaced where it exists.
        style: one of `FORMATS`.
    """
    with name_unwritable(output):
        if style in FOLDERS:
            for annotated in archive:
                if annotated.error is not None:
                    continue
                place = output / f"{inside(Path(annotated.file))}{FOLDERS[style]}"
                place.parent.mkdir(parents=True, exist_ok=True)
                with written(place) as file:
                    file.write_text(_selections(annotated, style), encoding="utf-8")
            return
        rows = (row for annotated in archive for row in annotated.rows())
        with written(output) as file:
            _WRITERS[style](rows, file)


def _selections(annotated: Annotated, style: str) -> str:
    if style == "audacity":
        return "".join(f"{s.start:.6f}\t{s.end:.6f}\t{s.label}\n" for s in annotated.segments)
    lines = ["\t".join(_OF_RAVEN)]
    for number, s in enumerate(annotated.segments, 1):
        place = f"{number}\tSpectrogram 1\t1\t{s.start:.3f}\t{s.end:.3f}\t0\t8000"
        lines.append(f"{place}\t{s.label}\t{s.score:.4f}\t{s.level:.1f}")
    return "\n".join(lines) + "\n"


def _write_csv(rows: Iterator[Row], file: Path) -> None:
    with file.open("w", newline="", encoding="utf-8") as table:
        writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _write_lines(rows: Iterator[Row], file: Path) -> None:
    with file.open("w", encoding="utf-8") as table:
        table.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _write_parquet(rows: Iterator[Row], file: Path) -> None:
    pyarrow, parquet = _pyarrow()
    text, numbers = pyarrow.string(), pyarrow.float64()
    kinds = (text, numbers, numbers, text, pyarrow.float32(), pyarrow.float32(), text)
    schema = pyarrow.schema(list(zip(COLUMNS, kinds, strict=True)))
    with parquet.ParquetWriter(file, schema, compression="zstd") as table:
        while group := list(islice(rows, _GROUP)):
            table.write_table(pyarrow.Table.from_pylist(group, schema=schema))


_WRITERS: dict[str, Callable[[Iterator[Row], Path], None]] = {
    "csv": _write_csv,
    "jsonl": _write_lines,
    "parquet": _write_parquet,
}


def read_rows(table: Path) -> Iterator[Row]:
    """Rows of a table that `write_tables` wrote, in order; `time` is None where unknown.

    Raises:
        QuaclrsError: no such table, another format, or a column is missing.
    """
    if not table.is_file():
        raise QuaclrsError(f"{table} does not exist; give a table of `quaclrs annotate`")
    style = ENDINGS.get(table.suffix.lower())
    if style is None:
        raise QuaclrsError(f"{table} ends in none of {', '.join(ENDINGS)}; give a table of `quaclrs annotate`")
    read = {"csv": _read_csv, "jsonl": _read_lines, "parquet": _read_parquet}[style]
    try:
        for row in read(table):
            yield {
                **{name: row[name] for name in ("file", "label")},
                **{name: float(row[name]) for name in ("start", "end", "score", "level")},
                "time": _time(row["time"]) if row["time"] else None,
            }
    except QuaclrsError:
        raise
    except Exception as error:  # every format is damaged in its own way
        what = f"it lacks {error}" if isinstance(error, KeyError) else first_line_of(error)
        raise QuaclrsError(f"{table} is not a table of `quaclrs annotate` ({what}); annotate anew") from error


def _time(text: str) -> str:
    datetime.fromisoformat(text)  # a spreadsheet may have written it in its own way
    return text


def _read_csv(table: Path) -> Iterator[Row]:
    with table.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def _read_lines(table: Path) -> Iterator[Row]:
    with table.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def _read_parquet(table: Path) -> Iterator[Row]:
    _, parquet = _pyarrow()
    with parquet.ParquetFile(table) as file:
        for batch in file.iter_batches(_GROUP):
            yield from batch.to_pylist()


def _pyarrow() -> tuple[Any, Any]:
    with suppress(ImportError):
        import pyarrow
        import pyarrow.parquet

        return pyarrow, pyarrow.parquet
    raise MissingLibraryError(
        'Parquet needs pyarrow, which is not installed; pip install "quaclrs[parquet]", or write .csv or .jsonl'
    )
